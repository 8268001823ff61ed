"""Frames, their pacing, and the voice connection of a guild."""
