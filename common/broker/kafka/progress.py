"""What one group has done with one partition, and how that fits into an offset commit.

Kafka keeps one number per group and partition: everything below it is finished. Messages end in any order here, so the
commit's metadata, a text of up to 4096 bytes, holds the rest: for each offset from the committed one on, whether it is
finished or with which attempt it is delivered next. The next owner of the partition goes on from there.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

WINDOW = 2000
"""How far reading may run ahead of the lowest unfinished offset."""

_FORMAT = "butakero1"
_FINISHED = "-"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MOST_ATTEMPTS = len(_DIGITS) - 1
_MOST_MARKS = 3500


@dataclass(frozen=True, slots=True)
class Marks:
    """A commit's metadata: who wrote it, and one mark per offset from the committed one on."""

    owner: str = ""
    marks: str = ""

    @classmethod
    def parse(cls, metadata: str) -> Marks:
        """Read what `str` wrote; what somebody else wrote says nothing."""
        parts = metadata.split(" ")
        if len(parts) != len(("format", "owner", "marks")) or parts[0] != _FORMAT:
            return cls()
        return cls(parts[1], parts[2])

    def __str__(self) -> str:
        """Return the metadata."""
        return f"{_FORMAT} {self.owner} {self.marks}"

    @property
    def finished(self) -> int:
        """How many offsets from the committed one on are finished."""
        return self.marks.count(_FINISHED)


class PartitionProgress:
    """Offsets from the lowest unfinished one on. Values are the attempt of the next delivery, 0 for finished."""

    def __init__(self, position: int, marks: str = "") -> None:
        self.next_offset = position
        self._read: dict[int, int] = {}
        self._foretold = {
            position + index: 0 if mark == _FINISHED else _attempts(mark) for index, mark in enumerate(marks)
        }

    @property
    def position(self) -> int:
        """The lowest unfinished offset: what may be committed."""
        return next((offset for offset, attempt in self._read.items() if attempt), self.next_offset)

    @property
    def floor(self) -> int:
        """The lowest offset that is remembered."""
        return next(iter(self._read), self.next_offset)

    @property
    def is_full(self) -> bool:
        """Whether reading must wait for the lowest unfinished offset."""
        return self.next_offset - self.floor >= WINDOW

    def read(self, offset: int) -> int:
        """Note that this offset was read; return the attempt to deliver it with, 0 if it needs no delivery.

        Offsets come in ascending order; those left out do not exist (compaction, retention, transaction markers).
        """
        if offset < self.next_offset:
            return 0
        self.next_offset = offset + 1
        attempt = self._foretold.pop(offset, 1)
        self._read[offset] = attempt
        return attempt

    def set_next_attempt(self, offset: int, attempt: int) -> None:
        """Note with which attempt this offset is delivered next, 0 for never."""
        self._read[offset] = min(attempt, _MOST_ATTEMPTS)

    def marks(self) -> str:
        """Return one mark per offset from `position` on. What does not fit is left out, and delivered again."""
        start = self.position
        end = max(self.next_offset, max(self._foretold, default=-1) + 1, start)
        text = "".join(self._mark(offset) for offset in range(start, min(end, start + _MOST_MARKS)))
        return text.rstrip("1")

    def forget_finished(self, committed: int) -> None:
        """Drop what lies below the committed offset, up to what may have been taken back since."""
        below = min(committed, self.position)
        for offset in list(itertools.takewhile(lambda offset: offset < below, self._read)):
            del self._read[offset]

    def _mark(self, offset: int) -> str:
        unread = 1 if offset >= self.next_offset else 0
        attempt = self._read.get(offset, self._foretold.get(offset, unread))
        return _DIGITS[attempt] if attempt else _FINISHED


def _attempts(mark: str) -> int:
    return max(1, _DIGITS.find(mark))
