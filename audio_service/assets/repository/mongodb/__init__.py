"""Asset records in MongoDB."""
