"""Bytes of media files, changed on purpose: cut, flipped, and OpusHead fields rewritten (with valid Ogg CRCs)."""

from __future__ import annotations

import random
from pathlib import Path

_PRE_SKIP_OFFSET, _GAIN_OFFSET = 10, 16
_OGG_CRC_OFFSET = 22


def truncated(path: Path, keep: float) -> Path:
    """Return a copy that holds only the first `keep` (0..1) of the file's bytes."""
    data = path.read_bytes()
    copy = path.with_name(f"cut{keep:g}-{path.name}")
    copy.write_bytes(data[: int(len(data) * keep)])
    return copy


def flipped(path: Path, *, count: int = 20, seed: int = 1, start: float = 0.0) -> Path:
    """Return a copy with `count` bits flipped at places that depend on `seed`, none before `start` (0..1)."""
    data = bytearray(path.read_bytes())
    chooser = random.Random(seed)
    for _ in range(count):
        data[chooser.randrange(int(len(data) * start), len(data))] ^= 1 << chooser.randrange(8)
    copy = path.with_name(f"flip{count}-{seed}-{start:g}-{path.name}")
    copy.write_bytes(bytes(data))
    return copy


def set_opus_gain(data: bytes, gain: int) -> bytes:
    """Write `gain` (1/256 dB) into the OpusHead of a WebM or Ogg file's bytes (RFC 7845 §5.1)."""
    return _set_opus_head(data, _GAIN_OFFSET, gain.to_bytes(2, "little", signed=True))


def set_pre_skip(data: bytes, samples: int) -> bytes:
    """Write the pre-skip into the OpusHead of a WebM or Ogg file's bytes."""
    return _set_opus_head(data, _PRE_SKIP_OFFSET, samples.to_bytes(2, "little"))


def set_edit_start(data: bytes, samples: int) -> bytes:
    """Have an MP4 with one sound track begin after `samples` (48 kHz) of it (edit list, ISO/IEC 14496-12 §8.6.6)."""
    changed = bytearray(data)
    duration = changed.index(b"elst") + 12
    left = int.from_bytes(changed[duration : duration + 4], "big") - samples // 48 + 20
    changed[duration : duration + 8] = left.to_bytes(4, "big") + samples.to_bytes(4, "big")
    return bytes(changed)


def _set_opus_head(data: bytes, offset: int, value: bytes) -> bytes:
    changed = bytearray(data)
    head = changed.index(b"OpusHead")
    changed[head + offset : head + offset + 2] = value
    if changed.startswith(b"OggS"):
        end = changed.index(b"OggS", 4)
        changed[_OGG_CRC_OFFSET : _OGG_CRC_OFFSET + 4] = bytes(4)
        changed[_OGG_CRC_OFFSET : _OGG_CRC_OFFSET + 4] = ogg_crc(bytes(changed[:end])).to_bytes(4, "little")
    return bytes(changed)


def ogg_crc(page: bytes) -> int:
    """Return the checksum of an Ogg page whose CRC field is zero (RFC 3533 §6): polynomial 0x04c11db7, bit by bit."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7) if crc & 0x8000_0000 else crc << 1
            crc &= 0xFFFF_FFFF
    return crc
