"""Questions to the sources: what a search finds, what a playlist holds. Answers only: nothing is downloaded."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Query, Request, Response

from audio_service.api.deps import deps_of
from audio_service.sources.query import MAX_LENGTH, MAX_URL_LENGTH
from audio_service.sources.questions import Listing

MAX_FOUND = 25
MAX_ITEMS = 500

WordsQuery = Annotated[
    str, Query(min_length=1, max_length=MAX_LENGTH, description="What to search for.", examples=["dua lipa"])
]
UrlQuery = Annotated[
    str,
    Query(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="The playlist's address.",
        examples=["https://www.youtube.com/playlist?list=PLMC9KNkIncKtPzgY-5rmhvj7fax8fdxoj"],
    ),
]
FoundQuery = Annotated[int, Query(ge=1, le=MAX_FOUND, description="How many matches to return at most.")]
ItemsQuery = Annotated[int, Query(ge=1, le=MAX_ITEMS, description="How many items to return at most.")]


async def search(request: Request, query: WordsQuery, limit: FoundQuery = 10) -> Response:
    """Return what the source finds for words, best first; nothing found is an empty list."""
    return _json(await deps_of(request).questions.search(query, limit))


async def playlist(request: Request, url: UrlQuery, limit: ItemsQuery = 50) -> Response:
    """Return the first items of a playlist. A URL that is none has no items."""
    return _json(await deps_of(request).questions.playlist(url, limit))


def _json(listing: Listing) -> Response:
    answer = {
        "data": [item.model_dump() for item in listing.items],
        "title": listing.title,
        "total": listing.total,
        "success": True,
    }
    return Response(orjson.dumps(answer), media_type="application/json")
