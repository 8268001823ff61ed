"""A minimal Ogg reader (RFC 3533) for tests: returns the packets."""

from __future__ import annotations


def packets_of(ogg: bytes) -> list[bytes]:
    """Return all packets, headers included."""
    packets: list[bytes] = []
    partial = b""
    position = 0
    while position < len(ogg):
        assert ogg[position : position + 4] == b"OggS"
        count = ogg[position + 26]
        lacing = ogg[position + 27 : position + 27 + count]
        position += 27 + count
        for length in lacing:
            partial += ogg[position : position + length]
            position += length
            if length < 255:
                packets.append(partial)
                partial = b""
    assert not partial
    return packets
