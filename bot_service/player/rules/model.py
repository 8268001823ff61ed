"""Values that every part of the player's state machine uses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot_service.store.base import Track


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


class Timer(StrEnum):
    """Clocks that a player sets.

    idle: nothing on. alone: nobody listens. join: entering a channel takes too long. recover: the next try is due.
    """

    IDLE = "idle"
    ALONE = "alone"
    JOIN = "join"
    RECOVER = "recover"


class LoopMode(StrEnum):
    """off: each song once. track: the current song again and again. queue: songs that end go to the back."""

    OFF = "off"
    TRACK = "track"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Entry:
    """One wish in a guild's queue.

    `entry_id` is the request id when a download was asked for, and unique in any case: the same song asked for twice is
    two entries. `song` is what to show until the title is known; `asked_at` is aware UTC; `track` is None while the
    song is still being fetched.
    """

    entry_id: str
    requester_id: int
    song: str
    asked_at: datetime
    track: Track | None = None

    @property
    def title(self) -> str:
        """Return the title, or what was asked for while there is none."""
        return self.track.title if self.track is not None and self.track.title else self.song
