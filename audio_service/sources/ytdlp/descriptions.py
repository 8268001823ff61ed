"""What people and the library get to see of an extractor's answer: cleaned text, checked URLs, the record's id."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from audio_service.sources.query import media_id_for

MAX_TITLE_CHARACTERS = 500
_MAX_URL_CHARACTERS = 2000
_PLATFORMS = {
    "Bandcamp": "Bandcamp",
    "Dailymotion": "Dailymotion",
    "Facebook": "Facebook",
    "Instagram": "Instagram",
    "Mixcloud": "Mixcloud",
    "Soundcloud": "SoundCloud",
    "TikTok": "TikTok",
    "TwitchClips": "Twitch",
    "TwitchVod": "Twitch",
    "Twitter": "X",
    "Vimeo": "Vimeo",
    "Youtube": "YouTube",
}
# Their ids are cut from URLs and not unique: two sites' index.html would be one record.
_NAMELESS = frozenset({"", "Generic", "HTML5MediaEmbed"})
_GENERIC = "Generic"
# Marks that turn the text around them; letters written from right to left need none of them.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Description(NamedTuple):
    """The fields of a PlatformMetadata. The service makes one of them: pydantic would take 8 MB of every child."""

    title: str
    duration_ms: int
    url: str
    thumbnail_url: str
    platform: str


def describe(info: Mapping[str, Any], asked: str) -> tuple[str, Description]:
    """Return the record's id and its metadata. `asked` is the URL that led here, if it was one."""
    key = str(info.get("extractor_key") or "")
    key = _GENERIC if key in _NAMELESS else key
    url = web_url(info.get("webpage_url")) or asked
    metadata = Description(
        title=clean_title(_title(info)),
        duration_ms=max(0, round(float(info.get("duration") or 0) * 1000)),
        url=url,
        thumbnail_url=web_url(info.get("thumbnail")),
        platform=_platform(key, url),
    )
    return media_id_for(key, str(info.get("id") or ""), url), metadata


def clean_title(title: str) -> str:
    """Return one line without control characters, cut to MAX_TITLE_CHARACTERS."""
    visible = (" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in title)
    kept = "".join(c for c in visible if c not in _TURNING and unicodedata.category(c) != "Cs")
    return " ".join(kept.split())[:MAX_TITLE_CHARACTERS].rstrip()


def web_url(value: object) -> str:
    """Return the value when it is an http or https URL of bearable length, else ""."""
    text = str(value or "")
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    fits = parts.scheme in ("http", "https") and parts.hostname and len(text) <= _MAX_URL_CHARACTERS
    return text if fits else ""


def _title(info: Mapping[str, Any]) -> str:
    title = str(info.get("title") or info.get("id") or "")
    # The media of a page are numbered, even when there is one.
    if info.get("extractor_key") == "HTML5MediaEmbed" and str(info.get("id")).endswith("-1"):
        return title.removesuffix(" (1)")
    return title


def _platform(key: str, url: str) -> str:
    if key == _GENERIC:
        return urlsplit(url).hostname or ""
    return _PLATFORMS.get(key, key)
