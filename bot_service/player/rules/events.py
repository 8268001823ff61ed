"""Inputs of the state machine: commands of users and events of the voice link, timers and requests. Values only.

Its outputs are in `outcomes`. A command that is not possible in the present state raises PlayerRefusal and changes
nothing; a stale event is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bot_service.player.rules.model import Entry, LoopMode, Silence, Timer
from bot_service.store.base import GuildSettings, SavedPlayer, Track

# Commands.


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Add songs, and start if nothing plays. Entries without a track are being fetched; known ids are left out.

    Outcome: Enqueued. Refusals: queue_full, too_many_of_yours (none of them fits), other_channel (the bot has listeners
    in another one).

    `asked_at`: `time.monotonic()` of the user's command, for the time to its first packet; 0: now.
    """

    entries: tuple[Entry, ...]
    voice_channel_id: int
    text_channel_id: int
    front: bool = False
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A song that was being fetched is playable. Sent a second time when a song that was unfinished is complete.

    Outcome: Arrived, Done if it is in the history already, or Ignored if it was removed meanwhile.
    """

    entry_id: str
    track: Track


@dataclass(frozen=True, slots=True)
class Dropped:
    """A song could not be fetched, or not to its end. Outcome: Removed, or Ignored if it was removed meanwhile."""

    entry_id: str
    error_code: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Go on to the next song, also under loop `track`. `may_skip`: this user needs no vote (nor does the requester).

    Outcome: Skipped, VoteCast, or AlreadySkipped if `entry_id` is given and is not the current song. Refusals:
    nothing_playing.

    `entry_id`: the song that the user saw; "": the current one. `present`: the listeners, whose votes alone count;
    None: all votes count.
    """

    user_id: int
    may_skip: bool = True
    votes_needed: int = 1
    entry_id: str = ""
    present: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Clear everything, loop mode included, and leave. Outcome: Stopped. Refusals: nothing_playing."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the song at its frame. Outcome: Done. Refusals: nothing_playing, already_paused."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Resume the song at its next frame, or a parked queue.

    Outcome: Done. Refusals: nothing_playing, silenced, not_paused.
    """


@dataclass(frozen=True, slots=True)
class Seek:
    """Go to a position in the song, rounded down to a 20 ms frame. Outcome: Sought.

    Refusals: nothing_playing, cannot_seek (negative, past the end, or unknown duration).
    """

    position_ms: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the entry at a position. Outcome: Removed. Refusals: no_such_position."""

    position: int


@dataclass(frozen=True, slots=True)
class Move:
    """Move an entry to another position. Outcome: Moved. Refusals: no_such_position."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Shuffle the upcoming entries. Outcome: Done. Refusals: queue_empty."""


@dataclass(frozen=True, slots=True)
class SetLoop:
    """Set the loop mode. Outcome: Done."""

    mode: LoopMode


@dataclass(frozen=True, slots=True)
class Previous:
    """Play the previous song; the current one comes next.

    Outcome: Skipped, or AlreadySkipped, as for Skip. Refusals: nothing_before, no_channel.
    """

    entry_id: str = ""


@dataclass(frozen=True, slots=True)
class Clear:
    """Remove all upcoming entries; the current song continues. Outcome: Cleared. Refusals: queue_empty."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Play the entry at a position; ready songs before it count as played. Outcome: Skipped.

    Refusals: no_such_position, still_fetching, no_channel.
    """

    position: int


@dataclass(frozen=True, slots=True)
class SetRules:
    """Apply the guild's settings. Outcome: Done."""

    rules: GuildSettings


@dataclass(frozen=True, slots=True)
class Restore:
    """Resume a saved player with its guild's settings; ignored unless this one is still empty.

    Outcome: Done or Ignored.
    """

    saved: SavedPlayer
    rules: GuildSettings = field(default_factory=GuildSettings)


Command = (
    Enqueue
    | Ready
    | Dropped
    | Skip
    | Stop
    | Pause
    | Resume
    | Seek
    | Remove
    | Move
    | Shuffle
    | SetLoop
    | Previous
    | Clear
    | Jump
    | SetRules
    | Restore
)


# Events.


@dataclass(frozen=True, slots=True)
class JoinWaits:
    """A join waits for its turn, as Discord takes only so many in a minute; or its turn has come.

    The time in between counts neither against the join nor against the recovery.
    """

    waiting: bool


@dataclass(frozen=True, slots=True)
class VoiceReady:
    """The voice is connected to a channel."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class VoiceLost:
    """The voice connection ended or could not be opened. `code`: the close code, if any.

    `may_retry` False: the bot was removed (`reason` "kicked"), its channel was deleted ("channel_deleted"), it lacks a
    permission ("forbidden"), or the close code is permanent.
    """

    code: int | None
    reason: str
    may_retry: bool

    @property
    def cause(self) -> str:
        """The cause shown to users: the close code if there was one, else the reason."""
        return self.reason if self.code is None or self.reason != "closed" else str(self.code)


@dataclass(frozen=True, slots=True)
class VoiceMoved:
    """A moderator moved the bot to another channel; it stays there."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class Silenced:
    """The bot is not heard in its channel, for this reason; None: it is heard. `arrived`: it has just entered."""

    reason: Silence | None
    arrived: bool = False


@dataclass(frozen=True, slots=True)
class ListenersLeft:
    """The last listener moved to another channel: the bot follows, unless the guild's `stay` is set."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class Listeners:
    """Number of members (bots excluded) in the bot's channel."""

    count: int


@dataclass(frozen=True, slots=True)
class Elapsed:
    """A timer fired."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class TrackEnded:
    """A playback ended that was not halted. `next_frame`: the first frame that was not sent.

    `reason`: "" if finished; INTERRUPTED if the voice was lost; otherwise the code of the error (common.errors) that
    reading the frames raised.
    """

    play_id: int
    next_frame: int
    finished: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MessageKept:
    """The guild's player message is now this one (None: it was deleted)."""

    message_id: int | None


INTERRUPTED = "interrupted"

Event = (
    Command
    | JoinWaits
    | VoiceReady
    | VoiceLost
    | VoiceMoved
    | Silenced
    | ListenersLeft
    | Listeners
    | Elapsed
    | TrackEnded
    | MessageKept
)
