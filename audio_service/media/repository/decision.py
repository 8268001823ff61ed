"""What `claim` decides, and the units of leases: pure functions that the adapters share. MongoDB's server decides the
same table itself (`mongodb/decision.py`); `tests/contract/test_repository_agreement.py` compares them.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum, auto
from typing import TypeVar

from audio_service.media.model import MediaStatus

LONGEST_LEASE_MS = 600_000
"""The longest lease that LEASE_SECONDS allows. One that ends later was taken before the clock was set back: it is void,
or its record would be held for as long as the step of the clock."""

# `seq`, by which pages are ordered: milliseconds since the epoch, then 20 bits that keep the records of one millisecond
# apart and, within one process, in order. It fits into 63 bits until 2248.
SEQ_TAIL = 1 << 20
_tail = itertools.count(secrets.randbelow(SEQ_TAIL))

T = TypeVar("T")


class Turn(Enum):
    """What comes of a claim (see Claims.claim)."""

    OWN = auto()
    SETTLE = auto()
    """The outcome was not announced: this request's worker does it."""
    JOIN = auto()
    """It is added to the waiters."""
    JOINED = auto()
    """Nothing is written: another worker answers it."""
    FINISHED = auto()
    HELD = auto()


def turn_of(status: MediaStatus, *, held: bool, evicting: bool, waiting: bool, unannounced: bool) -> Turn:
    """Decide a claim.

    Args:
        status: the record's. Without a record the request owns it.
        held: a lease is in force, of another request than this one.
        evicting: the lease's holder removes the file.
        waiting: this request is among the waiters.
        unannounced: there are waiters.
    """
    match status:
        case MediaStatus.PROCESSING if held and not evicting:
            return Turn.JOINED if waiting else Turn.JOIN
        case MediaStatus.PROCESSING | MediaStatus.ERROR if held:
            return Turn.HELD
        case MediaStatus.SUCCESS if held:
            return Turn.JOINED if waiting else Turn.FINISHED
        case MediaStatus.SUCCESS:
            return Turn.SETTLE if unannounced else Turn.FINISHED
        case _:
            return Turn.OWN


def in_force(until: int, now: int) -> bool:
    """Whether a lease that ends at `until` is held at `now`; both in ms since the epoch."""
    return now < until <= now + LONGEST_LEASE_MS


def milliseconds(span: timedelta) -> int:
    """Return a time span as leases are counted; never less than the span, so that a lease is not cut short."""
    return -(-span // timedelta(milliseconds=1))


def seq_tail() -> int:
    """Return the last bits of the next `seq`."""
    return next(_tail) % SEQ_TAIL


def grams(text: str, length: int) -> list[str]:
    """Return every run of so many characters, once each, in the order of their first place."""
    return list(dict.fromkeys(text[at : at + length] for at in range(len(text) - length + 1)))


def spread(items: Sequence[T], most: int) -> list[T]:
    """Take up to `most` items, evenly from the whole list."""
    if len(items) <= most:
        return list(items)
    return [items[at * (len(items) - 1) // (most - 1)] for at in range(most)]
