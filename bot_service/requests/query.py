"""What somebody typed for a song is: an id, a URL, a playlist or words; and which of some songs it means. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from bot_service.requests.matching import confident_match, words_of
from bot_service.store.base import Track
from common.errors import InvalidInput, UrlNotAllowed
from common.links import as_url, is_youtube, normalise_url, youtube_id, youtube_list

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a text is: an id perhaps, a normalised URL perhaps; "" where it is not."""

    video_id: str = ""
    url: str = ""
    is_youtube: bool = False
    is_list: bool = False


def among(song: str, tracks: Sequence[Track]) -> Track | None:
    """Return the one of some songs that is meant: by its id, its URL, or words that clearly match its title."""
    asked = understand(song)
    if asked.video_id and (found := next((one for one in tracks if one.video_id == asked.video_id), None)) is not None:
        return found
    if asked.url:
        return next((track for track in tracks if identity(track.url) == asked.url), None)
    return confident_match(song, tracks)


def understand(song: str) -> Asked:
    """Say what a text is. A text that cannot be a request is taken for words: the audio service says what is wrong."""
    text = " ".join(song.split())
    try:
        url = as_url(text)
        if url is None:
            return Asked(video_id=text if _ID.fullmatch(text) else "")
        normalised = normalise_url(url)
    except (InvalidInput, UrlNotAllowed):
        return Asked()
    parsed = httpx.URL(normalised)
    if not is_youtube(parsed):
        return Asked(url=normalised)
    video_id = youtube_id(parsed) or ""
    is_list = not video_id and youtube_list(parsed) is not None
    return Asked(video_id=video_id, url=normalised, is_youtube=True, is_list=is_list)


def searches(song: str) -> list[str]:
    """Return what to search titles for: the words as they stand, then the longest of them (a title may turn them)."""
    words = words_of(song)
    whole, longest = " ".join(song.split()), max(words, key=len, default="")
    return [whole] if len(words) <= 1 else [whole, longest]


def identity(url: str) -> str:
    """Return what tells the song of a URL apart from others: its id, or the URL in its normal form."""
    asked = understand(url)
    return asked.video_id or asked.url or url
