"""Searches and playlists at the sources. Nothing is downloaded."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Query, Request, Response

from audio_service import texts
from audio_service.api.deps import deps_of
from audio_service.api.errors import InvalidParameter
from audio_service.api.responses import (
    FAILED,
    MEDIA_EXAMPLE,
    REFUSED,
    Responses,
    error_example,
    error_examples,
    json_example,
    with_headers,
)
from audio_service.api.routing import API, Router
from audio_service.api.schemas import ListingBody
from audio_service.sources.query import MAX_LENGTH, MAX_URL_LENGTH
from audio_service.sources.questions import Listing
from common.errors import (
    Forbidden,
    InternalError,
    MediaNotFound,
    MediaPrivate,
    QueueFull,
    SearchFailed,
    SourceUnavailable,
    UrlNotAllowed,
    YouTubeKeyRejected,
)

MAX_FOUND = 25
MAX_ITEMS = 500

WordsQuery = Annotated[
    str, Query(min_length=1, max_length=MAX_LENGTH, description="The words to search for.", examples=["dua lipa"])
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
FoundQuery = Annotated[int, Query(ge=1, le=MAX_FOUND, description="Maximum number of matches.")]
ItemsQuery = Annotated[int, Query(ge=1, le=MAX_ITEMS, description="Maximum number of items.")]

_ITEM: dict[str, Any] = MEDIA_EXAMPLE["metadata"]
_BUSY = error_examples(
    YouTubeKeyRejected(), QueueFull(), description="The API key is refused, or too many requests are under way."
)
_SEARCH: Responses = {
    200: json_example(
        ListingBody,
        {"data": [_ITEM], "title": "", "total": 1, "success": True},
        "Best first; empty when nothing matches.",
    ),
    400: error_examples(
        InvalidParameter("query", texts.PARAMETER_EMPTY),
        description="`query` is missing, empty, too long or a URL, or `limit` is out of range.",
    ),
    503: _BUSY,
    **REFUSED,
    **FAILED,
    500: error_examples(SearchFailed(), InternalError(), description="The search failed, or took too long."),
}
_PLAYLIST: Responses = {
    200: json_example(
        ListingBody,
        {"data": [_ITEM], "title": "Dua Lipa", "total": 34, "success": True},
        "The first items; none when the URL is not a playlist.",
    ),
    400: error_examples(
        InvalidParameter("url", texts.PARAMETER_MISSING),
        UrlNotAllowed(),
        description="`url` is missing, not a URL, or not allowed; or `limit` is out of range.",
    ),
    404: error_example(MediaNotFound(), "The source has no such playlist."),
    502: error_example(SourceUnavailable(), "The source does not body."),
    503: _BUSY,
    **REFUSED,
    403: error_examples(MediaPrivate(), Forbidden(), description="The playlist is private, or the scope is missing."),
    **FAILED,
}

router = Router(prefix=f"{API}/sources", tags=["sources"])


@router.get("/search", summary="Search at the source", responses=with_headers(_SEARCH))
async def search(request: Request, query: WordsQuery, limit: FoundQuery = 10) -> Response:
    """Return what the source finds for words, best first; no match is an empty list."""
    return _json(await deps_of(request).questions.search(query, limit))


@router.get("/playlist", summary="What a playlist holds", responses=with_headers(_PLAYLIST))
async def playlist(request: Request, url: UrlQuery, limit: ItemsQuery = 50) -> Response:
    """Return the first items of a playlist. Any other URL has no items."""
    return _json(await deps_of(request).questions.playlist(url, limit))


def _json(listing: Listing) -> Response:
    body = {
        "data": [item.model_dump() for item in listing.items],
        "title": listing.title,
        "total": listing.total,
        "success": True,
    }
    return Response(orjson.dumps(body), media_type="application/json")
