"""The library over HTTP: one record by its id, records by a part of their title. Downloads are never started here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

import orjson
from fastapi import Path, Query, Request, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from audio_service import texts
from audio_service.api.deps import ApiDeps, deps_of
from audio_service.api.errors import ApiError, InvalidParameter
from audio_service.api.responses import (
    FAILED,
    INVALID_MEDIA_ID,
    MEDIA_EXAMPLE,
    MEDIA_ID_EXAMPLE,
    NO_MEDIA,
    REFUSED,
    Responses,
    error_examples,
    json_example,
    with_headers,
)
from audio_service.api.routing import API, Router
from audio_service.api.schemas import MediaBody, MediaPageBody, NewestBody
from audio_service.media.model import (
    MIN_SEARCH_CHARACTERS,
    Media,
    MediaStatus,
    check_media_id,
    normalise_title,
    search_text,
)
from common.errors import MediaNotFound
from common.messages.base import MAX_ID, wire_time

MAX_TITLE = 200
MAX_LIMIT = 100
MAX_CURSOR = 500
MEDIA_ID_PATTERN = "^[A-Za-z0-9_-]+$"
CURSOR_PATTERN = "^[A-Za-z0-9_-]+$"
"""Base64 for URLs (RFC 4648 §5), without padding."""

# A title's normal form never changes, so the cache cannot be stale.
_normalised = lru_cache(maxsize=1024)(normalise_title)

_VIDEO_ID: dict[str, Any] = {
    "min_length": 1,
    "max_length": MAX_ID,
    "pattern": MEDIA_ID_PATTERN,
    "description": "The record's id.",
    "examples": [MEDIA_ID_EXAMPLE],
}
VideoIdPath = Annotated[str, Path(**_VIDEO_ID)]
VideoIdQuery = Annotated[str, Query(**_VIDEO_ID)]
TitleQuery = Annotated[
    str,
    Query(
        max_length=MAX_TITLE,
        description=f"A part of the title, of at least {MIN_SEARCH_CHARACTERS} letters or digits; case and punctuation "
        "do not matter. It is text, never a pattern.",
        examples=["dua lipa"],
    ),
]
LimitQuery = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of records on the page.")]
CursorQuery = Annotated[
    str | None,
    Query(max_length=MAX_CURSOR, pattern=CURSOR_PATTERN, description="`next_cursor` of the page before; opaque."),
]

_LOOK_UP: Responses = {
    200: json_example(MediaBody, {"data": MEDIA_EXAMPLE, "success": True}, "The record, whatever its state."),
    400: INVALID_MEDIA_ID,
    404: NO_MEDIA,
    **REFUSED,
    **FAILED,
}
_SEARCH: Responses = {
    200: json_example(
        MediaPageBody, {"data": [MEDIA_EXAMPLE], "success": True}, "A page; empty when no title matches."
    ),
    400: error_examples(
        InvalidParameter("title", texts.PARAMETER_TOO_SHORT, MIN_SEARCH_CHARACTERS),
        description="`title` is missing, too short or too long, `limit` out of range, or `cursor` is not ours.",
    ),
    **REFUSED,
    **FAILED,
}

_NEWEST: Responses = {
    200: json_example(
        NewestBody, {"data": [{**MEDIA_EXAMPLE, "encoding": "passthrough"}], "success": True}, "A page, newest first."
    ),
    400: error_examples(
        InvalidParameter("limit", texts.PARAMETER_TOO_LARGE, MAX_LIMIT),
        description="`limit` is out of range, or `cursor` is not ours.",
    ),
    **REFUSED,
    **FAILED,
}

_PLAIN_QUERY = re.compile(rb"video_id=[A-Za-z0-9_-]{1,%d}" % MAX_ID)

router = Router(prefix=f"{API}/media", tags=["library"])


@router.get("/", summary="Look a record up by its id", responses=with_headers(_LOOK_UP))
@router.get("", include_in_schema=False)
async def look_up(request: Request, video_id: VideoIdQuery) -> Response:
    """Return a record, whatever its state.

    The outer `success` is false for a failed record, which has no file: a client that reads nothing else must not
    play it. `data.status` and `data.message` say why it failed.
    """
    media = await find(deps_of(request), video_id)
    return _json({"data": _encoded(media), "success": media.status is not MediaStatus.ERROR})


# The one route with a shortcut: the look-up by id must answer at least 0.6 of the requests of an empty FastAPI route.
# Measured (bench/README.md) at 16 connections, by CPU: 0.46 with FastAPI's routing and parameter, 0.88 with it.
class PlainLookUp(Route):
    """`look_up` without FastAPI, for queries in the form that programs send: one parameter, nothing escaped.

    Any other query falls through to `look_up`. Only for an API without access control and rate limit: `requires` does
    not apply to it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, _plain_look_up, methods=["GET"], include_in_schema=False)
        self.app = _plain_look_up

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match the path and the form of the query."""
        match, child_scope = super().matches(scope)
        if match is not Match.FULL or _PLAIN_QUERY.fullmatch(scope["query_string"]) is None:
            return Match.NONE, {}
        return match, {**child_scope, "route": self}


async def _plain_look_up(scope: Scope, receive: Receive, send: Send) -> None:
    response = await look_up(Request(scope), scope["query_string"].removeprefix(b"video_id=").decode("ascii"))
    await response(scope, receive, send)


PLAIN_LOOK_UPS = (PlainLookUp(f"{API}/media/"), PlainLookUp(f"{API}/media"))


@router.get("/search", summary="Search by a part of the title", responses=with_headers(_SEARCH))
async def search(request: Request, title: TitleQuery, limit: LimitQuery = 10, cursor: CursorQuery = None) -> Response:
    """Return the records whose title contains the text; no match is an empty list."""
    if len(search_text(title)) < MIN_SEARCH_CHARACTERS:
        raise InvalidParameter("title", texts.PARAMETER_TOO_SHORT, MIN_SEARCH_CHARACTERS)
    page = await deps_of(request).repository.search(title, limit=limit, cursor=cursor)
    body: dict[str, Any] = {"data": [_encoded(media) for media in page.items], "success": True}
    if page.cursor is not None:
        body["next_cursor"] = page.cursor
    return _json(body)


@router.get("/newest", summary="What is new", responses=with_headers(_NEWEST))
async def newest(request: Request, limit: LimitQuery = 10, cursor: CursorQuery = None) -> Response:
    """Return records of any status, last updated first: songs, downloads under way, failures."""
    page = await deps_of(request).repository.list(limit=limit, cursor=cursor)
    items = [{**record(media), "encoding": media.encoding and media.encoding.mode} for media in page.items]
    body: dict[str, Any] = {"data": items, "success": True}
    if page.cursor is not None:
        body["next_cursor"] = page.cursor
    return _json(body)


async def find(deps: ApiDeps, video_id: str) -> Media:
    """Return the record. Raises InvalidVideoId, ApiError (MediaNotFound)."""
    media = await deps.repository.get(check_media_id(video_id))
    if media is None:
        raise ApiError(MediaNotFound(), video_id=video_id)
    return media


def record(media: Media) -> dict[str, Any]:
    """Return a record in the wire's form."""
    fields: dict[str, Any] = {
        "video_id": media.video_id,
        "title_lower": _normalised(media.metadata.title),
        "status": media.status,
        "message": media.message,
        "metadata": media.metadata.model_dump(),
        "file_data": media.file.model_dump(),
        "processing_date": wire_time(media.processing_date),
        "success": media.status is MediaStatus.SUCCESS,
        "attempts": media.attempts,
        "failures": media.failures,
        "created_at": wire_time(media.created_at),
        "updated_at": wire_time(media.updated_at),
        "play_count": media.play_count,
    }
    if media.error_code is not None:
        fields["error_code"] = media.error_code
    return fields


@lru_cache(maxsize=512)
def _encoded(media: Media) -> orjson.Fragment:
    """Encode a record. A changed record is another `Media`, so the cache cannot be stale."""
    return orjson.Fragment(orjson.dumps(record(media)))


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
