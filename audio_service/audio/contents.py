"""Decides by a file's first bytes what it is: an allow-list of what may stand at byte 0, each with its one demuxer.

A deny-list lets executables and scripts through (docs/adr/0033-audio-messages.md). Nothing is searched for further on:
an MP3 behind a page of HTML is no MP3 here. What the file holds besides is of no matter, since what is served is made
anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from audio_service.audio.mp3 import frame_header
from audio_service.families import Family

HEAD_BYTES = 2048
"""How much of a file's start is looked at, and of what comes behind an ID3v2 tag."""

_DEMUXERS: dict[Family, str] = {"mp4": "mov", "webm": "matroska"}
# ISO/IEC 14496-12 §4.3: brands of files with sound. Those of pictures (heic, avif, mif1, crx) are not among them.
_BRANDS = frozenset(
    (
        *(b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9", b"mp41", b"mp42", b"mp71"),
        *(b"M4A ", b"M4B ", b"M4P ", b"M4V ", b"M4VH", b"M4VP", b"F4A ", b"F4V ", b"qt  ", b"MSNV", b"NDSC", b"NDAS"),
        *(b"avc1", b"dash", b"cmfc", b"cmf2", b"mmp4", b"dby1", b"piff"),
    )
)
_BRANDS_3GP = (b"3gp", b"3g2", b"3ge", b"3gg", b"3gh", b"3gr", b"3gs", b"kddi")
# The element DocType (RFC 9559 §5), with its length.
_DOC_TYPES = (b"\x42\x82\x84webm", b"\x42\x82\x88matroska")
_ADTS_HEADER = 7
_MP3_CHAIN, _ADTS_CHAIN = 3, 3
_FTYP_MAX = 1024

# What was refused, for the log and the person: the first that the file begins with.
_NAMES: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    (
        "executable",
        (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm", b"dex\n"),
    ),
    ("script", (b"#!/", b"<?php", b"<?=", b"@echo")),
    ("archive", (b"PK", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")),
    ("document", (b"%PDF", b"\xd0\xcf\x11\xe0", b"{\\rtf")),
    ("playlist", (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<asx", b"<ASX")),
    ("image", (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")),
    ("markup", (b"<",)),
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file is by its first bytes. `demuxer` is the one that reads it, by FFmpeg's name."""

    family: Family
    demuxer: str


def identify(head: bytes, behind_tag: bytes = b"") -> Contents | None:
    """Return what a file with these first HEAD_BYTES is; None when it is not allowed.

    `behind_tag`: the first bytes behind an ID3v2 tag, of a file that begins with one.
    """
    family = _tagged(behind_tag) if head.startswith(b"ID3") else _family(head)
    return None if family is None else Contents(family, _DEMUXERS.get(family, family))


def name_of(head: bytes) -> str:
    """Say what a refused file is, as far as its first bytes tell."""
    if not head:
        return "empty"
    stripped = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((name for name, starts in _NAMES if stripped.startswith(starts)), "unknown")


def describe(head: bytes) -> str:
    """Say it in libmagic's words, or as `name_of` where the library is not installed.

    In a child process: libmagic is C, and the bytes are a stranger's.
    """
    try:
        import magic  # noqa: PLC0415 - it looks for the library when it is imported, and fails without it
    except ImportError:
        return name_of(head)
    try:
        return magic.from_buffer(head)
    except magic.MagicException:
        return name_of(head)


def _tagged(data: bytes) -> Family | None:
    """Return the family of what follows a tag, which players write before these alone."""
    found = _family(data)
    return found if found in {"mp3", "aac", "flac"} else None


def _family(head: bytes) -> Family | None:  # noqa: PLR0911 - one a family
    if head[4:8] == b"ftyp":
        return "mp4" if _is_known_brand(head) else None
    if head.startswith((b"RIFF", b"RF64")) and head[8:12] == b"WAVE":
        return "wav"
    if head.startswith(b"FORM") and head[8:12] in {b"AIFF", b"AIFC"}:
        return "aiff"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if any(kind in head[:64] for kind in _DOC_TYPES) else None
    if head.startswith((b"#!AMR\n", b"#!AMR-WB\n")):
        return "amr"
    starts: dict[bytes, Family] = {b"fLaC": "flac", b"OggS": "ogg", b"caff": "caf"}
    if head[:4] in starts:
        return starts[head[:4]]
    if _is_adts(head):
        return "aac"
    return "mp3" if _is_mp3(head) else None


def _is_known_brand(head: bytes) -> bool:
    size = int.from_bytes(head[:4], "big")
    return 12 <= size <= _FTYP_MAX and (head[8:12] in _BRANDS or head[8:12].startswith(_BRANDS_3GP))  # noqa: PLR2004 - a box with one brand


def _is_mp3(data: bytes) -> bool:
    """Whether frames of layer III follow each other from byte 0, as many as fit, _MP3_CHAIN at most."""
    at = 0
    for _ in range(_MP3_CHAIN):
        header = frame_header(data, at)
        if header is None or not header.size:
            return at > 0 and at + 4 > len(data)
        at += header.size
    return True


def _is_adts(data: bytes) -> bool:
    """Whether frames of ADTS (ISO/IEC 14496-3 §1.A.3.2.1) follow each other from byte 0, as many as fit."""
    at = 0
    for _ in range(_ADTS_CHAIN):
        header = data[at : at + _ADTS_HEADER]
        if len(header) < _ADTS_HEADER:
            return at > 0
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        rate = header[2] >> 2 & 0xF
        if header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or rate > 12 or length <= _ADTS_HEADER:  # noqa: PLR2004 - sync word, layer 0, 13 rates
            return False
        at += length
    return True
