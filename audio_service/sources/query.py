"""What somebody typed, understood: words or a URL, and the id when the URL carries one. Pure: no network, no clock.

Where a URL leads is not judged here (the network guard does that when it connects); only its form is.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import parse_qs

import httpx

from audio_service.sources.base import Query
from common.errors import InvalidInput, UrlNotAllowed

MAX_LENGTH = 500
MAX_URL_LENGTH = 2000
_DIGEST = 32
_MAX_PORT = 65535

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_YOUTUBE_HOSTS = frozenset(
    f"{prefix}{domain}"
    for domain in ("youtube.com", "youtube-nocookie.com", "youtu.be")
    for prefix in ("", "www.", "m.", "music.")
)
_ID_FOLDERS = frozenset({"shorts", "live", "embed", "v", "e", "watch"})
# Of an id's length, but names of players: /embed/videoseries?list=…, /embed/live_stream?channel=…
_NOT_IDS = frozenset({"videoseries", "live_stream"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Forms without "//". "re: zero" and "artist:song" are words, so these are named.
_OPAQUE_SCHEME = re.compile(r"(?:file|data|javascript|vbscript|blob|about|mailto|tel):\S", re.IGNORECASE)
_BARE_HOST = re.compile(
    rf"(?:www\.[^\s/.]+\.[^\s/]+|{'|'.join(re.escape(host) for host in sorted(_YOUTUBE_HOSTS))})(?:[/?#:]\S*)?",
    re.IGNORECASE,
)
_DIRECT_EXTRACTORS = frozenset({"generic", "html5", "direct"})


def parse_query(song: str, watch_url: str) -> Query:
    """Understand what somebody typed. `watch_url` holds `{id}` and makes the canonical URL of a YouTube video.

    Raises:
        InvalidInput: empty, over MAX_LENGTH characters (URLs: MAX_URL_LENGTH), holding control characters, a URL that
            cannot be read, or a YouTube URL that does not name one video.
        UrlNotAllowed: a URL of another scheme than http and https, or one that carries credentials.
    """
    text = _clean(song)
    url = _as_url(text)
    if url is None:
        return Query(text=text, is_url=False, media_id=None, key=f"q-{_digest(_folded(text))}")
    normalised = normalise_url(url)
    video_id = _youtube_id(httpx.URL(normalised))
    if video_id is not None:
        return Query(text=watch_url.replace("{id}", video_id), is_url=True, media_id=video_id, key=video_id)
    return Query(text=normalised, is_url=True, media_id=None, key=f"u-{_digest(normalised)}")


def rejected_key(song: str) -> str:
    """Return the media id under which a text that `parse_query` refuses has its record; "" for a blank one."""
    return f"r-{_digest(song)}" if song.strip() else ""


def normalise_url(url: str) -> str:
    """Return the form that equal addresses share: scheme and host in lower case, the host in IDNA form, no default
    port, no final dot in the host, no fragment.

    Raises:
        InvalidInput, UrlNotAllowed: as parse_query.
    """
    scheme = _SCHEME.match(url)
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


def media_id_for(extractor_key: str, extractor_id: str, final_url: str) -> str:
    """Make a record's id of what an extractor says: YouTube's own id; of a plain file the digest of where it lies;
    else the platform and its id. None of the others can be taken for a YouTube id.
    """
    extractor = extractor_key.lower()
    if extractor == "youtube" and YOUTUBE_ID.fullmatch(extractor_id):
        return extractor_id
    if extractor in _DIRECT_EXTRACTORS:
        return f"web-{_digest(_normalised_or_as_is(final_url))}"
    plain = f"{extractor}-{extractor_id}"
    if _MEDIA_ID.fullmatch(plain) and not YOUTUBE_ID.fullmatch(plain):
        return plain
    return f"web-{_digest(plain)}"


def _clean(song: str) -> str:
    text = " ".join(unicodedata.normalize("NFC", song).split())
    categories = {unicodedata.category(c) for c in text}
    if categories & {"Cc", "Cs"}:
        raise InvalidInput("song: control characters")
    if all(category[0] in "CZ" for category in categories):
        raise InvalidInput("song: empty")
    limit = MAX_URL_LENGTH if _SCHEME.match(text.removeprefix("<")) else MAX_LENGTH
    if len(text) > limit:
        raise InvalidInput(f"song: {len(text)} characters, at most {limit}")
    return text


def _as_url(text: str) -> str | None:
    """Return the URL that the text is, or None for words. Chats write `<URL>` where no preview is wanted."""
    bare = text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text
    if _SCHEME.match(bare):
        return bare
    if _OPAQUE_SCHEME.match(bare):
        raise UrlNotAllowed("only http and https")
    return f"https://{bare}" if _BARE_HOST.fullmatch(bare) else None


def _youtube_id(url: httpx.URL) -> str | None:
    """Return the video's id, or None when the URL is not YouTube's."""
    if url.host not in _YOUTUBE_HOSTS:
        return None
    folders = [part for part in url.path.split("/") if part]
    parameters = parse_qs(url.query.decode("ascii", "replace"))
    candidates = parameters.get("v", []) if folders in ([], ["watch"]) else []
    if url.host.endswith("youtu.be"):
        candidates = folders[:1]
    elif len(folders) > 1 and folders[0] in _ID_FOLDERS:
        candidates = folders[1:2]
    for candidate in candidates[:1]:
        if YOUTUBE_ID.fullmatch(candidate) and candidate not in _NOT_IDS:
            return candidate
    if "list" in parameters:
        raise InvalidInput("a playlist: name one video of it")
    raise InvalidInput("a YouTube URL that does not name one video")


def _normalised_or_as_is(url: str) -> str:
    try:
        return normalise_url(url)
    except (InvalidInput, UrlNotAllowed):
        return url


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
