"""What a step of the player produces. Values only.

An outcome or a refusal answers the caller of a command (texts: `bot_service.discord_ui.replies`). Effects are performed
by `guild_player`, in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot_service.player.rules.model import Entry, Timer
from bot_service.store.base import Track

# Refusals.


class RefusalCode(StrEnum):
    """Reasons to refuse a command. `replies.errors` has a text for each."""

    NOTHING_PLAYING = "nothing_playing"
    ALREADY_PAUSED = "already_paused"
    NOT_PAUSED = "not_paused"
    SILENCED = "silenced"
    NO_SUCH_POSITION = "no_such_position"
    STILL_FETCHING = "still_fetching"
    QUEUE_FULL = "queue_full"
    QUEUE_EMPTY = "queue_empty"
    TOO_MANY_OF_YOURS = "too_many_of_yours"
    OTHER_CHANNEL = "other_channel"
    NO_CHANNEL = "no_channel"
    CANNOT_SEEK = "cannot_seek"
    NOTHING_BEFORE = "nothing_before"
    SHUTTING_DOWN = "shutting_down"


class PlayerRefusal(Exception):
    """A command is not possible in the present state. It changed nothing; `code` is the reason."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code.value)
        self.code = code


class NoSuchPosition(PlayerRefusal):
    """The queue has no such position (1-based)."""

    def __init__(self) -> None:
        super().__init__(RefusalCode.NO_SUCH_POSITION)


# Outcomes.


@dataclass(frozen=True, slots=True)
class Done:
    """The command was carried out; there is nothing to return."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A stale event; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Songs were added. `position` of the first in the queue, 1-based; 0 if it `starts_now`.

    `left_out`: beyond the queue's or the user's limit, or already in the queue.
    """

    position: int
    starts_now: bool
    added: tuple[Entry, ...]
    left_out: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A fetched song has its track. `position` in the queue, 1-based; 0 if it `starts_now`."""

    position: int
    starts_now: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """`left`: the song that was ended (None: none); `entry`: the current song now (None: none is ready)."""

    left: Entry | None
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class AlreadySkipped:
    """The song that was meant is over already; nothing was changed. `entry`: the current song."""

    entry: Entry | None


@dataclass(frozen=True, slots=True)
class VoteCast:
    """A vote was counted: `votes` of `needed`. A second vote of a user is a no-op."""

    votes: int
    needed: int


@dataclass(frozen=True, slots=True)
class Removed:
    """An entry was removed."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry was moved to a position, 1-based."""

    entry: Entry
    position: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """Number of entries removed."""

    count: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """Number of entries removed, including the current one."""

    count: int


@dataclass(frozen=True, slots=True)
class Sought:
    """New position in ms (a multiple of 20)."""

    position_ms: int


Outcome = (
    Done
    | Ignored
    | Enqueued
    | Arrived
    | Skipped
    | AlreadySkipped
    | VoteCast
    | Removed
    | Moved
    | Cleared
    | Stopped
    | Sought
)


# Effects.


@dataclass(frozen=True, slots=True)
class Join:
    """Enter a voice channel, or move there. Ends in VoiceReady or VoiceLost."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the voice channel; cancel a join under way."""


@dataclass(frozen=True, slots=True)
class Play:
    """Send a song from a frame on; replaces the present playback. Ends in TrackEnded with this id, unless halted."""

    play_id: int
    entry: Entry
    start_frame: int


@dataclass(frozen=True, slots=True)
class Halt:
    """End the playback; nothing is reported."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Pause the playback."""


@dataclass(frozen=True, slots=True)
class Proceed:
    """Resume the playback at its next frame."""


@dataclass(frozen=True, slots=True)
class AskToSpeak:
    """Become a speaker of the stage channel, or ask for it; what cannot be is reported as Silenced."""


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Read the first frames of this track into memory; None: drop them."""

    track: Track | None


@dataclass(frozen=True, slots=True)
class Arm:
    """Send `Elapsed(timer)` after so many seconds; restarts a timer that is armed."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class Disarm:
    """Disarm a timer."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Save:
    """Save the state."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """Update the player message."""


class NoticeKind(StrEnum):
    """Notices in the text channel that answer no command.

    song_failed: the entry could not be played, the next one follows. too_many_failures: several in a row; the player is
    parked, the queue kept. voice_failed: reconnecting failed; the player is parked, the queue kept. kicked,
    channel_deleted: the bot was removed from its channel; the queue was cleared. left_alone, left_idle: the bot left
    after a time without listeners or without songs. restored: resumed after a restart. silenced: the song is paused
    until the bot is heard again; `code` is a `Silence`.
    """

    SONG_FAILED = "song_failed"
    TOO_MANY_FAILURES = "too_many_failures"
    VOICE_FAILED = "voice_failed"
    KICKED = "kicked"
    CHANNEL_DELETED = "channel_deleted"
    LEFT_ALONE = "left_alone"
    LEFT_IDLE = "left_idle"
    RESTORED = "restored"
    SILENCED = "silenced"


@dataclass(frozen=True, slots=True)
class Notice:
    """Post a notice in the text channel. `code`: an error code (common.errors), the cause of VoiceLost, or ""."""

    kind: NoticeKind
    entry: Entry | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Remember:
    """Add a song of the library to the guild's history."""

    entry: Entry


Effect = (
    Join
    | Leave
    | Play
    | Halt
    | Hold
    | Proceed
    | AskToSpeak
    | Prefetch
    | Arm
    | Disarm
    | Save
    | Refresh
    | Notice
    | Remember
)
