"""What a player is told: commands (somebody asked) and events (something happened). Values only.

Answers to commands are in `outcomes`, what the player then does in `effects`. A command that makes no sense raises
`refusals.PlayerRefusal` and changes nothing. An event that is out of date changes nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot_service.player.rules.model import Entry, LoopMode, Timer
from bot_service.store.base import GuildSettings, SavedPlayer, Track

# Commands.


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Add songs, and start if nothing is on. Entries without a track are being fetched; ids already here are left out.

    Outcome: Enqueued. Refusals: queue_full, too_many_of_yours (none of them fits), other_channel (people listen
    elsewhere).

    `asked_at`: `time.monotonic()` when somebody gave the command, for the time until they hear something; 0: now.
    """

    entries: tuple[Entry, ...]
    voice_channel_id: int
    text_channel_id: int
    front: bool = False
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A song that was being fetched can be played. Comes twice if that was before the song was whole.

    Outcome: Arrived, Done when it is over already (skipped, say), or Ignored when it was removed meanwhile.
    """

    entry_id: str
    track: Track


@dataclass(frozen=True, slots=True)
class Dropped:
    """A song could not be fetched, or not to its end. Outcome: Removed, or Ignored when it was removed meanwhile."""

    entry_id: str
    error_code: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Go on to the next song, under loop `track` as well. `may_skip`: no vote is needed from this person (never from
    whoever asked for the song). Outcome: Skipped or VoteCast. Refusals: nothing_playing.
    """

    user_id: int
    may_skip: bool = True
    votes_needed: int = 1


@dataclass(frozen=True, slots=True)
class Stop:
    """Clear everything, loop mode included, and leave. Outcome: Stopped. Refusals: nothing_playing."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold the song at its frame. Outcome: Done. Refusals: nothing_playing, already_paused."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on at the next frame, or with the queue that was kept when the voice could not be had again.

    Outcome: Done. Refusals: nothing_playing, not_paused.
    """


@dataclass(frozen=True, slots=True)
class Seek:
    """Go to a place in the song, cut to whole 20 ms frames. Outcome: Sought.

    Refusals: nothing_playing, cannot_seek (negative, behind the end, or the length is unknown).
    """

    position_ms: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Take out what is at a position. Outcome: Removed. Refusals: no_such_position."""

    position: int


@dataclass(frozen=True, slots=True)
class Move:
    """Move an entry to another position. Outcome: Moved. Refusals: no_such_position."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Bring what comes next into a random order. Outcome: Done. Refusals: queue_empty."""


@dataclass(frozen=True, slots=True)
class SetLoop:
    """Set the loop mode. Outcome: Done."""

    mode: LoopMode


@dataclass(frozen=True, slots=True)
class Previous:
    """Play the song before; the current one comes next. Outcome: Skipped. Refusals: nothing_before, no_channel."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Take everything out that comes next; the current song plays on. Outcome: Cleared. Refusals: queue_empty."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on from a position; the songs before it count as passed. Outcome: Skipped.

    Refusals: no_such_position, still_fetching, no_channel.
    """

    position: int


@dataclass(frozen=True, slots=True)
class SetRules:
    """Take over the guild's settings. Outcome: Done."""

    rules: GuildSettings


@dataclass(frozen=True, slots=True)
class Restore:
    """Go on from what was saved; only a player that has nothing yet does. Outcome: Done or Ignored."""

    saved: SavedPlayer


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
class VoiceReady:
    """The bot is in a channel and can send."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class VoiceLost:
    """The voice connection is gone or could not be made. `code`: the close code, if any.

    `may_retry` False: the bot was sent away (`reason` "kicked"), the channel is gone ("channel_deleted"), it may not
    enter ("forbidden"), or Discord wants what it cannot do.
    """

    code: int | None
    reason: str
    may_retry: bool

    @property
    def cause(self) -> str:
        """What people are to be told of: the close code where there was one, else the reason."""
        return self.reason if self.code is None or self.reason != "closed" else str(self.code)


@dataclass(frozen=True, slots=True)
class VoiceMoved:
    """Somebody moved the bot to another channel; it stays there."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class ListenersLeft:
    """The last listener went to another channel: the bot follows, unless it is told to stay."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class Listeners:
    """How many people (bots do not count) are in the bot's channel."""

    count: int


@dataclass(frozen=True, slots=True)
class Elapsed:
    """A timer ran out."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class TrackEnded:
    """Playback ended that nobody halted. `next_frame`: the first frame that was not sent.

    `reason`: "" when finished; INTERRUPTED when frames were at hand and the voice went away; otherwise the code of the
    error (common.errors) that reading the frames raised.
    """

    play_id: int
    next_frame: int
    finished: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MessageKept:
    """The player message of the guild is this one (None: there is none any more)."""

    message_id: int | None


INTERRUPTED = "interrupted"

Event = Command | VoiceReady | VoiceLost | VoiceMoved | ListenersLeft | Listeners | Elapsed | TrackEnded | MessageKept
