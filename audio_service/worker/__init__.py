"""The generic worker: delivery, pipeline, terminal status, ack."""
