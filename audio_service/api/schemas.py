"""The JSON bodies of responses, for the OpenAPI document and for tests.

Responses themselves are built from plain dicts: the hot path does not validate again what the repository has typed.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from audio_service.audio.base import Mode
from common.messages.downloads import FileData, PlatformMetadata


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MediaRecord(_Shape):
    """One record of the library. `status` is success, processing or error; times are UTC, milliseconds, `Z`.

    `success`: the file is in the store. `error_code`: only when the last attempt failed for good.
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


class MediaBody(_Shape):
    """A record. The outer `success` is false for a failed one, whose `data` says why."""

    data: MediaRecord
    success: bool


class MediaPageBody(_Shape):
    """A page of records. `next_cursor` is present when a further page may exist: send it as `cursor`."""

    data: list[MediaRecord]
    success: Literal[True]
    next_cursor: str | None = None


class NewestRecord(MediaRecord):
    """A record, and how its file was made: its source's packets as they are, or encoded; null without a file."""

    encoding: Mode | None


class NewestBody(_Shape):
    """A page of records of any status, last updated first; `next_cursor` as in a search."""

    data: list[NewestRecord]
    success: Literal[True]
    next_cursor: str | None = None


class ListingBody(_Shape):
    """The items of a search or a playlist at a source, in order; `total` is their number there (0: unknown)."""

    data: list[PlatformMetadata]
    title: str
    total: int
    success: Literal[True]


class ErrorDetail(BaseModel):
    """`code` is for programs, `message` for people; `field` or `video_id` name what the error concerns."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class ErrorBody(_Shape):
    """Every error has this shape."""

    error: ErrorDetail
    success: Literal[False]


class ServiceHealth(_Shape):
    """`metadata` depends on the backend; `error` is present when the service is not healthy."""

    metadata: dict[str, Any]
    status: Literal["saludable", "no saludable"]
    error: str | None = None


class HealthBody(_Shape):
    """`services` has one entry for each backend in use."""

    environment: str
    services: dict[str, ServiceHealth]
    status: str


class ReadinessBody(_Shape):
    """Whether this process should be sent requests."""

    ready: bool
    services: dict[str, bool]


class LivenessBody(_Shape):
    """The process answers."""

    alive: Literal[True]
