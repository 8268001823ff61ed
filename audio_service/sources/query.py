"""Parses queries: words or a URL, and the id when the URL carries one. Pure: no network, no clock.

Only the form of a URL is checked here; the network guard checks addresses when a connection is made.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Any, cast

import httpx

from audio_service.sources.base import Query
from common.errors import InvalidInput, UrlNotAllowed
from common.links import SCHEME, YOUTUBE_ID, as_url, is_youtube, normalise_url, youtube_id, youtube_list

MAX_LENGTH = 500
MAX_URL_LENGTH = 2000
_DIGEST = 32
MAX_TITLE_CHARACTERS = 500
# Bidirectional controls (Unicode UAX 9), which reorder the text around them; right-to-left letters need none.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
# Names of files that hold one song, as addresses end with them. Lists (m3u, pls, xspf) are none.
_MEDIA_FILE = re.compile(
    r"[^/]\.(?:aac|ac3|aif|aifc|aiff|alac|amr|ape|asf|avi|caf|dff|dsf|dts|eac3|flac|flv|m4a|m4b|m4v|mka|mkv|mov|mp2|mp3"
    r"|mp4|mpc|mpga|oga|ogg|ogv|opus|spx|tta|wav|wave|weba|webm|wma|wmv|wv)\Z",
    re.IGNORECASE,
)
# Parameters of presigned addresses: S3, Google Cloud Storage, CloudFront.
_OBJECT_SIGNATURES = frozenset({"x-amz-signature", "x-goog-signature", "key-pair-id"})
_DIRECT_EXTRACTORS = frozenset({"generic", "html5", "direct"})


def parse_query(song: str, watch_url: str) -> Query:
    """Parse a query. `watch_url` holds `{id}` and makes the canonical URL of a YouTube video.

    Raises:
        InvalidInput: empty, over MAX_LENGTH characters (URLs: MAX_URL_LENGTH), holding control characters, a URL that
            cannot be read, or a YouTube URL that does not name one video.
        UrlNotAllowed: a URL of another scheme than http and https, or one that carries credentials.
    """
    text = _clean(song)
    url = as_url(text)
    if url is None:
        return Query(text=text, is_url=False, media_id=None, key=f"q-{_digest(_folded(text))}")
    normalised = normalise_url(url)
    video_id = _video_id(httpx.URL(normalised))
    if video_id is not None:
        return Query(text=watch_url.replace("{id}", video_id), is_url=True, media_id=video_id, key=video_id)
    return Query(text=normalised, is_url=True, media_id=None, key=f"u-{_digest(normalised)}")


def names_file(url: httpx.URL) -> bool:
    """Whether a normalised URL says that it is of one media file: by its path, by a parameter that names the file, or
    by a signature for an object without a suffix.

    Such an address is no playlist's, and is not requested to find that out: the link may be good for one request.
    """
    if _MEDIA_FILE.search(url.path):
        return True
    parameters = {key.lower(): value for key, value in url.params.multi_items()}
    names = (value.rstrip("\"'; ") for value in parameters.values() if "://" not in value)
    if any(_MEDIA_FILE.search(name) for name in names):
        return True
    return bool(parameters.keys() & _OBJECT_SIGNATURES) and "." not in url.path.rpartition("/")[2]


def rejected_key(song: str) -> str:
    """Return the media id under which a text that `parse_query` refuses has its record; "" for a blank one."""
    return f"r-{_digest(song)}" if song.strip() else ""


def media_id_for(extractor_key: str, extractor_id: str, final_url: str) -> str:
    """Make a record's id of an extractor's answer: YouTube's own id; for a plain file the digest of its URL; else the
    platform and its id. The last two can never equal a YouTube id.
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


def valid_text(text: str) -> str:
    """Return `text` as it can be encoded: the halves of a surrogate pair joined, and one without the other left out.

    Pages write them as entities and JSON escapes.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return text


def valid_values(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return JSON with all of its text as it can be encoded: see `valid_text`."""
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, dict):
        return {valid_text(str(key)): valid_values(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [valid_values(item) for item in cast("list[Any]", value)]
    return value


def clean_title(title: str) -> str:
    """Return one line without control characters, cut to MAX_TITLE_CHARACTERS."""
    visible = (" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in valid_text(title))
    kept = "".join(c for c in visible if c not in _BIDI_CONTROLS and unicodedata.category(c) != "Cs")
    return " ".join(kept.split())[:MAX_TITLE_CHARACTERS].rstrip()


def _clean(song: str) -> str:
    text = " ".join(unicodedata.normalize("NFC", song).split())
    categories = {unicodedata.category(c) for c in text}
    if categories & {"Cc", "Cs"}:
        raise InvalidInput("song: control characters")
    if all(category[0] in "CZ" for category in categories):
        raise InvalidInput("song: empty")
    limit = MAX_URL_LENGTH if SCHEME.match(text.removeprefix("<")) else MAX_LENGTH
    if len(text) > limit:
        raise InvalidInput(f"song: {len(text)} characters, at most {limit}")
    return text


def _video_id(url: httpx.URL) -> str | None:
    """Return the video's id, or None when the URL is not YouTube's."""
    if not is_youtube(url):
        return None
    video_id = youtube_id(url)
    if video_id is None:
        named = youtube_list(url) is not None
        raise InvalidInput(
            "a playlist: name one video of it" if named else "a YouTube URL that does not name one video"
        )
    return video_id


def _normalised_or_as_is(url: str) -> str:
    try:
        return normalise_url(url)
    except (InvalidInput, UrlNotAllowed):
        return url


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
