"""The bot's store in one SQLite file."""
