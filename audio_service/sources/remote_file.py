"""A file in an object store as FFmpeg reads it: by ranges of a presigned URL, without a copy on the disk.

Reading forward, a request asks for twice as much as the one before, up to LARGEST_PIECE; after a jump it begins small
again. So an index at the file's end is fetched, and not what stands before it. What was fetched last stays at hand:
readers look at the start, and at the index, more than once.
"""

from __future__ import annotations

import io
import os
import ssl
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import httpx

from common.errors import StorageUnavailable, UploadMismatch, UploadMissing

FIRST_PIECE = 32 * 1024
LARGEST_PIECE = 1024 * 1024
KEPT_BYTES = 4 * LARGEST_PIECE
_PATIENCE = httpx.Timeout(15.0)
PAUSES = (0.2, 0.8, 3.2)
"""Seconds before each further attempt: stores answer 503 when they are asked for much."""
_PARTIAL = 206
_REPLACED, _MISSING = (412, 409), (404,)


@dataclass(frozen=True, slots=True)
class RemoteBlob:
    """Where it is, for some time, and what it was when it was looked at: `size` in bytes, a strong `etag`."""

    url: str
    size: int
    etag: str


@contextmanager
def open_remote(blob: RemoteBlob) -> Generator[RemoteFile]:
    """Open a file for reading. No request is made before the first read."""
    trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
    with httpx.Client(timeout=_PATIENCE, verify=trusted, trust_env=False) as client:
        yield RemoteFile(blob, client)


class RemoteFile(io.RawIOBase):
    """Readable and seekable. `bytes_fetched`: what was asked of the store.

    `read` raises:
        UploadMismatch: it was replaced.
        UploadMissing: it is not there any more.
        StorageUnavailable: any other failure; the whole job may be tried again.
    """

    def __init__(self, blob: RemoteBlob, client: httpx.Client, pauses: Sequence[float] = PAUSES) -> None:
        super().__init__()
        self._blob: RemoteBlob = blob
        self._client: httpx.Client = client
        self._pauses: Sequence[float] = pauses
        self._position: int = 0
        self._next: int = FIRST_PIECE
        self._pieces = dict[int, bytes]()
        """By where they start, the one that was fetched last at the end."""
        self.bytes_fetched: int = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, also beyond the end, and return the position. Nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._blob.size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset}: a file begins at 0")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, all that are left for -1; none at the end."""
        left = max(0, self._blob.size - self._position)
        wanted = left if size < 0 else min(size, left)
        parts: list[bytes] = []
        while wanted:
            part = self._at_hand(wanted)
            self._position += len(part)
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _at_hand(self, wanted: int) -> bytes:
        """Return some of the next bytes, at least one."""
        for start, piece in self._pieces.items():
            if start <= self._position < start + len(piece):
                into = self._position - start
                return piece[into : into + wanted]
        return self._fetch(wanted)[:wanted]

    def _fetch(self, wanted: int) -> bytes:
        last = next(reversed(self._pieces.items()), (0, b""))
        goes_on = bool(last[1]) and self._position == last[0] + len(last[1])
        self._next = min(LARGEST_PIECE, self._next * 2) if goes_on else FIRST_PIECE
        length = min(max(self._next, min(wanted, LARGEST_PIECE)), self._blob.size - self._position)
        # None of those that are kept begins here, or it would be at hand: it comes to stand at the end.
        piece = self._pieces[self._position] = self._request(self._position, length)
        self.bytes_fetched += length
        while sum(map(len, self._pieces.values())) > KEPT_BYTES:
            del self._pieces[next(iter(self._pieces))]
        return piece

    def _request(self, start: int, length: int) -> bytes:
        headers = {
            "Range": f"bytes={start}-{start + length - 1}",
            "If-Match": f'"{self._blob.etag}"',
            "Accept-Encoding": "identity",
        }
        for pause in (*self._pauses, None):
            try:
                with self._client.stream("GET", self._blob.url, headers=headers) as answer:
                    return _body(answer, length)
            except (httpx.TransportError, _Busy) as exc:
                if pause is None:
                    raise StorageUnavailable(f"bytes {start} to {start + length} of the upload: {exc!r}") from exc
                time.sleep(pause)
        raise AssertionError


class ReadInOrder(io.RawIOBase):
    """A file that is read once, from its start to its end: what it is made of need not be looked at beforehand."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file: BinaryIO = file

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read as the file does."""
        return self._file.read(size)


class _Busy(Exception):
    """The store answered that it cannot now."""


def _body(answer: httpx.Response, length: int) -> bytes:
    status, announced = answer.status_code, answer.headers.get("Content-Length")
    if status == _PARTIAL and announced == str(length):
        return answer.read()
    if status in _REPLACED:
        raise UploadMismatch("replaced while it was read")
    if status in _MISSING:
        raise UploadMissing("removed while it was read")
    if status >= 500 or status == 429:  # noqa: PLR2004 - Too Many Requests
        raise _Busy(f"HTTP {status}")
    raise StorageUnavailable(f"the store answered HTTP {status} with {announced} of {length} bytes")
