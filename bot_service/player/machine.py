"""The one transition function of a guild's player. Pure: events in, new state and effects out."""
