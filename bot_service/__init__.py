"""The Discord bot: commands in, Opus packets out. Talks to the audio service over the broker and its HTTP API."""
