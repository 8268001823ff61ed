"""Reads lists of songs as players write them: M3U, PLS and ASX. Pure: no network.

None of them has a standard that writers keep to, so reading is lenient: any line end, a byte order mark or none, UTF-8
or Latin-1, addresses relative to the list's, upper and lower case. What is no web address (a path on the writer's
machine, mms:, file:) is left out. HLS has M3U's first line too, and is no list of songs.
"""

from __future__ import annotations

import codecs
import html
import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from audio_service.sources.query import clean_title
from audio_service.sources.ytdlp.metadata import web_url

MAX_BYTES = 1024 * 1024
_MAX_SONGS = 5000
_BLANKS = " \t\r\n\ufeff"
_PATHS = (".m3u", ".m3u8", ".pls", ".asx", ".wax", ".wvx")
_TYPES = frozenset(
    {
        *("audio/mpegurl", "audio/x-mpegurl", "application/mpegurl", "application/x-mpegurl"),
        *("application/vnd.apple.mpegurl", "audio/scpls", "audio/x-scpls", "application/pls+xml"),
        *("video/x-ms-asf", "video/x-ms-asx", "video/x-ms-wvx", "audio/x-ms-wax", "application/x-ms-asx"),
    }
)
_MEDIA = ("audio/", "video/", "image/", "font/")
_UNICODE = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# All that an address may hold. "#" may not: in the name of a file it is a character of the name.
_ADDRESS_CHARACTERS = "%/:?[]@!$&'()*+,;=~"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}:")
_NUMBERED = re.compile(r"(file|ref|title|length)(\d{1,6})")
_ADDRESS = re.compile(r"href\s*=\s*[\"']([^\"']*)", re.IGNORECASE)


class Song(NamedTuple):
    """An entry: its address, the title that the list gives it ("": none), and its length in seconds (0: not known)."""

    url: str
    title: str = ""
    seconds: float = 0.0


class SongList(NamedTuple):
    """The entries that have a web address, in order."""

    title: str
    songs: tuple[Song, ...]


class _Entry(NamedTuple):
    address: str
    title: str = ""
    seconds: float = 0.0


_Read = tuple[str, Iterator[_Entry]]


def may_be_list(url: str, content_type: str) -> bool:
    """Whether a response with this address and type may be a list, so that its beginning is worth a look.

    Lists are served as text, as octets, or by types of their own; what says that it is media is believed, but where
    the address says that it is a list.
    """
    kind = content_type.partition(";")[0].strip().lower()
    return is_named_list(url) or kind in _TYPES or not kind.startswith(_MEDIA)


def is_named_list(url: str) -> bool:
    """Whether the address ends like a list's."""
    return urlsplit(url).path.lower().endswith(_PATHS)


def is_begun(head: bytes, *, named: bool) -> bool:
    """Whether the body that begins like this may be a list. `named`: its address or type says that it is one."""
    text = _decoded(head).lstrip(_BLANKS)
    return _reader_of(text, named=named) is not None


def read_list(body: bytes, url: str, *, named: bool) -> SongList | None:
    """Read a list that was served at `url`; None when it is none, or HLS.

    Args:
        body: the whole, or its first MAX_BYTES.
        url: where it was served from in the end.
        named: whether its address or type says that it is a list; an M3U may lack its first line then.
    """
    if len(body) >= MAX_BYTES:
        body = body.rpartition(b"\n")[0]
    text = _decoded(body).lstrip(_BLANKS)
    reader = _reader_of(text, named=named)
    if reader is None:
        return None
    title, entries = reader(text)
    songs: list[Song] = []
    for entry in entries:
        address = _absolute(entry.address, url)
        if address and address != url:
            songs.append(Song(address, clean_title(entry.title), entry.seconds))
        if len(songs) == _MAX_SONGS:
            break
    if not songs and reader is _read_m3u and not text.upper().startswith("#EXTM3U"):
        return None
    return SongList(clean_title(title), tuple(songs))


def _reader_of(text: str, *, named: bool) -> Callable[[str], _Read] | None:
    begin = text[:512].lower()
    if "\0" in begin:
        return None
    if "#EXT-X-" in text:  # HLS (RFC 8216 §4.3)
        return None
    if begin.startswith("#extm3u"):
        return _read_m3u
    first = next((line for line in begin.split("\n") if line.strip() and line[0] not in ";#"), "").strip()
    if first in ("[playlist]", "[reference]"):
        return _read_numbered
    if begin.startswith("<asx") or (begin.startswith(("<?xml", "<!--")) and "<asx" in begin):
        return _read_asx
    return _read_m3u if named and not begin.startswith(("<", "{", "[")) else None


