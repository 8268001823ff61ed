"""How large a file says that it is, in containers whose duration FFmpeg derives from the size that is there.

RIFF (WAV, AVI): Microsoft's Multimedia Programming Interface 1.0; RF64: EBU Tech 3306; Wave64: Sony's specification;
CAF: Apple Core Audio Format 1.0; ASF: Microsoft's specification, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator

# What is written without knowing the end: all ones, and the 2 GiB of SoX and arecord (less or more some headers).
_RIFF_UNKNOWN = 0xFFFF_FF00
_RIFF_TWO_GIB = range(0x7FFF_F000, 0x8000_1000)
_UNKNOWN = 1 << 62
_RIFF_HEADER_BYTES = 8
_WAVE64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST = 1
_GUID_BYTES = 16
_CAF_HEADER_BYTES = 8
_CAF_CHUNK_HEADER_BYTES = 12
_ASF_HEADER_BYTES = 30
_ASF_OBJECT_HEADER_BYTES = 24
_ASF_SIZE_AT, _ASF_FLAGS_AT, _ASF_FILE_BYTES = 40, 88, 104


def stated_size(head: bytes) -> int | None:
    """Return how many bytes the file should have at least, by its first ones; None where it does not say.

    Of an AVI in several RIFF chunks that is the end of the first.
    """
    if head.startswith(b"RIFF"):
        size = _little(head, 4, 4)
        known = 0 < size < _RIFF_UNKNOWN and size not in _RIFF_TWO_GIB
        return _RIFF_HEADER_BYTES + size if known else None
    size = 0
    if head.startswith((b"RF64", b"BW64")) and head[12:16] == b"ds64":
        size = _RIFF_HEADER_BYTES + _little(head, 20, 8)
    elif head.startswith(_WAVE64_RIFF):
        size = _little(head, _GUID_BYTES, 8)
    elif head.startswith(b"caff"):
        size = _caf_size(head)
    elif head.startswith(_ASF_HEADER):
        size = _asf_size(head)
    return size if _RIFF_HEADER_BYTES < size < _UNKNOWN else None


def _caf_size(head: bytes) -> int:
    """Return where the sound of a CAF ends; chunks without sound may follow."""
    at = _CAF_HEADER_BYTES
    while at + _CAF_CHUNK_HEADER_BYTES <= len(head):
        size = int.from_bytes(head[at + 4 : at + _CAF_CHUNK_HEADER_BYTES], "big", signed=True)
        if size < 0:
            return 0
        end = at + _CAF_CHUNK_HEADER_BYTES + size
        if head[at : at + 4] == b"data":
            return end
        at = end
    return 0


def _asf_size(head: bytes) -> int:
    """Return the size by the File Properties Object, 0 for what was broadcast."""
    for at, kind in _asf_objects(head):
        if kind == _ASF_FILE and at + _ASF_FILE_BYTES <= len(head):
            broadcast = _little(head, at + _ASF_FLAGS_AT, 4) & _ASF_BROADCAST
            return 0 if broadcast else _little(head, at + _ASF_SIZE_AT, 8)
    return 0


def _asf_objects(head: bytes) -> Iterator[tuple[int, bytes]]:
    at = _ASF_HEADER_BYTES
    while at + _ASF_OBJECT_HEADER_BYTES <= len(head):
        yield at, head[at : at + _GUID_BYTES]
        at += max(_ASF_OBJECT_HEADER_BYTES, _little(head, at + _GUID_BYTES, 8))


def _little(head: bytes, at: int, size: int) -> int:
    return int.from_bytes(head[at : at + size], "little")
