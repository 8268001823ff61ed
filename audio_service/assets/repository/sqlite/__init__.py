"""Asset records in the library's SQLite file."""
