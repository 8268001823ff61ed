"""MPEG audio of layer III by its bytes: where its frames begin, and how many the first one states.

The Xing, Info or VBRI header stands in the first frame, which holds no sound. FFmpeg takes its count as the duration
but does not say whether a duration is that count or an estimate, so it is read here.

Sources: ISO/IEC 11172-3 §2.4.2.3 and 13818-3 §2.4.2.3 (the frame header), ID3v2.4 §3.1, and for the others what
encoders write (LAME's `VbrTag.c`, Fraunhofer's `VBRI`).
"""

from __future__ import annotations

from dataclasses import dataclass

ID3_HEADER_BYTES = 10
FIRST_FRAME_BYTES = 64
"""What `stated_ms` looks at: a frame header, the side information, and the count."""

CHAIN = 8
"""Frames in a row that are no accident: chance makes one frame header of some 4,000 bytes."""

_ID3_FOOTER = 0x10
_SYNC = 0xFFE0
_LAYER_3 = 1
_RATES = (44_100, 48_000, 32_000)
_VERSION_2_5, _RESERVED_VERSION, _VERSION_1 = 0, 1, 3
_MONO = 3
_VBRI_AT = 36
_VBRI_FRAMES = slice(14, 18)
_HAS_FRAMES = 1
_BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RESERVED = 3


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """A frame of layer III. `rate` in Hz; `size` in bytes, 0 for a free-format frame."""

    version: int
    rate: int
    mono: bool
    size: int

    @property
    def samples(self) -> int:
        """Samples of one frame."""
        return 1152 if self.version == _VERSION_1 else 576


def id3_end(head: bytes) -> int:
    """Return where an ID3v2 tag that begins with `head` (ID3_HEADER_BYTES) ends; 0 when it is none."""
    if head[:3] != b"ID3" or len(head) < ID3_HEADER_BYTES:
        return 0
    size = 0
    for byte in head[6:ID3_HEADER_BYTES]:
        size = size << 7 | byte & 0x7F
    return ID3_HEADER_BYTES * (2 if head[5] & _ID3_FOOTER else 1) + size


def frame_header(data: bytes, at: int = 0) -> FrameHeader | None:
    """Return the frame header at this place, None when there is none of layer III."""
    if at + 4 > len(data) or data[at] != 0xFF:  # noqa: PLR2004 - the first byte of the sync word
        return None
    bits = int.from_bytes(data[at : at + 4], "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    bitrate, rate = bits >> 12 & 15, bits >> 10 & 3
    if bits >> 16 & _SYNC != _SYNC or version == _RESERVED_VERSION or layer != _LAYER_3:
        return None
    if rate == _RESERVED or bitrate >= len(_BITRATES_1):
        return None
    hertz = _RATES[rate] >> (0 if version == _VERSION_1 else 2 if version == _VERSION_2_5 else 1)
    kilobits = (_BITRATES_1 if version == _VERSION_1 else _BITRATES_2)[bitrate]
    size = (144 if version == _VERSION_1 else 72) * kilobits * 1000 // hertz + (bits >> 9 & 1) if kilobits else 0
    return FrameHeader(version, hertz, bits >> 6 & 3 == _MONO, size)


def find_frames(data: bytes) -> int | None:
    """Return where CHAIN frames of one kind follow each other, None when they do nowhere in `data`."""
    at = data.find(b"\xff")
    while at >= 0:
        if _is_chain(data, at):
            return at
        at = data.find(b"\xff", at + 1)
    return None


def _is_chain(data: bytes, at: int) -> bool:
    first = frame_header(data, at)
    header = first
    for _ in range(CHAIN):
        if header is None or first is None or (header.version, header.rate) != (first.version, first.rate):
            return False
        if not header.size:
            return False
        at += header.size
        header = frame_header(data, at)
    return True


def stated_ms(first_frame: bytes) -> int | None:
    """Return the duration that the first frame states, None when it states none."""
    header = frame_header(first_frame)
    if header is None:
        return None
    side = (17 if header.mono else 32) if header.version == _VERSION_1 else (9 if header.mono else 17)
    tag = first_frame[4 + side :]
    if tag[:4] in {b"Xing", b"Info"} and tag[7:8] and tag[7] & _HAS_FRAMES:
        frames = int.from_bytes(tag[8:12], "big")
    elif first_frame[_VBRI_AT : _VBRI_AT + 4] == b"VBRI":
        frames = int.from_bytes(first_frame[_VBRI_AT:][_VBRI_FRAMES], "big")
    else:
        return None
    return frames * header.samples * 1000 // header.rate if frames else None
