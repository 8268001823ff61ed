"""Questions about the library: one record by its id, records by a part of their title. Nothing here starts a download:
that goes through the queue.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

import orjson
from fastapi import Path, Query, Request, Response

from audio_service import texts
from audio_service.api.deps import ApiDeps, deps_of
from audio_service.api.errors import InvalidParameter, Refused
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

# The same text always has the same form, so nothing remembered here can be stale.
_normalised = lru_cache(maxsize=1024)(normalise_title)

MAX_TITLE = 200
MAX_LIMIT = 100
_MAX_CURSOR = 500
# What programs send: one parameter, nothing in it that is escaped.
_PLAIN_QUERY = re.compile(rb"video_id=([A-Za-z0-9_-]{1,%d})" % MAX_ID)

VideoIdPath = Annotated[
    str,
    Path(min_length=1, max_length=MAX_ID, description="The record's id.", examples=["k2qgadSvNyU"]),
]
TitleQuery = Annotated[
    str,
    Query(
        max_length=MAX_TITLE,
        description="A part of the title; case and punctuation do not matter. It is text, never a pattern.",
        examples=["dua lipa"],
    ),
]
LimitQuery = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many records a page has at most.")]
CursorQuery = Annotated[
    str | None, Query(max_length=_MAX_CURSOR, description="`next_cursor` of the page before; opaque.")
]


async def look_up(request: Request) -> Response:
    """Return a record, whatever its state.

    The outer `success` says that the look-up worked; `data.status` and `data.success` say how the record is.
    """
    media = await find(deps_of(request), _video_id(request))
    return _json({"data": _encoded(media), "success": True})


async def search(request: Request, title: TitleQuery, limit: LimitQuery = 10, cursor: CursorQuery = None) -> Response:
    """Return the records whose title contains the text; nothing found is an empty list."""
    if len(search_text(title)) < MIN_SEARCH_CHARACTERS:
        raise InvalidParameter("title", texts.PARAMETER_TOO_SHORT, MIN_SEARCH_CHARACTERS)
    page = await deps_of(request).repository.search(title, limit=limit, cursor=cursor)
    answer: dict[str, Any] = {"data": [_encoded(media) for media in page.items], "success": True}
    if page.cursor is not None:
        answer["next_cursor"] = page.cursor
    return _json(answer)


async def find(deps: ApiDeps, video_id: str) -> Media:
    """Return the record. Raises InvalidVideoId, Refused (MediaNotFound)."""
    media = await deps.repository.get(check_media_id(video_id))
    if media is None:
        raise Refused(MediaNotFound(), video_id=video_id)
    return media


def record(media: Media) -> dict[str, Any]:
    """Return a record as the wire has it."""
    shown: dict[str, Any] = {
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
        shown["error_code"] = media.error_code
    return shown


@lru_cache(maxsize=512)
def _encoded(media: Media) -> orjson.Fragment:
    """Encode a record. One that has changed is another `Media`, so nothing remembered can be stale."""
    return orjson.Fragment(orjson.dumps(record(media)))


def _video_id(request: Request) -> str:
    """Check the hot path's one parameter by hand: FastAPI takes longer to read it than to encode the record."""
    plain = _PLAIN_QUERY.fullmatch(request.scope["query_string"])
    if plain is not None:
        return plain[1].decode("ascii")
    given = request.query_params.get("video_id")
    if given is None:
        raise InvalidParameter("video_id", texts.PARAMETER_MISSING)
    if not given:
        raise InvalidParameter("video_id", texts.PARAMETER_EMPTY)
    if len(given) > MAX_ID:
        raise InvalidParameter("video_id", texts.PARAMETER_TOO_LONG, MAX_ID)
    return given


def _json(answer: dict[str, Any]) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")
