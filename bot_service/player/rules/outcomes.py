"""What a command came to, for whoever asked. Values only; the words are in `bot_service.discord_ui.replies`."""

from __future__ import annotations

from dataclasses import dataclass

from bot_service.player.rules.track import Entry


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
