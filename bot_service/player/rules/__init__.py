"""The pure state machine of a player, and its queue."""
