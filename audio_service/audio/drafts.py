"""The DCA file in the making: append-only drafts, which can be read while they are written.

An encoder that starts again gets a new draft, and the one before is removed: a reader that has it open never sees its
bytes change.
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
    """The newest draft, as the encoder's output: written in order, and truncated to start again.

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
        """Append all of it; readers see it when this returns. Raises OSError."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._size += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek to 0, before `truncate`. Raises io.UnsupportedOperation for any other offset."""
        if offset or whence != os.SEEK_SET:
            raise io.UnsupportedOperation("a draft is written in order")
        return 0

    def truncate(self, size: int | None = 0, /) -> int:
        """Start again, in a new draft unless this one is empty."""
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
