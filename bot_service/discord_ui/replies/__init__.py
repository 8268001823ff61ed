"""Everything the bot says, by locale."""
