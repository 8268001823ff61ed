"""A file that one thread downloads while another reads it from the front.

The reader gets exactly the bytes of the finished file, or the download's own error: `read` blocks until there is more,
returns b"" only at the end of a complete download, and raises the error of a failed one. There is no `seek`.
"""

from __future__ import annotations

import io
import time
from contextlib import suppress
from pathlib import Path
from threading import Condition
from typing import BinaryIO, cast

from common.errors import AppError, MediaLive, SourceUnavailable

_PART_SUFFIX = ".part"
_POLL_SECONDS = 0.25
# At least a kilobyte a second, a third of the lowest bit rate of music, or the reader gives up.
_WINDOW_SECONDS = 60.0
_WINDOW_BYTES = 60 * 1024
# A body of no stated length whose sound comes no faster than it plays, over so long, is a live stream. What such a
# server sends at once on connecting (Icecast: 64 KB) is over within the first window.
_LIVE_WINDOW_SECONDS = 30.0
_LIVE_PACE = 1.2
# Before its first sound a file may have a picture or an index.
_SILENT_WINDOW_BYTES = 4 * 1024 * 1024
# What cannot be read while it comes is never seen to be live: it has so long to end.
_WHOLE_SECONDS = 120.0


class AbandonedError(Exception):
    """The reader has abandoned the file: the download stops."""


class GrowingFile:
    """What the two threads share. `path` is the complete file's; until then it has the suffix `.part`.

    Attributes:
        open_ended: whether no length was stated, neither by the server nor by a playlist.
        error: why the download failed, once it has.
    """

    def __init__(
        self,
        path: Path,
        *,
        window_seconds: float = _WINDOW_SECONDS,
        live_window_seconds: float = _LIVE_WINDOW_SECONDS,
        whole_seconds: float = _WHOLE_SECONDS,
    ) -> None:
        self.path = path
        self.open_ended = False
        self._window_seconds = window_seconds
        self._live_window_seconds = live_window_seconds
        self._whole_seconds = whole_seconds
        self._mark = (time.monotonic(), 0)
        self._sound_ms = 0
        self._live_mark = (self._mark[0], 0, 0)
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

    def heard(self, milliseconds: int) -> None:
        """Reader: there is so much sound in what has been read."""
        self._sound_ms = max(self._sound_ms, milliseconds)

    def wait_complete(self) -> None:
        """Reader: wait for the whole file. Raises the download's error, and MediaLive when there is no end in sight."""
        began = time.monotonic()
        while not self.ended():
            self._wait()
            if self.open_ended and time.monotonic() - began > self._whole_seconds and not self._over:
                raise MediaLive(f"no length is stated, and no end came in {self._whole_seconds:.0f} s")

    def wait(self) -> None:
        """Reader, that has read all there is: wait for a change; may return without one.

        Raises:
            SourceUnavailable: next to nothing has come for a while. A source that sends a byte a second never runs into
                a time-out of the network.
            MediaLive: no length is stated, and the sound comes no faster than it plays.
        """
        self._wait()
        size, now = self._size(), time.monotonic()
        since, bytes_before, sound_before = self._live_mark
        bytes_come, sound_come = size - bytes_before, self._sound_ms - sound_before
        begins = not self._sound_ms and bytes_come >= _SILENT_WINDOW_BYTES
        if begins or sound_come >= self._live_window_seconds * 1000 * _LIVE_PACE:
            self._live_mark = (now, size, self._sound_ms)
        elif self.open_ended and now - since > self._live_window_seconds and not self._over:
            raise MediaLive(f"no length is stated, and {sound_come} ms of sound came in {now - since:.0f} s")

    def _wait(self) -> None:
        with self._changed:
            # The writer's buffers reach the file without a notification, hence the time-out.
            self._changed.wait(_POLL_SECONDS)
        size, now = self._size(), time.monotonic()
        since, before = self._mark
        if size - before >= _WINDOW_BYTES:
            self._mark = (now, size)
        elif now - since > self._window_seconds and not self._over:
            raise SourceUnavailable(f"{size - before} bytes in {now - since:.0f} s")

    @property
    def _over(self) -> bool:
        return self._complete or self.error is not None

    def _size(self) -> int:
        for path in (self.path.with_name(self.path.name + _PART_SUFFIX), self.path):
            with suppress(FileNotFoundError):
                return path.stat().st_size
        return 0

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
