"""The message broker: one port, and `open_broker` that chooses its adapter by settings."""
