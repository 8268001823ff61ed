"""Ogg files of Opus written page by page, for what no muxer at hand writes: any granule position, no end page."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from tests.servers.media_damage import ogg_crc

PRE_SKIP = 312


def opus_file(pages: Iterable[tuple[Sequence[bytes], int]], *, pre_skip: int = PRE_SKIP, ended: bool = True) -> bytes:
    """Return a stereo stream. A page is its packets (at most 255 lacing values) and its granule position; the last one
    says that it is the last when `ended`.
    """
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, pre_skip, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I4sI", 4, b"test", 0)
    body = list(pages)
    made = [_page([head], 0, 0, 2), _page([tags], 0, 1, 0)]
    for number, (packets, granule) in enumerate(body):
        made.append(_page(packets, granule, number + 2, 4 if ended and number == len(body) - 1 else 0))
    return b"".join(made)


def _page(packets: Sequence[bytes], granule: int, sequence: int, flags: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets)
    header = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 1, sequence, 0, len(lacing))
    page = header + lacing + b"".join(packets)
    return page[:22] + ogg_crc(page).to_bytes(4, "little") + page[26:]
