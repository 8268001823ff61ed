"""What the bot remembers over a restart: players, settings, favourites, open requests."""
