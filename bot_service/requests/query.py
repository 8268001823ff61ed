"""Classifies the text typed for a song: an id, a URL, a playlist, or words; and finds the song it names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import httpx

from bot_service.requests.matching import confident_match, words_of
from bot_service.store.base import Track
from common.errors import InvalidInput, UrlNotAllowed
from common.links import YOUTUBE_ID, as_url, is_youtube, normalise_url, youtube_id, youtube_list

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
# As `audio_service.sources.query` makes them for files that no site has an id for.
_RECORD = re.compile(r"web-[0-9a-f]{32}")


# Before the id in what autocomplete and menus offer. No member types it, every replica and later start knows it.
_CHOSEN = re.compile(r"butakero:(youtube|library):([A-Za-z0-9_-]{1,100})")
_VALUE = 100
"""Discord's limit of a choice's value, in characters."""


class IdKind(StrEnum):
    """What a bare id names: a video that its site has, or a record that only the library has."""

    VIDEO = "video"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Query:
    """The id and the normalised URL in a text; "" where it has none. Without either it is words to search for.

    `is_chosen`: a song of the library, chosen from suggestions: never words.
    """

    video_id: str = ""
    url: str = ""
    is_youtube: bool = False
    is_playlist: bool = False
    is_chosen: bool = False


def choice_of(track: Track) -> str:
    """Return the value of an autocomplete choice or menu option that stands for a song of the library."""
    kind = "youtube" if _is_of_youtube(track) else "library"
    value = f"butakero:{kind}:{track.video_id}"
    return value if _CHOSEN.fullmatch(value) and len(value) <= _VALUE else track.video_id


def choice_of_menu(value: str) -> str:
    """Return the value of a menu's option; menus of earlier versions had the bare id of a song of the library."""
    if as_url(value) is not None or _CHOSEN.fullmatch(value) or not _ID.fullmatch(value):
        return value
    return f"butakero:{'youtube' if YOUTUBE_ID.fullmatch(value) else 'library'}:{value}"


def _is_of_youtube(track: Track) -> bool:
    query = parse_query(track.url)
    return query.is_youtube and query.video_id == track.video_id


def parse_query(text: str) -> Query:
    """Classify a text. One that is no valid request counts as words: the audio service reports what is wrong."""
    text = " ".join(text.split())
    if (chosen := _CHOSEN.fullmatch(text)) is not None:
        of_youtube = chosen[1] == "youtube"
        return Query(chosen[2], watch_url(chosen[2]) if of_youtube else "", is_youtube=of_youtube, is_chosen=True)
    try:
        url = as_url(text)
        if url is None:
            return Query(video_id=text if _ID.fullmatch(text) else "")
        normalised = normalise_url(url)
    except (InvalidInput, UrlNotAllowed):
        return Query()
    parsed = httpx.URL(normalised)
    if not is_youtube(parsed):
        return Query(url=normalised)
    video_id = youtube_id(parsed) or ""
    is_playlist = not video_id and youtube_list(parsed) is not None
    return Query(video_id=video_id, url=normalised, is_youtube=True, is_playlist=is_playlist)


def kind_of_id(text: str) -> IdKind | None:
    """Return what kind of id a text is without doubt; None for words, also for those that could be an id."""
    text = text.strip()
    if _RECORD.fullmatch(text):
        return IdKind.RECORD
    mixed = text != text.lower() and text != text.upper() and any(not character.isalpha() for character in text)
    return IdKind.VIDEO if YOUTUBE_ID.fullmatch(text) and mixed and not text.istitle() else None


def watch_url(video_id: str) -> str:
    """Return the URL of a YouTube video."""
    return f"https://www.youtube.com/watch?v={video_id}"


def find_among(text: str, tracks: Sequence[Track]) -> Track | None:
    """Return the track that a text names: by id, by URL, or by words that confidently match its title."""
    query = parse_query(text)
    if query.video_id and (found := next((one for one in tracks if one.video_id == query.video_id), None)) is not None:
        return found
    if query.is_chosen:
        return None
    if query.url:
        return next((track for track in tracks if identity(track.url) == query.url), None)
    return confident_match(text, tracks)


def search_terms(text: str) -> list[str]:
    """Return what to search titles for: the text, then its longest word (titles may order words differently)."""
    words = words_of(text)
    whole, longest = " ".join(text.split()), max(words, key=len, default="")
    return [whole] if len(words) <= 1 else [whole, longest]


def identity(url: str) -> str:
    """Return what identifies the song of a URL: the id, or the URL in its normal form."""
    query = parse_query(url)
    return query.video_id or query.url or url
