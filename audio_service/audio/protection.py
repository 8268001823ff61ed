"""Tells media that is encrypted (DRM) by its headers, before a decoder takes it for damaged.

FFmpeg reads the containers of protected media like any other and hands out packets of noise.

Sources: ISO/IEC 14496-12 §8.12 and 23001-7 (`enca`, `sinf`), RFC 9559 §5.1.4.1.31 (ContentEncryption), ASF
specification §3.14, §3.15 and §4.9 (the encryption objects).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from audio_service.audio.webm.ebml import Children, NotPlainError, children
from common.errors import MediaEncrypted

START_BYTES = 2 * 1024 * 1024
"""How much of a file's start is looked at, or of its index when that stands elsewhere."""

_ISO_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_MOST_BOXES = 100_000
# Sample entries: common encryption, FairPlay, Audible.
_PROTECTED_ENTRIES = frozenset({b"enca", b"drms", b"aavd", b"aaxc"})
_EBML = b"\x1a\x45\xdf\xa3"
_TRACKS, _TRACK, _TRACK_TYPE = 0x1654AE6B, 0xAE, 0x83
_ENCODINGS, _ENCODING, _ENCRYPTION = 0x6D80, 0x6240, 0x5035
_SOUND = 2
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_ENCRYPTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
    bytes.fromhex("338505438169e6499b74ad12cb86d58c"),
)


def may_be_protected(head: bytes) -> bool:
    """Whether a file that begins like this is of a kind that can be protected."""
    return head[4:8] in _ISO_BOXES or head.startswith((_EBML, _ASF))


def refuse_protected(start: bytes) -> None:
    """Raise MediaEncrypted when these headers say that all of the sound is encrypted.

    `start`: the file's first bytes, or, of an ISO media file, its `moov`.
    """
    if start.startswith(_ASF):
        size = int.from_bytes(start[16:24], "little")
        if any(guid in start[:size] for guid in _ASF_ENCRYPTION):
            raise MediaEncrypted("ASF with a content encryption object")
    elif start.startswith(_EBML):
        if _all_encrypted(_matroska_tracks(start)):
            raise MediaEncrypted("Matroska with ContentEncryption")
    elif start[4:8] in _ISO_BOXES:
        entries = list(_sound_entries(start))
        if entries and all(entry in _PROTECTED_ENTRIES for entry in entries):
            raise MediaEncrypted(f"MP4 with sample entries {b' '.join(entries).decode('latin-1')}")


def _all_encrypted(tracks: list[Children]) -> bool:
    try:
        sound = [track for track in tracks if track.unsigned(_TRACK_TYPE, 0) == _SOUND]
        return bool(sound) and all(_is_encrypted(track) for track in sound)
    except NotPlainError:
        return False


def _is_encrypted(track: Children) -> bool:
    encodings = (one for body in track.all(_ENCODINGS) for one in children(body).all(_ENCODING))
    return any(children(encoding).all(_ENCRYPTION) for encoding in encodings)


def _matroska_tracks(start: bytes) -> list[Children]:
    """Return the tracks, none when they do not all stand in `start`."""
    at = start.find(_TRACKS.to_bytes(4, "big"))
    if at < 0:
        return []
    length = 9 - start[at + 4].bit_length() if at + 4 < len(start) else 9
    begin = at + 4 + length
    size = int.from_bytes(start[at + 4 : begin], "big") & (1 << 7 * length) - 1
    try:
        return [children(body) for body in children(start[begin : begin + size]).all(_TRACK)]
    except NotPlainError:
        return []


def index_of(file: BinaryIO) -> int:
    """Return where the `moov` of a complete ISO media file begins; 0 when it is another file, or has none."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if header[4:8] == b"moov":
            return at
        if size < 8 or len(header) < 8:  # noqa: PLR2004 - a box's own header
            return 0
        at += size
    return 0


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kinds and bodies of the ISO boxes in `data`; the last one may be cut off."""
    at = 0
    while at + 8 <= len(data):
        size, begin = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, begin = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + size if size else len(data)
        if end < begin:
            return
        yield data[at + 4 : at + 8], data[begin:end]
        at = end


def _inside(data: bytes, *path: bytes) -> Iterator[bytes]:
    """Yield the bodies of the boxes at the end of a path of kinds."""
    kind, *rest = path
    for found, body in boxes(data):
        if found == kind:
            yield from _inside(body, *rest) if rest else (body,)


def _sound_entries(start: bytes) -> Iterator[bytes]:
    """Yield the kinds of the sample entries of all sound tracks."""
    for track in _inside(start, b"moov", b"trak"):
        handler = next(_inside(track, b"mdia", b"hdlr"), b"")
        if handler[8:12] != b"soun":
            continue
        for descriptions in _inside(track, b"mdia", b"minf", b"stbl", b"stsd"):
            yield from (kind for kind, _ in boxes(descriptions[8:]))
