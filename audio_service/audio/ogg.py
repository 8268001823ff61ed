"""DCA frames as Ogg Opus, for browsers: the same packets in another container (RFC 7845 in RFC 3533 pages).

Pages are written here and not by PyAV's muxer: this runs in the API's process, where FFmpeg would cost 0.2 s and 30 MB,
and a generator of pages needs no thread, pipe or temporary file. Packets are neither decoded nor checked. Memory is one
page.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

from audio_service.audio.base import ENCODER_DELAY, FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE

VENDOR = "butakero"
MAX_TITLE_CHARACTERS = 1000
_FRAMES_PER_PAGE = 1000 // FRAME_MS
_MAX_SEGMENTS = 255
_FULL_SEGMENT = 255
_BEGINS, _ENDS = 2, 4
_PAGE = struct.Struct("<4sBBqIIIB")
_CRC_OFFSET = 22
_ALL_ONES = 0xFFFF_FFFF
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def dca_to_ogg(
    frames: Iterable[bytes], *, channels: int = 2, title: str = "", pre_skip: int = ENCODER_DELAY, serial: int = 1
) -> Iterator[bytes]:
    """Yield the pages of an Ogg Opus stream; the audio pages hold a second each.

    Args:
        frames: Opus packets of 20 ms (a DcaReader).
        channels: 1 or 2, for OpusHead; decoders make both of any packet.
        title: goes into OpusTags, cut at MAX_TITLE_CHARACTERS.
        pre_skip: samples (48 kHz) to drop at the start.
        serial: the logical stream's number, of any value.

    Raises:
        whatever iterating `frames` raises; the stream then has no end-of-stream page.
    """
    pages = _Pages(serial)
    yield pages.make([_opus_head(channels, pre_skip)], 0, _BEGINS)
    yield pages.make([_opus_tags(title)], 0)
    batch: list[bytes] = []
    segments = position = 0
    for frame in frames:
        needed = len(frame) // _FULL_SEGMENT + 1
        if batch and (len(batch) == _FRAMES_PER_PAGE or segments + needed > _MAX_SEGMENTS):
            position += len(batch) * FRAME_SAMPLES
            yield pages.make(batch, position)
            batch, segments = [], 0
        batch.append(frame)
        segments += needed
    yield pages.make(batch, position + len(batch) * FRAME_SAMPLES, _ENDS)


class _Pages:
    """Numbers the pages of one logical stream."""

    def __init__(self, serial: int) -> None:
        self._serial = serial
        self._sequence = 0

    def make(self, packets: list[bytes], granule: int, flags: int = 0) -> bytes:
        """Return one page of whole packets; they must fit (_MAX_SEGMENTS lacing values)."""
        lacing = b"".join(
            b"\xff" * (len(packet) // _FULL_SEGMENT) + bytes((len(packet) % _FULL_SEGMENT,)) for packet in packets
        )
        header = _PAGE.pack(b"OggS", 0, flags, granule, self._serial, self._sequence, 0, len(lacing))
        self._sequence += 1
        page = bytearray(header + lacing + b"".join(packets))
        page[_CRC_OFFSET : _CRC_OFFSET + 4] = _crc(page).to_bytes(4, "little")
        return bytes(page)


def _crc(page: bytes | bytearray) -> int:
    """Return Ogg's checksum (RFC 3533 §6), at zlib's speed.

    Ogg's CRC-32 has zlib's polynomial, but takes bits from the other end, starts at 0 and is not inverted. So: reverse
    the bits of each byte, cancel zlib's own start and end values, and reverse the result.
    """
    value = zlib.crc32(page.translate(_REVERSED), _ALL_ONES) ^ _ALL_ONES
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")


def _opus_head(channels: int, pre_skip: int) -> bytes:
    """RFC 7845 §5.1: version 1, no output gain, mapping family 0."""
    return struct.pack("<8sBBHIhB", b"OpusHead", 1, channels, pre_skip, SAMPLE_RATE, 0, 0)


def _opus_tags(title: str) -> bytes:
    """RFC 7845 §5.2: the vendor and, when there is one, the title. Lone surrogates become question marks."""
    comments = [f"TITLE={title[:MAX_TITLE_CHARACTERS]}"] if title else []
    parts = [b"OpusTags", _text(VENDOR), struct.pack("<I", len(comments)), *map(_text, comments)]
    return b"".join(parts)


def _text(text: str) -> bytes:
    encoded = text.encode(errors="replace")
    return struct.pack("<I", len(encoded)) + encoded
