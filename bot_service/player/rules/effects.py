"""What a player does to the world. The machine only names effects; `guild_player` performs them, in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot_service.player.rules.events import Timer
from bot_service.player.rules.track import Entry, Track


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
