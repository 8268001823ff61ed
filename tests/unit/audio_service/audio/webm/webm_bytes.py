"""WebM files written element by element, for what no muxer at hand writes: lacing, gaps, odd sizes, other tracks."""

from __future__ import annotations

import struct
from collections.abc import Sequence

OPUS_HEAD = struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, 312, 48_000, 0, 0)
UNKNOWN_SIZE = b"\x01" + b"\xff" * 7


def element(kind: int, body: bytes, *, size_bytes: int = 0, unknown: bool = False) -> bytes:
    """Return an element; its size takes `size_bytes` (as few as do when 0), or is unknown."""
    head = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    if unknown:
        return head + UNKNOWN_SIZE + body
    count = size_bytes or next(count for count in range(1, 9) if len(body) < (1 << 7 * count) - 1)
    return head + (1 << 7 * count | len(body)).to_bytes(count, "big") + body


def number(kind: int, value: int) -> bytes:
    """Return an element with an unsigned integer."""
    return element(kind, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def header(doc_type: bytes = b"webm") -> bytes:
    """Return the EBML header."""
    limits = number(0x4286, 1) + number(0x42F7, 1) + number(0x42F2, 4) + number(0x42F3, 8)
    return element(0x1A45DFA3, limits + element(0x4282, doc_type) + number(0x4287, 4) + number(0x4285, 2))


def info(duration_ms: float | None = None, *, more: bytes = b"") -> bytes:
    """Return Info with a tick of one millisecond."""
    duration = b"" if duration_ms is None else element(0x4489, struct.pack(">d", duration_ms))
    return element(0x1549A966, number(0x2AD7B1, 1_000_000) + duration + more)


def track(  # noqa: PLR0913 - each is one independent property of the track
    number_: int = 1,
    *,
    kind: int = 2,
    codec: bytes = b"A_OPUS",
    private: bytes = OPUS_HEAD,
    channels: int = 2,
    more: bytes = b"",
) -> bytes:
    """Return a TrackEntry, of Opus unless told otherwise."""
    audio = element(0xE1, element(0xB5, struct.pack(">d", 48_000.0)) + number(0x9F, channels)) if kind == 2 else b""
    what = number(0xD7, number_) + number(0x73C5, number_) + number(0x83, kind) + element(0x86, codec)
    return element(0xAE, what + element(0x63A2, private) + audio + more)


def tracks(*entries: bytes) -> bytes:
    """Return Tracks."""
    return element(0x1654AE6B, b"".join(entries))


def block(packet: bytes, ticks: int = 0, *, number_: int = 1, flags: int = 0x80, size_bytes: int = 0) -> bytes:
    """Return a SimpleBlock; `ticks` are relative to its cluster."""
    return element(0xA3, _block(packet, ticks, number_, flags), size_bytes=size_bytes)


def group(packet: bytes, ticks: int = 0, *, number_: int = 1, more: bytes = b"") -> bytes:
    """Return a BlockGroup with a Block and a BlockDuration."""
    return element(0xA0, element(0xA1, _block(packet, ticks, number_, 0)) + number(0x9B, 20) + more)


def cluster(ticks: int, blocks: Sequence[bytes], *, unknown: bool = False) -> bytes:
    """Return a Cluster that begins at `ticks`."""
    return element(0x1F43B675, number(0xE7, ticks) + b"".join(blocks), unknown=unknown)


def segment(*parts: bytes, unknown: bool = False) -> bytes:
    """Return a Segment."""
    return element(0x18538067, b"".join(parts), unknown=unknown)


def _block(packet: bytes, ticks: int, number_: int, flags: int) -> bytes:
    return bytes((0x80 | number_,)) + ticks.to_bytes(2, "big", signed=True) + bytes((flags,)) + packet
