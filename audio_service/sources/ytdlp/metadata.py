"""What people and the library see of yt-dlp's answers: cleaned titles, checked URLs, record ids; the items of a
playlist or a search, which are described by their references alone. Synchronous.

Entries are taken as they come and no more than asked for: a channel's ten thousand videos cost one page of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from audio_service.children.jobs import JsonObject
from audio_service.sources.query import clean_title, media_id_for, valid_text
from common.errors import MediaUnsupported

Info = dict[str, Any]
Look = Callable[[str, str | None], Info | None]
"""Extracts a URL with the extractor that is named or that the URL selects; references in the answer stay references."""

_PLAYLISTS = frozenset({"playlist", "multi_video", "compat_list"})
_REFERENCES = frozenset({"url", "url_transparent"})
_MAX_HOPS = 5
_MAX_PASSED_OVER = 50
# A channel's tabs, which are no songs.
_NO_ITEMS = frozenset({"YoutubeTab"})
_GONE = frozenset({"[Private video]", "[Deleted video]"})

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
# Their ids are cut from URLs and not unique: two sites' index.html would share a record.
_NAMELESS = frozenset({"", "Generic", "HTML5MediaEmbed"})
_GENERIC = "Generic"


class Description(NamedTuple):
    """The fields of a PlatformMetadata. The service builds one of them: pydantic would take 8 MB of every child."""

    title: str
    duration_ms: int
    url: str
    thumbnail_url: str
    platform: str


def describe(info: Mapping[str, Any], asked: str) -> tuple[str, Description]:
    """Return the record's id and its metadata. `asked`: the URL of the query, "" for words."""
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


def web_url(value: object) -> str:
    """Return the value when it is an http or https URL of at most _MAX_URL_CHARACTERS, else ""."""
    text = valid_text(str(value or ""))
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    fits = parts.scheme in ("http", "https") and parts.hostname and len(text) <= _MAX_URL_CHARACTERS
    return text if fits else ""


def _title(info: Mapping[str, Any]) -> str:
    title = str(info.get("title") or info.get("id") or "")
    # yt-dlp numbers the media of a page, even when there is only one.
    if info.get("extractor_key") == "HTML5MediaEmbed" and str(info.get("id")).endswith("-1"):
        return title.removesuffix(" (1)")
    return title


def _platform(key: str, url: str) -> str:
    if key == _GENERIC:
        return urlsplit(url).hostname or ""
    return _PLATFORMS.get(key, key)


def list_items(look: Look, url: str, limit: int) -> JsonObject:
    """Return `title`, `total` (0: not known) and `items`, each the fields of PlatformMetadata; no items when the URL is
    no playlist.

    Raises:
        MediaUnsupported: one reference leads to the next without end.
        Exception: what the extractors raise.
    """
    found = _follow(look, url)
    if found is None or found.get("_type", "video") not in _PLAYLISTS:
        return {"title": "", "total": 0, "items": []}
    items = list(islice(_items(found, limit + _MAX_PASSED_OVER), limit))
    return {
        "title": clean_title(str(found.get("title") or "")),
        "total": max(_total(found), len(items)),
        "items": items,
    }


def _follow(look: Look, url: str) -> Info | None:
    """Follow references from page to page."""
    key: str | None = None
    for _ in range(_MAX_HOPS):
        found = look(url, key)
        if found is None or found.get("_type") not in _REFERENCES:
            return found
        url, key = str(found["url"]), found.get("ie_key")
    raise MediaUnsupported("one reference leads to the next without end")


def _items(playlist: Info, room: int) -> Iterator[JsonObject]:
    """Yield the playable items among the first `room` entries."""
    for entry in islice(_entries(playlist, room), room):
        if entry.get("ie_key") in _NO_ITEMS or entry.get("title") in _GONE:
            continue
        address = _address(entry, playlist)
        if address:
            yield _item(entry, playlist, address)


def _entries(playlist: Info, room: int) -> Iterator[Info]:
    """Yield the entries of a playlist, and those of playlists in it."""
    entries: Any = playlist.get("entries") or []
    if hasattr(entries, "getslice"):  # a list in pages, each fetched when it is asked for
        entries = entries.getslice(0, room)
    entry: Info | None
    for entry in entries:
        if entry and entry.get("_type") in _PLAYLISTS:
            yield from _entries(entry, room)
        elif entry:
            yield entry


def _address(entry: Info, playlist: Info) -> str:
    """Return the URL of this item alone, "" when it has none."""
    if entry.get("_type") in _REFERENCES:
        return web_url(entry.get("url"))
    page = web_url(entry.get("webpage_url"))
    if page and page != playlist.get("webpage_url"):
        return page
    formats: list[Info] = entry.get("formats") or []
    return web_url(entry.get("url")) or next((url for f in formats if (url := web_url(f.get("url")))), "")


def _item(entry: Info, playlist: Info, address: str) -> JsonObject:
    thumbnails: list[Info] = entry.get("thumbnails") or []
    _, metadata = describe(
        {
            **entry,
            "extractor_key": entry.get("ie_key") or entry.get("extractor_key") or playlist.get("extractor_key"),
            "webpage_url": address,
            "thumbnail": entry.get("thumbnail") or (thumbnails[-1].get("url") if thumbnails else ""),
        },
        address,
    )
    shown = metadata._asdict()
    return shown if shown["title"] else {**shown, "title": address}


def _total(playlist: Info) -> int:
    count = playlist.get("playlist_count")
    if count is None and isinstance(entries := playlist.get("entries"), list):
        count = len(entries)  # pyright: ignore[reportUnknownArgumentType] - yt-dlp's answer is untyped
    return int(count or 0)
