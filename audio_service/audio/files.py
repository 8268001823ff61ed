"""The file objects that media is read from: one that can be rewound to its start, and those that FFmpeg reads.

FFmpeg calls `read` from C, where exceptions are lost or replaced. So nothing is raised there: the exception is stored,
FFmpeg sees the end of the file, and the caller of FFmpeg raises `failure` unchanged.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from audio_service.audio.base import WholeFileNeededError
from audio_service.audio.mp3 import FIRST_FRAME_BYTES, ID3_HEADER_BYTES, id3_end
from audio_service.audio.protection import START_BYTES, index_of, may_be_protected

KEPT_BYTES = 256 * 1024
HEAD_BYTES = 4096
_BOX_HEADER = 8
_LONG_BOX_HEADER = 16
# What an ISO media file may start with (ISO/IEC 14496-12 §4.3, and QuickTime's own).
_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})


class StartKept(io.RawIOBase):
    """A download without `seek` that can be read from its first byte again, until more than KEPT_BYTES were read:
    enough to decide which reader takes it.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._kept = bytearray()
        self._position = 0
        self._keeps = True

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes, none at the end. Raises what the source raises."""
        if self._position < len(self._kept):
            data = bytes(self._kept[self._position : self._position + size])
            self._position += len(data)
            return data
        data = self._source.read(size)
        if self._keeps:
            self._kept += data
            self._position = len(self._kept)
            if self._position > KEPT_BYTES:
                self._keeps, self._position = False, 0
                self._kept.clear()
        return data

    def start_again(self, reason: str) -> None:
        """Go back to the first byte. Raises WholeFileNeededError when it is no longer buffered."""
        if not self._keeps:
            raise WholeFileNeededError(reason)
        self._position = 0


class SequentialFile:
    """A file that is read once, in order; what PyAV sees has no `seek`, and so FFmpeg does not try.

    Attributes:
        failure: what the source raised, or WholeFileNeededError; from then on the file is at its end.
        head: the first HEAD_BYTES that were read.
        bytes_read: how many were, those read twice counted twice.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._boxes = BoxWatch()
        self._behind_tag = BehindTag()
        self._start: bytearray | None = bytearray()
        self.failure: BaseException | None = None
        self.head = b""
        self.bytes_read = 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes (PyAV copies what it gets into a buffer of that size, unchecked)."""
        data = self._read(size)
        if data and not self._boxes.sees(data):
            self.failure = WholeFileNeededError("the index comes after the media data")
            return b""
        return data

    def behind_tag(self) -> bytes:
        """Return the FIRST_FRAME_BYTES behind the ID3v2 tag, or those of the file's start without a tag."""
        return self._behind_tag.data

    def headers(self) -> bytes:
        """Return what `refuse_protected` looks at, b"" of kinds that are never protected. Keep it no longer."""
        start, self._start = self._start or b"", None
        return bytes(start)

    def size(self) -> int:
        """Return the size of the whole file, whose rest is read. Raises what the source raises."""
        while self._read(KEPT_BYTES):
            pass
        if self.failure is not None:
            raise self.failure
        return self.bytes_read

    def _read(self, size: int) -> bytes:
        if self.failure is not None:
            return b""
        try:
            data = self._source.read(size)
        except BaseException as exc:  # noqa: BLE001 - raised again by FFmpeg's caller, see the module docstring
            self.failure = exc
            return b""
        if len(data) > size:
            self.failure = ValueError(f"the source gave {len(data)} bytes when asked for {size}")
            return b""
        self.bytes_read += len(data)
        self._behind_tag.take(data)
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        self._keep(data)
        return data

    def _keep(self, data: bytes) -> None:
        if self._start is None:
            return
        self._start += data[: START_BYTES - len(self._start)]
        if len(self.head) >= HEAD_BYTES and not may_be_protected(self.head):
            self._start = None


class SeekableFile(SequentialFile):
    """A complete file: FFmpeg may jump in it."""

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; the order of boxes does not matter in a seekable file."""
        return self._read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seek. A failure is stored, and the file is at its end."""
        try:
            return self._source.seek(offset, whence)
        except BaseException as exc:  # noqa: BLE001 - as in read
            self.failure = exc
            return -1

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._source.tell()

    def headers(self) -> bytes:
        """As SequentialFile.headers; the index of an ISO media file may stand anywhere."""
        if not may_be_protected(self.head):
            return b""
        here = self._source.tell()
        self._source.seek(index_of(self._source))
        data = self._source.read(START_BYTES)
        self._source.seek(here)
        return data

    def _keep(self, data: bytes) -> None:
        """Keep nothing: it can be read again."""

    def behind_tag(self) -> bytes:
        """As SequentialFile.behind_tag."""
        here = self._source.tell()
        self._source.seek(0)
        self._source.seek(id3_end(self._source.read(ID3_HEADER_BYTES)))
        data = self._source.read(FIRST_FRAME_BYTES)
        self._source.seek(here)
        return data

    def size(self) -> int:
        """Return the file's size."""
        here = self._source.tell()
        size = self._source.seek(0, io.SEEK_END)
        self._source.seek(here)
        return size


class BehindTag:
    """Keeps what comes behind an ID3v2 tag, which may hold a picture of a megabyte. `data`: FIRST_FRAME_BYTES of it."""

    def __init__(self) -> None:
        self.data = b""
        self._left: int | None = None

    def take(self, data: bytes) -> None:
        """Take the file's next bytes."""
        if len(self.data) >= FIRST_FRAME_BYTES and not self._left:
            return
        self.data += data
        if self._left is None:
            if len(self.data) < ID3_HEADER_BYTES:
                return
            self._left = id3_end(self.data)
        passed = min(self._left, len(self.data))
        self._left -= passed
        self.data = self.data[passed : passed + FIRST_FRAME_BYTES]


class BoxWatch:
    """Follows the top-level boxes of an ISO media file as its bytes pass by; other files are ignored.

    With `moov` behind `mdat` nothing can be decoded before the last byte is there: that is known at `mdat`'s header.
    """

    def __init__(self) -> None:
        self._header = b""
        self._skip = 0
        self._watching = True
        self._first = True

    def sees(self, data: bytes) -> bool:
        """Take the next bytes; False once `mdat` has come before `moov`."""
        position = 0
        while self._watching and position < len(data):
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                continue
            need = self._needed()
            part = data[position : position + need - len(self._header)]
            self._header += part
            position += len(part)
            if len(self._header) == self._needed() and not self._box():
                return False
        return True

    def _needed(self) -> int:
        long = len(self._header) >= _BOX_HEADER and self._header[:4] == b"\0\0\0\1"
        return _LONG_BOX_HEADER if long else _BOX_HEADER

    def _box(self) -> bool:
        header, self._header = self._header, b""
        kind = header[4:8]
        if kind == b"mdat":
            self._watching = False
            return False
        size = int.from_bytes(header[8:] or header[:4], "big")
        # Done at `moov`, at a size below the header's own (malformed), and when the first box is no media box.
        if kind == b"moov" or size < len(header) or (self._first and kind not in _FIRST_BOXES):
            self._watching = False
        self._first = False
        self._skip = size - len(header)
        return True
