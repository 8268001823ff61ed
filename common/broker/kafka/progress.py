"""A group's progress in one partition, and its form in an offset commit.

Kafka keeps one number per group and partition: everything below it is finished. Here messages are settled in any
order, so the commit's metadata, a text of up to 4096 bytes, holds the rest: one mark for each offset from the
committed one on, "-" for finished, else the attempt of its next delivery in base 36. The partition's next owner starts
from there.

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
_MAX_ATTEMPT = len(_DIGITS) - 1
_MAX_MARKS = 3500


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A group's commit for a partition: the next offset, -1 for none, and the committer's metadata."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """The metadata of a commit: the committing member's id, and one mark per offset from the committed one on."""

    owner: str = ""
    marks: str = ""

    @classmethod
    def parse(cls, metadata: str) -> CommitMetadata:
        """Read what `str` wrote; metadata of another program is empty."""
        parts = metadata.split(" ")
        if len(parts) != len(("format", "owner", "marks")) or parts[0] != _FORMAT:
            return cls()
        return cls(parts[1], parts[2])

    def __str__(self) -> str:
        """Return the text for the commit request."""
        return f"{_FORMAT} {self.owner} {self.marks}"

    @property
    def finished(self) -> int:
        """How many offsets from the committed one on are finished."""
        return self.marks.count(_FINISHED)


class PartitionProgress:
    """The offsets from the lowest unfinished one on, each with the attempt of its next delivery; 0 for finished.

    `next_offset` is the offset to read next. `marks` are those of the previous owner's commit at `position`.
    """

    def __init__(self, position: int, marks: str = "") -> None:
        self.next_offset = position
        self._read: dict[int, int] = {}
        self._inherited = {
            position + index: 0 if mark == _FINISHED else _attempt(mark) for index, mark in enumerate(marks)
        }

    @property
    def position(self) -> int:
        """The lowest unfinished offset: what may be committed."""
        return next((offset for offset, attempt in self._read.items() if attempt), self.next_offset)

    @property
    def floor(self) -> int:
        """The lowest offset in memory."""
        return next(iter(self._read), self.next_offset)

    @property
    def is_full(self) -> bool:
        """Whether reading must wait until the lowest unfinished offset is finished."""
        return self.next_offset - self.floor >= WINDOW

    def read(self, offset: int) -> int:
        """Note that this offset was read; return the attempt to deliver it with, 0 if it is finished already.

        Offsets come in ascending order; missing ones do not exist (compaction, retention, transaction markers).
        """
        if offset < self.next_offset:
            return 0
        self.next_offset = offset + 1
        attempt = self._inherited.pop(offset, 1)
        self._read[offset] = attempt
        return attempt

    def set_next_attempt(self, offset: int, attempt: int) -> None:
        """Set the attempt of this offset's next delivery, 0 for finished."""
        self._read[offset] = min(attempt, _MAX_ATTEMPT)

    def marks(self) -> str:
        """Return one mark per offset from `position` on. Offsets beyond the limit are left out, and redelivered."""
        start = self.position
        end = max(self.next_offset, max(self._inherited, default=-1) + 1, start)
        text = "".join(self._mark(offset) for offset in range(start, min(end, start + _MAX_MARKS)))
        return text.rstrip("1")

    def forget_finished(self, committed: int) -> None:
        """Drop offsets below the committed one; not those that became unfinished again since the commit began."""
        below = min(committed, self.position)
        for offset in list(itertools.takewhile(lambda offset: offset < below, self._read)):
            del self._read[offset]

    def _mark(self, offset: int) -> str:
        unread = 1 if offset >= self.next_offset else 0
        attempt = self._read.get(offset, self._inherited.get(offset, unread))
        return _DIGITS[attempt] if attempt else _FINISHED


def _attempt(mark: str) -> int:
    return max(1, _DIGITS.find(mark))
