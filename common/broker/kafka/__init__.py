"""Queues in Apache Kafka."""
