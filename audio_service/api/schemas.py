"""The answers' shapes, for the OpenAPI document and for tests. Answers themselves are built from plain dicts: the hot
path validates nothing that the repository has already given a type.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from common.errors import AppError
from common.messages.downloads import FileData, PlatformMetadata


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MediaRecord(_Shape):
    """One record of the library. `status` is success, processing or error; times are UTC, milliseconds, `Z`.

    `success` says whether the file can be had; `error_code` is there when the last attempt failed for good.
    """

    video_id: str
    title_lower: str
    status: Literal["processing", "success", "error"]
    message: str
    metadata: PlatformMetadata
    file_data: FileData
    processing_date: str
    success: bool
    attempts: int
    failures: int
    created_at: str
    updated_at: str
    play_count: int
    error_code: str | None = None


class MediaAnswer(_Shape):
    """The look-up worked; whether the record is a success is in `data`."""

    data: MediaRecord
    success: Literal[True]


class SearchAnswer(_Shape):
    """A page of records. `next_cursor` is there when a further page may exist: give it back as `cursor`."""

    data: list[MediaRecord]
    success: Literal[True]
    next_cursor: str | None = None


class ListingAnswer(_Shape):
    """What a search or a playlist of a source holds, in order; `total` is how many there are (0: not known)."""

    data: list[PlatformMetadata]
    title: str
    total: int
    success: Literal[True]


class ErrorDetail(BaseModel):
    """`code` is for programs, `message` for people; `field` or `video_id` say what it is about."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class ErrorAnswer(_Shape):
    """Every error has this shape."""

    error: ErrorDetail
    success: Literal[False]


class ServiceHealth(_Shape):
    """`metadata` depends on the backend; `error` is there when the service is not healthy."""

    metadata: dict[str, Any]
    status: Literal["saludable", "no saludable"]
    error: str | None = None


class HealthAnswer(_Shape):
    """One entry a backend in use."""

    environment: str
    services: dict[str, ServiceHealth]
    status: str


class Readiness(_Shape):
    """Whether this process should be sent requests."""

    ready: bool
    services: dict[str, bool]


class Liveness(_Shape):
    """The process answers."""

    alive: Literal[True]


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


def json_example(model: type[BaseModel], example: object, description: str) -> dict[str, Any]:
    """Return one entry of a route's `responses`."""
    return {"model": model, "description": description, "content": {"application/json": {"example": example}}}


def error_example(error: AppError, description: str, **fields: str) -> dict[str, Any]:
    """Return the entry of an error of the tree."""
    return protocol_error_example(error.code, error.message(), description, **fields)


def protocol_error_example(code: str, message: str, description: str, **fields: str) -> dict[str, Any]:
    """Return the entry of an error that only HTTP knows."""
    body = {"error": {"code": code, "message": message, **fields}, "success": False}
    return json_example(ErrorAnswer, body, description)
