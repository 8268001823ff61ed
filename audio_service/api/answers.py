"""What every route may answer, with an example of each, for the OpenAPI document. Data only."""

from __future__ import annotations

from typing import Any

from audio_service import texts
from audio_service.api.errors import InvalidParameter
from audio_service.api.schemas import (
    MEDIA_EXAMPLE,
    HealthAnswer,
    ListingAnswer,
    Liveness,
    MediaAnswer,
    Readiness,
    SearchAnswer,
    error_example,
    json_example,
    protocol_error_example,
)
from common.errors import (
    AppError,
    BlobNotFound,
    DatabaseUnavailable,
    Forbidden,
    InternalError,
    InvalidVideoId,
    MediaNotFound,
    MediaPrivate,
    QueueFull,
    RateLimited,
    SearchFailed,
    SourceUnavailable,
    Unauthorized,
    UrlNotAllowed,
    YouTubeKeyRejected,
)
from common.messages.base import MAX_ID

Responses = dict[int | str, dict[str, Any]]

_ID = "k2qgadSvNyU"
_REQUEST_ID = {"X-Request-ID": {"description": "Names the exchange in the logs.", "schema": {"type": "string"}}}


def _errors(*examples: AppError, description: str, **fields: str) -> dict[str, Any]:
    """Several errors of one status: one entry with an example of each."""
    named = {
        error.code: {"value": error_example(error, "", **fields)["content"]["application/json"]["example"]}
        for error in examples
    }
    return {**error_example(examples[0], description), "content": {"application/json": {"examples": named}}}


def _with_headers(responses: Responses) -> Responses:
    return {
        status: {**entry, "headers": {**_REQUEST_ID, **entry.get("headers", {})}} for status, entry in responses.items()
    }


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _bytes(media_type: str, description: str, *headers: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
        "headers": {name: _header(name) for name in headers},
    }


_OTHERWISE: Responses = {"default": error_example(InternalError(), "Every error has this shape.")}
_FAILURES: Responses = {
    500: _errors(DatabaseUnavailable(), InternalError(), description="Our fault; asking again may help."),
    **_OTHERWISE,
}
_REFUSALS: Responses = {
    401: {
        **error_example(Unauthorized(), "Access is controlled, and no valid key or token was sent."),
        "headers": {"WWW-Authenticate": _header("How to be let in (RFC 6750).")},
    },
    403: error_example(Forbidden(), "The key or the token lacks the scope."),
    429: {
        **error_example(RateLimited(), "Too many requests of one key, token or address."),
        "headers": {"Retry-After": _header("Seconds until the next may come.")},
    },
}
_NO_MEDIA = error_example(MediaNotFound(), "There is no such record.", video_id=_ID)
_BAD_ID = _errors(
    InvalidParameter("video_id", texts.PARAMETER_MISSING),
    InvalidVideoId(),
    description="`video_id` is missing, empty, over 100 characters, or cannot be an id.",
)
_NO_FILE = _errors(
    MediaNotFound(),
    BlobNotFound(),
    description="There is no such record, it is no success (then `status` is there), or its file is gone.",
    video_id=_ID,
)
_NOT_MODIFIED = {"description": "The client's copy is current.", "headers": {"ETag": _header("ETag")}}

