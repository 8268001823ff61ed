"""Values that every part of the player's state machine uses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot_service.store.base import Track


class Phase(StrEnum):
    """States of the machine.

    idle: no current song, connected or not. connecting: joining a channel. playing and paused: the voice is ready and
    there is a current song. recovering: the voice was lost and is being reconnected, a bounded number of times.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    PLAYING = "playing"
    PAUSED = "paused"
    RECOVERING = "recovering"


class Timer(StrEnum):
    """Timers of a player.

    idle: nothing to play. alone: no listeners. join: a join has no answer. recover: backoff before the next attempt.
    """

    IDLE = "idle"
    ALONE = "alone"
    JOIN = "join"
    RECOVER = "recover"


class Silence(StrEnum):
    """Why the bot is not heard in its voice channel.

    muted, deafened: by a moderator. may_not_speak: it lacks the permission. audience: it has just entered a stage
    channel. invited: a moderator of the stage invited it to speak. asked: it asked to speak and waits for a moderator.
    sent_down: a moderator moved it to the audience. refused: it may not even ask.
    """

    MUTED = "muted"
    DEAFENED = "deafened"
    MAY_NOT_SPEAK = "may_not_speak"
    AUDIENCE = "audience"
    INVITED = "invited"
    ASKED = "asked"
    SENT_DOWN = "sent_down"
    REFUSED = "refused"


class LoopMode(StrEnum):
    """off: each song once. track: repeat the current song. queue: songs that end are appended to the queue."""

    OFF = "off"
    TRACK = "track"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Entry:
    """A song in a guild's queue.

    `entry_id` is unique (the request id, if a download was requested): the same song queued twice is two entries.
    `song`: the query, shown until the title is known; `asked_at` is aware UTC; `track` is None while being fetched.
    """

    entry_id: str
    requester_id: int
    song: str
    asked_at: datetime
    track: Track | None = None

    @property
    def title(self) -> str:
        """The title, or the query while it is unknown."""
        return self.track.title if self.track is not None and self.track.title else self.song
