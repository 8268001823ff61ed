"""EBML, the grammar under Matroska and WebM (RFC 8794), read in order from a file that may still be growing.

Reads element headers, numbers and the children of small elements; their meaning is the reader's.
Declared sizes are not trusted: memory is allocated for bytes that have arrived, up to a limit that the caller names.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Container, Iterable
from typing import BinaryIO

_READ_BYTES = 64 * 1024
# An ID of four bytes and a size of eight (RFC 8794 §11.2.4 and §11.2.5: the defaults, and all that Matroska uses).
_LONGEST_HEADER = 12
_MAX_ID_BYTES = 4
_MAX_SIZE_BYTES = 8
_MAX_UNSIGNED_BYTES = 8


class NotPlainError(Exception):
    """The file is not plain; FFmpeg, which knows the whole format, may still read it."""


class SourceEndedError(Exception):
    """The bytes end before what was asked for."""


class Window:
    """The part of the source that is in memory: at most what was asked for and one read more.

    Attributes:
        data: the bytes.
        position: where the next element begins in them.
        base: the offset of the first of them in the source.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._header_bytes = 0
        self.data = b""
        self.position = 0
        self.base = 0

    @property
    def offset(self) -> int:
        """Where in the source the position is."""
        return self.base + self.position

    def has(self, count: int) -> bool:
        """Read until `count` bytes are there from the position on; False when the source ends before."""
        missing = count - (len(self.data) - self.position)
        if missing <= 0:
            return True
        parts = [self.data[self.position :]]
        while missing > 0 and (more := self._source.read(_READ_BYTES)):
            parts.append(more)
            missing -= len(more)
        self.base += self.position
        self.position = 0
        self.data = b"".join(parts)
        return missing <= 0

    def need(self, count: int) -> None:
        """As `has`, but raises SourceEndedError."""
        if not self.has(count):
            raise SourceEndedError

    def header(self) -> tuple[int, int | None]:
        """Pass an element's header; return its ID with the marker bits, and its size (None: unknown, §6.2).

        Raises:
            NotPlainError: there is no such header.
            SourceEndedError: it is not all there.
        """
        self.has(_LONGEST_HEADER)
        data, start = self.data, self.position
        id_bytes = _vint_bytes(data, start, _MAX_ID_BYTES)
        size_bytes = _vint_bytes(data, start + id_bytes, _MAX_SIZE_BYTES)
        self._header_bytes = id_bytes + size_bytes
        self.position = start + self._header_bytes
        if self.position > len(data):
            raise SourceEndedError
        kind = int.from_bytes(data[start : start + id_bytes], "big")
        all_ones = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(data[start + id_bytes : self.position], "big") & all_ones
        return kind, None if size == all_ones else size

    def back(self) -> None:
        """Return to the start of the header that was just passed."""
        self.position -= self._header_bytes

    def take(self, size: int | None, limit: int) -> bytes:
        """Pass `size` bytes and return them. Raises NotPlainError for an unknown size or one over `limit`."""
        if size is None or size > limit:
            raise NotPlainError(f"an element of {size} bytes")
        self.need(size)
        start, self.position = self.position, self.position + size
        return self.data[start : self.position]

    def skip(self, size: int) -> None:
        """Pass `size` bytes without keeping them."""
        while (there := len(self.data) - self.position) < size:
            size -= there
            self.position = len(self.data)
            self.need(1)
        self.position += size


class Children:
    """The elements inside a small one, by ID."""

    def __init__(self, bodies: Iterable[tuple[int, bytes]]) -> None:
        self._bodies: dict[int, list[bytes]] = {}
        for kind, body in bodies:
            self._bodies.setdefault(kind, []).append(body)

    def all(self, kind: int) -> list[bytes]:
        """Return every body of this kind, in order."""
        return self._bodies.get(kind, [])

    def only(self, kind: int) -> bytes:
        """Return the body of the one element of this kind, b"" when there is none. Raises NotPlainError for two."""
        bodies = self.all(kind)
        if len(bodies) > 1:
            raise NotPlainError(f"element {kind:#x} twice")
        return bodies[0] if bodies else b""

    def unsigned(self, kind: int, default: int) -> int:
        """Return an unsigned integer (§7.2), or `default`. Raises NotPlainError."""
        body = self.only(kind)
        return unsigned(body) if body else default

    def number(self, kind: int) -> float | None:
        """Return a float of 4 or 8 bytes (§7.3), None when there is none. Raises NotPlainError."""
        body = self.only(kind)
        if not body:
            return None
        if len(body) not in {4, 8}:
            raise NotPlainError(f"a float of {len(body)} bytes")
        value: float = struct.unpack(">f" if len(body) == 4 else ">d", body)[0]  # noqa: PLR2004 - the line above
        return value


def children(body: bytes, known: Container[int] | None = None) -> Children:
    """Parse an element's body. Raises NotPlainError when sizes do not add up, or for elements not in `known`."""
    return Children(_walk(body, known))


def unsigned(body: bytes) -> int:
    """Read an unsigned integer. Raises NotPlainError for one that is empty or too long."""
    if not 0 < len(body) <= _MAX_UNSIGNED_BYTES:
        raise NotPlainError(f"an integer of {len(body)} bytes")
    return int.from_bytes(body, "big")


def _walk(body: bytes, known: Container[int] | None) -> Iterable[tuple[int, bytes]]:
    window = Window(io.BytesIO(body))
    while window.has(1):
        try:
            kind, size = window.header()
            if known is not None and kind not in known:
                raise NotPlainError(f"element {kind:#x}")
            yield kind, window.take(size, len(body))
        except SourceEndedError:
            raise NotPlainError("an element is larger than its parent") from None


def _vint_bytes(data: bytes, at: int, most: int) -> int:
    """Return the length of a VINT (§4.3: one more than the zero bits it begins with)."""
    if at >= len(data):
        raise SourceEndedError
    length = 9 - data[at].bit_length()
    if length > most:
        raise NotPlainError("no element here")
    return length
