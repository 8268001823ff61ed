"""Ogg files read page by page (RFC 3533 §6), for what FFmpeg's demuxer does not tell.

A file may be a chain of links (§4): one logical file after the other, each with its own headers, so that the
codec's parameters change. FFmpeg refuses such a change; here each link is a file of its own. And a page says how long
it is, and whether it is the last of its stream: that shows whether the end is missing. Bytes that are no page are
passed on as they are, and from there on nothing is known.
"""

from __future__ import annotations

import io
from typing import BinaryIO

CAPTURE = b"OggS"
_PAGE_START = CAPTURE + b"\0"
_HEADER_BYTES = 27
_FLAGS, _GRANULE, _SEGMENTS = 5, slice(6, 14), 26
_BEGINS, _ENDS = 2, 4


class PageWatch:
    """Follows the pages of a file, in order.

    Attributes:
        in_step: whether only pages were seen so far.
        cut: whether the bytes end within a page, and there is something of what it holds.
        ended: whether the last page said that it is the last of its stream.
    """

    def __init__(self) -> None:
        self.in_step = True
        self.cut = False
        self.ended = False
        self._headers_only = True
        self._end: int | None = None
        self._ends: list[int | None] = []

    def begins_link(self, header: bytes) -> bool:
        """Take a page's header; return whether another link begins with it."""
        begins = bool(header[_FLAGS] & _BEGINS)
        another = begins and not self._headers_only
        # A link begins with the first pages of all of its streams.
        self._headers_only = begins
        self.ended = bool(header[_FLAGS] & _ENDS)
        if another:
            self._ends.append(self._end)
        granule = int.from_bytes(header[_GRANULE], "little", signed=True)
        self._end = granule if self.ended and granule > 0 and self.in_step else None
        return another

    def end_of(self, link: int) -> int | None:
        """Return the granule position of the page that ends a link, once it was read; None when no page says so."""
        return self._ends[link] if link < len(self._ends) else self._end

    def lose(self, header: bytes) -> None:
        """Take what stands where a page should begin: nothing, or something else."""
        if header:
            self.in_step = False


def _is_page(header: bytes) -> bool:
    return len(header) == _HEADER_BYTES and header.startswith(_PAGE_START)


def find_links(file: BinaryIO) -> tuple[list[int], PageWatch]:
    """Return where the links of a complete file begin, and what its end is like. The position is at the start again."""
    watch = PageWatch()
    size = file.seek(0, io.SEEK_END)
    starts, position, body = [0], 0, 0
    while position < size:
        file.seek(position)
        header = file.read(_HEADER_BYTES)
        if not _is_page(header):
            watch.lose(header)
            break
        if watch.begins_link(header):
            starts.append(position)
        lacing = file.read(header[_SEGMENTS])
        body = sum(lacing)
        position += _HEADER_BYTES + header[_SEGMENTS] + body
    if position - body < size < position:
        watch.cut = True
    file.seek(0)
    return starts, watch


class PagedFile(io.RawIOBase):
    """A download of an Ogg file, which ends at the end of each link; `next_link` goes on with the one after it."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._ready = b""
        self._next = b""
        self.watch = PageWatch()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes of this link, none at its end. Raises what the source raises."""
        if not self._ready and not self._next:
            self._ready = self._page() if self.watch.in_step else self._get(size)
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def next_link(self) -> bool:
        """Go on with the next link; False when this one was the last."""
        self._ready, self._next = self._next, b""
        return bool(self._ready)

    def _page(self) -> bytes:
        """Return the next page; b"" at the end, and when it begins another link."""
        header = self._take(_HEADER_BYTES)
        if not _is_page(header):
            self.watch.lose(header)
            return header
        another = self.watch.begins_link(header)
        lacing = self._take(header[_SEGMENTS])
        body = self._take(sum(lacing))
        self.watch.cut = 0 < len(body) < sum(lacing)
        page = header + lacing + body
        if another:
            self._next = page
            return b""
        return page

    def _take(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size and (data := self._get(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def _get(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) > size:
            raise ValueError(f"the source gave {len(data)} bytes when asked for {size}")
        return data


class Part(io.RawIOBase):
    """A part of a complete file, as a file of its own: from `start` to `end` (None: to its end)."""

    def __init__(self, file: BinaryIO, start: int, end: int | None = None) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._end = file.seek(0, io.SEEK_END) if end is None else end
        self.seek(0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes."""
        left = self._end - self._file.tell()
        return self._file.read(max(0, left if size < 0 else min(size, left)))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Seek within the part."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._start, base + offset)) - self._start

    def tell(self) -> int:
        """Return the position in the part."""
        return self._file.tell() - self._start
