"""Bytes of media files, changed on purpose: cut, flipped, and OpusHead fields rewritten (with valid Ogg CRCs)."""

from __future__ import annotations

import random
from pathlib import Path

_GAIN_OFFSET = 16
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
    changed = bytearray(data)
    head = changed.index(b"OpusHead")
    changed[head + _GAIN_OFFSET : head + _GAIN_OFFSET + 2] = gain.to_bytes(2, "little", signed=True)
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
