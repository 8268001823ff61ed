"""Frames, their pacing, and the voice connection."""
