"""The states of a guild's player."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """What the player is doing.

    idle: no song is on, whether the bot sits in a channel or not. connecting: on its way into a channel. playing and
    paused: the voice is ready and there is a current song. recovering: the voice was lost and is being tried for again,
    a bounded number of times.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    PLAYING = "playing"
    PAUSED = "paused"
    RECOVERING = "recovering"
