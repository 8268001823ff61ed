"""What a playlist or a search holds, in yt-dlp's flat terms: titles and addresses, no item looked at. Synchronous.

Entries are taken as they come and no more than asked for: a channel's ten thousand videos cost one page of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from audio_service.children.jobs import JsonObject
from audio_service.sources.ytdlp.descriptions import clean_title, describe, web_url
from common.errors import MediaUnsupported

Info = dict[str, Any]
Look = Callable[[str, str | None], Info | None]
"""Asks an extractor (chosen by the URL, or named) about a URL, and resolves nothing of its answer."""

_PLAYLISTS = frozenset({"playlist", "multi_video", "compat_list"})
_REFERENCES = frozenset({"url", "url_transparent"})
_MAX_HOPS = 5
_MAX_PASSED_OVER = 50
# Pages of a channel, not songs of it.
_NO_ITEMS = frozenset({"YoutubeTab"})
_GONE = frozenset({"[Private video]", "[Deleted video]"})


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
    """Go where a page that is another's leads."""
    key: str | None = None
    for _ in range(_MAX_HOPS):
        found = look(url, key)
        if found is None or found.get("_type") not in _REFERENCES:
            return found
        url, key = str(found["url"]), found.get("ie_key")
    raise MediaUnsupported("one reference leads to the next without end")


def _items(playlist: Info, room: int) -> Iterator[JsonObject]:
    """Yield what can be asked for, of the first `room` entries."""
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
    """Return the address that leads to this item alone, "" when none does."""
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
