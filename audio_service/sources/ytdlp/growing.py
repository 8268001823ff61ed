"""A file that one thread downloads while another reads it from the front.

The reader gets exactly the bytes of the finished file, or the download's own error: `read` blocks until there is more,
returns b"" only at the end of a complete download, and raises the error of a failed one. There is no `seek`.
"""

from __future__ import annotations

import io
from pathlib import Path
from threading import Condition
from typing import BinaryIO, cast

from common.errors import AppError

_PART_SUFFIX = ".part"
_POLL_SECONDS = 0.25


class AbandonedError(Exception):
    """The reader has abandoned the file: the download stops."""


class GrowingFile:
    """What the two threads share. `path` is the complete file's; until then it has the suffix `.part`.

    Attributes:
        error: why the download failed, once it has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: AppError | None = None
        self._changed = Condition()
        self._complete = False
        self._abandoned = False

    @property
    def complete(self) -> bool:
        """Whether the download is complete."""
        return self._complete

    def grew(self) -> None:
        """Writer: there is more. Raises AbandonedError when the reader has left."""
        if self._abandoned:
            raise AbandonedError
        with self._changed:
            self._changed.notify_all()

    def finish(self, error: AppError | None = None) -> None:
        """Writer: the download is complete, or failed with `error`."""
        with self._changed:
            self.error, self._complete = error, error is None
            self._changed.notify_all()

    def abandon(self) -> None:
        """Reader: stop the download at its next `grew`."""
        self._abandoned = True

    def wait_complete(self) -> None:
        """Reader: wait for the whole file. Raises the download's error."""
        while not self.ended():
            self.wait()

    def wait(self) -> None:
        """Reader: wait for a change; may return without one."""
        with self._changed:
            # The writer's buffers reach the file without a notification, hence the time-out.
            self._changed.wait(_POLL_SECONDS)

    def open(self) -> BinaryIO:
        """Reader: open it at its first byte, waiting until there is one. Raises the download's error."""
        while True:
            ended = self.ended()
            for path in (self.path.with_name(self.path.name + _PART_SUFFIX), self.path):
                try:
                    return cast("BinaryIO", _Reader(self, path))
                except FileNotFoundError:
                    continue
            if ended:
                raise FileNotFoundError(self.path)
            self.wait()

    def ended(self) -> bool:
        """Reader: whether there will be no more bytes. Raises the download's error."""
        if self.error is not None:
            raise self.error
        return self._complete


class _Reader(io.RawIOBase):
    """Unbuffered: a read returns as soon as at least one byte is available."""

    def __init__(self, growing: GrowingFile, path: Path) -> None:
        super().__init__()
        self._growing = growing
        self._file = path.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - CPython passes a memoryview
        while True:
            # In this order: bytes written before `finish` must not be missed.
            ended = self._growing.ended()
            if (count := self._file.readinto(buffer)) or ended:
                return count
            self._growing.wait()

    def close(self) -> None:
        self._file.close()
        super().close()
