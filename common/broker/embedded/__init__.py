"""Queues in a SQLite file that all processes of a machine share."""
