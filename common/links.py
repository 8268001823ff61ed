"""Links in user input: detection, normal form, and YouTube ids. Pure: no network.

Only the syntax is checked here; `audio_service.sources.guard` decides which addresses may be fetched.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

import httpx

from common.errors import InvalidInput, UrlNotAllowed

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_MAX_PORT = 65535
_YOUTUBE_HOSTS = frozenset(
    f"{prefix}{domain}"
    for domain in ("youtube.com", "youtube-nocookie.com", "youtu.be")
    for prefix in ("", "www.", "m.", "music.")
)
_ID_FOLDERS = frozenset({"shorts", "live", "embed", "v", "e", "watch"})
# As long as an id, but names of embedded players: /embed/videoseries?list=…, /embed/live_stream?channel=…
_NOT_IDS = frozenset({"videoseries", "live_stream"})

_LIST_ID = re.compile(r"[A-Za-z0-9_-]{2,64}")
# Schemes without "//" are listed, because "re: zero" and "artist:song" are search words.
_OPAQUE_SCHEME = re.compile(r"(?:file|data|javascript|vbscript|blob|about|mailto|tel):\S", re.IGNORECASE)
_BARE_HOST = re.compile(
    rf"(?:www\.[^\s/.]+\.[^\s/]+|{'|'.join(re.escape(host) for host in sorted(_YOUTUBE_HOSTS))})(?:[/?#:]\S*)?",
    re.IGNORECASE,
)


def as_url(text: str) -> str | None:
    """Return the text as a URL, or None for search words. `<URL>` is how chats suppress a preview.

    Raises:
        UrlNotAllowed: a URL of another scheme ("file:…", "mailto:…").
    """
    bare = text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text
    if SCHEME.match(bare):
        return bare
    if _OPAQUE_SCHEME.match(bare):
        raise UrlNotAllowed("only http and https")
    return f"https://{bare}" if _BARE_HOST.fullmatch(bare) else None


def normalise_url(url: str) -> str:
    """Return the normal form: scheme and host in lower case, the host in IDNA form, without default port, final dot of
    the host, and fragment.

    Raises:
        InvalidInput: malformed.
        UrlNotAllowed: another scheme than http and https, or credentials in it.
    """
    scheme = SCHEME.match(url)
    if scheme is None or scheme[1].lower() not in ("http", "https"):
        raise UrlNotAllowed("only http and https")
    if "\\" in url or any(c.isspace() for c in url):
        raise InvalidInput("a URL with a backslash or white space in it")
    try:
        parsed = httpx.URL(url)
        host = parsed.host.rstrip(".")
        if parsed.userinfo or "@" in parsed.netloc.decode():
            raise UrlNotAllowed("a URL with credentials")
        if not host or (parsed.port or 0) > _MAX_PORT:
            raise InvalidInput("a URL without a host, or with a port that cannot be")
        return str(parsed.copy_with(host=host, raw_path=parsed.raw_path, fragment=None))
    except (httpx.InvalidURL, ValueError) as exc:
        raise InvalidInput(f"a URL that cannot be read: {type(exc).__name__}") from exc


def is_youtube(url: httpx.URL) -> bool:
    """Whether a normalised URL leads to YouTube."""
    return url.host in _YOUTUBE_HOSTS


def youtube_id(url: httpx.URL) -> str | None:
    """Return the id of the video that a normalised YouTube URL names, or None."""
    folders = [part for part in url.path.split("/") if part]
    candidates = _parameters(url).get("v", []) if folders in ([], ["watch"]) else []
    if url.host.endswith("youtu.be"):
        candidates = folders[:1]
    elif len(folders) > 1 and folders[0] in _ID_FOLDERS:
        candidates = folders[1:2]
    for candidate in candidates[:1]:
        if YOUTUBE_ID.fullmatch(candidate) and candidate not in _NOT_IDS:
            return candidate
    return None


def youtube_list(url: httpx.URL) -> str | None:
    """Return the id of the playlist that a normalised YouTube URL names, with or without a video, or None."""
    found = _parameters(url).get("list", [])
    return found[0] if found and _LIST_ID.fullmatch(found[0]) else None


def _parameters(url: httpx.URL) -> dict[str, list[str]]:
    return parse_qs(url.query.decode("ascii", "replace"))
