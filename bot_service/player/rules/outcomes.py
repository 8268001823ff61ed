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
    """Every reason there is. `replies.errors` has a text for each."""

    NOTHING_PLAYING = "nothing_playing"
    ALREADY_PAUSED = "already_paused"
    NOT_PAUSED = "not_paused"
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
    """A command that makes no sense now. Nothing was changed by it; `code` says why."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code.value)
        self.code = code


class NoSuchPosition(PlayerRefusal):
    """The queue has no such (1-based) position."""

    def __init__(self) -> None:
        super().__init__(RefusalCode.NO_SUCH_POSITION)


# Outcomes.


@dataclass(frozen=True, slots=True)
class Done:
    """It was done, and there is no more to say."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing was changed: what was told is out of date."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Songs were added. `position` of the first in the queue, 1-based; 0 when it `starts_now`.

    `left_out` did not fit into the queue's or the person's limit, or were here already.
    """

    position: int
    starts_now: bool
    added: tuple[Entry, ...]
    left_out: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A fetched song has its track. `position` in the queue, 1-based; 0 when it `starts_now`."""

    position: int
    starts_now: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """`left` was ended (None: nothing was on), `entry` is on now (None: nothing is ready)."""

    left: Entry | None
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class VoteCast:
    """Not enough votes yet: `votes` of `needed`. Voting twice counts once."""

    votes: int
    needed: int


@dataclass(frozen=True, slots=True)
class Removed:
    """An entry is no longer in the queue."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry has another position now, 1-based."""

    entry: Entry
    position: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many entries were taken out."""

    count: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """How many entries, the current one included, were given up."""

    count: int


@dataclass(frozen=True, slots=True)
class Sought:
    """Where the song goes on, in ms (a multiple of 20)."""

    position_ms: int


Outcome = Done | Ignored | Enqueued | Arrived | Skipped | VoteCast | Removed | Moved | Cleared | Stopped | Sought


# Effects.


@dataclass(frozen=True, slots=True)
class Join:
    """Enter a voice channel, or move there. Ends in VoiceReady or VoiceLost."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the voice channel; a join under way is given up."""


@dataclass(frozen=True, slots=True)
class Play:
    """Send a song from a frame on, in place of whatever is on. Ends in TrackEnded with this id, unless halted."""

    play_id: int
    entry: Entry
    start_frame: int


@dataclass(frozen=True, slots=True)
class Halt:
    """End playback; nothing is reported for it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Pause playback."""


@dataclass(frozen=True, slots=True)
class Proceed:
    """Resume playback at the next frame."""


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Have the beginning of this track at hand; None: of none."""

    track: Track | None


@dataclass(frozen=True, slots=True)
class Arm:
    """Tell `Elapsed(timer)` after so many seconds. An armed timer is set anew."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class Disarm:
    """Forget a timer."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Save:
    """Keep the state for after a restart."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """Bring the player message up to date."""


class NoticeKind(StrEnum):
    """What people are told in the text channel without having asked.

    song_failed: the entry could not be played, the next one is on. too_many_failures: several in a row, so the player
    stopped trying; the queue is kept, `resume` goes on. voice_failed: the channel cannot be had; the queue is kept if
    asking again may help. kicked, channel_deleted: given up, the queue was cleared. left_alone, left_idle: left, for
    want of listeners or of songs. restored: goes on after a restart.
    """

    SONG_FAILED = "song_failed"
    TOO_MANY_FAILURES = "too_many_failures"
    VOICE_FAILED = "voice_failed"
    KICKED = "kicked"
    CHANNEL_DELETED = "channel_deleted"
    LEFT_ALONE = "left_alone"
    LEFT_IDLE = "left_idle"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell people in the text channel. `code`: an error code (common.errors) or the cause of VoiceLost; may be ""."""

    kind: NoticeKind
    entry: Entry | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Remember:
    """Note in the guild's history that a song of the library was played."""

    entry: Entry


Effect = Join | Leave | Play | Halt | Hold | Proceed | Prefetch | Arm | Disarm | Save | Refresh | Notice | Remember
