"""Uploaded files: their records, how they come in, and how they are shown."""
