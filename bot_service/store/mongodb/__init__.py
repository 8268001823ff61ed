"""The bot's store in MongoDB."""
