"""OpenAPI's description of responses: the helpers, and the responses that many endpoints share. Data only.

Each endpoint's own responses stand beside the endpoint.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from audio_service import texts
from audio_service.api.errors import InvalidParameter
from audio_service.api.schemas import ErrorBody
from common.errors import (
    AppError,
    BlobNotFound,
    DatabaseUnavailable,
    Forbidden,
    InternalError,
    InvalidVideoId,
    MediaNotFound,
    RateLimited,
    Unauthorized,
)

Responses = dict[int | str, dict[str, Any]]

MEDIA_ID_EXAMPLE = "k2qgadSvNyU"
MEDIA_EXAMPLE: dict[str, Any] = {
    "video_id": "k2qgadSvNyU",
    "title_lower": "dua lipa  new rules official music video",
    "status": "success",
    "message": "Descarga completa",
    "metadata": {
        "title": "Dua Lipa - New Rules (Official Music Video)",
        "duration_ms": 225000,
        "url": "https://youtube.com/watch?v=k2qgadSvNyU",
        "thumbnail_url": "https://i.ytimg.com/vi/k2qgadSvNyU/default.jpg",
        "platform": "YouTube",
    },
    "file_data": {"file_path": "audio/k2qgadSvNyU.dca", "file_size": "2.70MB", "file_type": "audio/dca"},
    "processing_date": "2025-05-16T23:06:17.533Z",
    "success": True,
    "attempts": 1,
    "failures": 0,
    "created_at": "2025-05-16T23:06:17.533Z",
    "updated_at": "2025-05-16T23:06:27.597Z",
    "play_count": 0,
}

_REQUEST_ID = {"X-Request-ID": {"description": "Identifies the exchange in the logs.", "schema": {"type": "string"}}}


def json_example(model: type[BaseModel], example: object, description: str) -> dict[str, Any]:
    """Return one entry of a route's `responses`."""
    return {"model": model, "description": description, "content": {"application/json": {"example": example}}}


def error_example(error: AppError, description: str, **fields: str) -> dict[str, Any]:
    """Return the entry of an error of the tree."""
    return json_example(ErrorBody, _error_body(error.code, error.message(), **fields), description)


def error_examples(*errors: AppError, description: str, **fields: str) -> dict[str, Any]:
    """Return the entry of several errors with the same status: an example of each."""
    named = {error.code: {"value": _error_body(error.code, error.message(), **fields)} for error in errors}
    return {"model": ErrorBody, "description": description, "content": {"application/json": {"examples": named}}}


def protocol_error_example(code: str, message: str, description: str) -> dict[str, Any]:
    """Return the entry of an error of HTTP itself."""
    return json_example(ErrorBody, _error_body(code, message), description)


def file_response(media_type: str, description: str, *headers: str) -> dict[str, Any]:
    """Return the entry of a response with a file."""
    return {
        "description": description,
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
        "headers": {name: header(name) for name in headers},
    }


def header(description: str) -> dict[str, Any]:
    """Return the description of a response header."""
    return {"description": description, "schema": {"type": "string"}}


def with_headers(responses: Responses) -> Responses:
    """Add the header that every response has."""
    return {
        status: {**entry, "headers": {**_REQUEST_ID, **entry.get("headers", {})}} for status, entry in responses.items()
    }


def _error_body(code: str, message: str, **fields: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **fields}, "success": False}


DEFAULT: Responses = {
    413: protocol_error_example("body_too_large", texts.BODY_TOO_LARGE.es, "The request has a body over 64 KiB."),
    414: protocol_error_example("query_too_long", texts.QUERY_TOO_LONG.es, "The query string is over 16 KiB."),
    431: protocol_error_example("header_too_long", texts.HEADER_TOO_LONG.es, "A header's value is over 8 KiB."),
    "default": error_example(InternalError(), "Every error has this shape."),
}
"""What every endpoint may answer."""

FAILED: Responses = {
    500: error_examples(DatabaseUnavailable(), InternalError(), description="Our fault; a retry may succeed."),
    **DEFAULT,
}
"""What every endpoint that reads the library may answer."""

REFUSED: Responses = {
    401: {
        **error_example(Unauthorized(), "Access is controlled, and the request has no valid key or token."),
        "headers": {"WWW-Authenticate": header("The challenge (RFC 6750).")},
    },
    403: error_example(Forbidden(), "The key or the token lacks the scope."),
    429: {
        **error_example(RateLimited(), "Too many requests of one key, token or address."),
        "headers": {"Retry-After": header("Seconds until the next request is accepted.")},
    },
}
"""What every endpoint that needs a scope may answer."""

INVALID_MEDIA_ID = error_examples(
    InvalidParameter("video_id", texts.PARAMETER_MISSING),
    InvalidVideoId(),
    description="`video_id` is missing, empty, over 100 characters, or does not match the pattern.",
)
NO_MEDIA = error_example(MediaNotFound(), "There is no such record.", video_id=MEDIA_ID_EXAMPLE)
NO_FILE = error_examples(
    MediaNotFound(),
    BlobNotFound(),
    description="No such record, or it is not a success (then the body has its `status`), or its file is missing.",
    video_id=MEDIA_ID_EXAMPLE,
)
