"""The DCA file in the making: drafts that are only ever appended to, so that others may read them meanwhile.

An encoder that has to begin again gets a new draft, and the one before is removed: whoever has it open never sees bytes
change below it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Self

DRAFTS = "out*.dca"
"""Matches every draft's name."""


def draft_path(directory: Path, number: int) -> Path:
    """Return where a draft is; the first has the number 0."""
    return directory / (f"out-{number}.dca" if number else "out.dca")


class Drafts(io.RawIOBase):
    """The newest draft, as the encoder's output: written in order, and truncated to nothing to begin again.

    Attributes:
        number: the newest draft's.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self.number = 0
        self._size = 0
        self._file = self.path.open("wb", buffering=0)

    def __enter__(self) -> Self:
        """Return itself; leaving closes the draft, which stays."""
        return self

    @property
    def path(self) -> Path:
        """Where the newest draft is."""
        return draft_path(self._directory, self.number)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - what the encoder has
        """Append all of it; others can read it when this returns. Raises OSError."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._size += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Take 0 and nothing else: the way to `truncate`. Raises io.UnsupportedOperation."""
        if offset or whence != os.SEEK_SET:
            raise io.UnsupportedOperation("a draft is written in order")
        return 0

    def truncate(self, size: int | None = 0, /) -> int:
        """Begin again, in a new draft unless nothing was written."""
        if size:
            raise io.UnsupportedOperation("a draft keeps what it has")
        if self._size:
            self._file.close()
            before = self.path
            self.number += 1
            self._size = 0
            self._file = self.path.open("wb", buffering=0)
            before.unlink()
        return 0

    def close(self) -> None:
        """Close the newest draft."""
        self._file.close()
        super().close()