# As FastAPI would describe it, had it the parameter to read (see `media.look_up`).
LOOK_UP_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "video_id",
            "in": "query",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID, "examples": [_ID]},
            "description": "The record's id.",
        }
    ]
}
LOOK_UP: Responses = _with_headers(
    {
        200: json_example(MediaAnswer, {"data": MEDIA_EXAMPLE, "success": True}, "The record, whatever its state."),
        400: _BAD_ID,
        404: _NO_MEDIA,
        **_REFUSALS,
        **_FAILURES,
    }
)
SEARCH: Responses = _with_headers(
    {
        200: json_example(SearchAnswer, {"data": [MEDIA_EXAMPLE], "success": True}, "A page; empty when nothing fits."),
        400: _errors(
            InvalidParameter("title", texts.PARAMETER_TOO_SHORT, 3),
            description="`title` is missing or too short or long, `limit` out of range, or `cursor` is not ours.",
        ),
        **_REFUSALS,
        **_FAILURES,
    }
)
_ITEM: dict[str, Any] = MEDIA_EXAMPLE["metadata"]
_BUSY = _errors(YouTubeKeyRejected(), QueueFull(), description="The API key is refused, or too many are asking.")
SOURCE_SEARCH: Responses = _with_headers(
    {
        200: json_example(
            ListingAnswer,
            {"data": [_ITEM], "title": "", "total": 1, "success": True},
            "Best first; empty when nothing fits.",
        ),
        400: _errors(
            InvalidParameter("query", texts.PARAMETER_EMPTY),
            description="`query` is missing, empty, too long or a URL, or `limit` is out of range.",
        ),
        503: _BUSY,
        **_REFUSALS,
        **_FAILURES,
        500: _errors(SearchFailed(), InternalError(), description="The search failed, or took too long."),
    }
)
SOURCE_PLAYLIST: Responses = _with_headers(
    {
        200: json_example(
            ListingAnswer,
            {"data": [_ITEM], "title": "Dua Lipa", "total": 34, "success": True},
            "The first items; none when the URL is no playlist.",
        ),
        400: _errors(
            InvalidParameter("url", texts.PARAMETER_MISSING),
            UrlNotAllowed(),
            description="`url` is missing, no URL, or one that is not followed; or `limit` is out of range.",
        ),
        404: error_example(MediaNotFound(), "The source has no such playlist."),
        502: error_example(SourceUnavailable(), "The source does not answer."),
        503: _BUSY,
        **_REFUSALS,
        403: _errors(MediaPrivate(), Forbidden(), description="The source does not show it to everybody, or no scope."),
        **_FAILURES,
    }
)
AUDIO: Responses = _with_headers(
    {
        200: _bytes(
            "audio/dca",
            "The whole file. Of a song that is being made: its beginning, followed by the rest as it comes, without "
            "length, ETag and ranges; a connection that is cut before its end means that the song was given up.",
            "ETag",
            "Accept-Ranges",
            "Cache-Control",
        ),
        206: _bytes("audio/dca", "The range asked for.", "ETag", "Content-Range"),
        304: _NOT_MODIFIED,
        400: _BAD_ID,
        404: _NO_FILE,
        416: protocol_error_example(
            "range_not_satisfiable", texts.RANGE_NOT_SATISFIABLE.es, "The range begins after the end of the file."
        ),
        **_REFUSALS,
        **_FAILURES,
    }
)
OGG: Responses = _with_headers(
    {
        200: _bytes("audio/ogg", "The whole song.", "ETag", "Cache-Control"),
        304: _NOT_MODIFIED,
        400: _BAD_ID,
        404: _NO_FILE,
        **_REFUSALS,
        **_FAILURES,
    }
)
_WELL: dict[str, Any] = {"metadata": {}, "status": texts.HEALTHY}
_ILL: dict[str, Any] = {"metadata": {}, "status": texts.UNHEALTHY, "error": DatabaseUnavailable().message()}
HEALTH: Responses = _with_headers(
    {
        200: json_example(
            HealthAnswer,
            {"environment": "local", "services": {"sqlite": _WELL}, "status": texts.ALL_HEALTHY},
            "Every dependency works.",
        ),
        503: json_example(
            HealthAnswer,
            {"environment": "local", "services": {"sqlite": _ILL}, "status": texts.SOME_UNHEALTHY},
            "At least one does not.",
        ),
        429: _REFUSALS[429],
        **_OTHERWISE,
    }
)
READINESS: Responses = _with_headers(
    {
        200: json_example(Readiness, {"ready": True, "services": {"sqlite": True}}, "Send requests here."),
        503: json_example(Readiness, {"ready": False, "services": {"sqlite": False}}, "Send them elsewhere."),
        **_OTHERWISE,
    }
)
LIVENESS: Responses = _with_headers({200: json_example(Liveness, {"alive": True}, "It does."), **_OTHERWISE})
METRICS: Responses = _with_headers(
    {
        200: {"description": "Text format 0.0.4.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **_REFUSALS,
        **_OTHERWISE,
    }
)