def _read_m3u(text: str) -> _Read:
    lines = [line.strip() for line in text.split("\n")]
    named = next((line.partition(":")[2] for line in lines if line.upper().startswith("#PLAYLIST:")), "")

    def entries() -> Iterator[_Entry]:
        title, seconds = "", 0.0
        for line in lines:
            if line.upper().startswith("#EXTINF:"):
                length, title = _described(line.partition(":")[2])
                seconds = _seconds(length)
            elif line and not line.startswith("#"):
                yield _Entry(line, title, seconds)
                title, seconds = "", 0.0

    return named, entries()


def _described(text: str) -> tuple[str, str]:
    """Return what is before and after the first comma outside of quotation marks: attributes may hold some."""
    quoted = False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            return text[:position], text[position + 1 :]
    return text.partition(",")[0], text.partition(",")[2]


def _read_numbered(text: str) -> _Read:
    """Read PLS (`File1=`, `Title1=`, `Length1=`) and the short form of ASX (`Ref1=`)."""
    found: dict[int, dict[str, str]] = {}
    for line in text.split("\n"):
        name, _, value = line.partition("=")
        if numbered := _NUMBERED.fullmatch(name.strip().lower()):
            key = "file" if numbered[1] == "ref" else numbered[1]
            found.setdefault(int(numbered[2]), {})[key] = value.strip()
    return "", (
        _Entry(song["file"], song.get("title", ""), _seconds(song.get("length", "")))
        for _, song in sorted(found.items())
        if "file" in song
    )


def _read_asx(text: str) -> _Read:
    """Read what is XML by name only: its tags in any case, its ampersands bare."""
    whole, *commented = text.split("<!--")
    whole += "".join(part.partition("-->")[2] for part in commented)
    tags = [(_tag_name(tag), tag, after) for tag, _, after in (part.partition(">") for part in whole.split("<")[1:])]
    first = next((number for number, (name, _, _) in enumerate(tags) if name == "entry"), len(tags))
    title = next((html.unescape(after) for name, _, after in tags[:first] if name == "title"), "")

    def entries() -> Iterator[_Entry]:
        base = own_title = ""
        address = ""
        for name, tag, after in [*tags, ("/entry", "", "")]:
            if name == "base":
                base = _address(tag)
            elif name == "entry":
                own_title = ""
            elif name == "title":
                own_title = html.unescape(after)
            elif name == "entryref":
                yield _Entry(_joined(base, _address(tag)))
            elif name == "ref" and not _is_web(address):  # those after it are for when it cannot be reached
                address = _joined(base, _address(tag))
            elif name == "/entry" and address:
                yield _Entry(address, own_title)
                address = ""

    return title, entries()


def _tag_name(tag: str) -> str:
    return (tag.split(maxsplit=1) or [""])[0].rstrip("/").lower()


def _address(tag: str) -> str:
    """Return the value of a tag's href, "" without one."""
    found = _ADDRESS.search(tag)
    return _unescaped(found[1]).strip() if found else ""


def _unescaped(text: str) -> str:
    """Replace XML's own entities alone: `&copy=1` in an address is none of HTML's."""
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address) if base else address
    except ValueError:
        return ""


def _absolute(address: str, url: str) -> str:
    """Return the entry's address as a web address, "" when it is none."""
    if not _SCHEME.match(address):
        address = quote(address.replace("\\", "/"), safe=_ADDRESS_CHARACTERS, errors="replace")
    try:
        return web_url(urljoin(url, address.replace(" ", "%20")))
    except ValueError:
        return ""


def _is_web(address: str) -> bool:
    return bool(address) and (not _SCHEME.match(address) or bool(web_url(address)))


def _seconds(text: str) -> float:
    try:
        value = float((text.split() or [""])[0])
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and 0 < value < 10**6 else 0.0


def _decoded(body: bytes) -> str:
    encoding = next((name for mark, name in _UNICODE if body.startswith(mark)), "")
    if encoding:
        text = body.decode(encoding, "replace")
    else:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = body.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
