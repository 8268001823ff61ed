"""The conversation about songs: download requests, their progress, their terminal status.

Field names, codes and shapes are fixed: existing clients speak them.
"""

from __future__ import annotations

import uuid
from typing import Annotated, ClassVar, Literal

import orjson
from pydantic import Field

from common.messages.base import MAX_ID, JobRequest, WireModel, WireTime, utc_now

MAX_REQUEST_BYTES = 16 * 1024


class DownloadRequest(JobRequest):
    """What a client asks for. Only the shape is checked here; whether the song and the provider make sense is
    the worker's question, because the answer to that is a status message and not a dead letter.
    """

    MAX_BYTES: ClassVar[int | None] = MAX_REQUEST_BYTES

    user_id: Annotated[str, Field(max_length=MAX_ID)]
    song: str
    provider_type: str
    timestamp: WireTime
    guild_id: str | None = None

    @property
    def requester(self) -> str:
        """See JobRequest."""
        return self.user_id

    @classmethod
    def new(cls, song: str, *, user_id: str, provider_type: str = "youtube") -> DownloadRequest:
        """Make a request with a fresh id, timed now."""
        return cls(
            request_id=str(uuid.uuid4()),
            user_id=user_id,
            song=song,
            provider_type=provider_type,
            timestamp=utc_now(),
        )


def message_key(song: str) -> str:
    """Return the key of a request's message: the song as typed, without differences of case and white space."""
    return " ".join(song.split()).lower()


class FileData(WireModel):
    """Where the stored file is. `file_path` is its key in the blob store; `file_size` is for people ("2.70MB")."""

    file_path: str = ""
    file_size: str = ""
    file_type: str = ""


class PlatformMetadata(WireModel):
    """What the source says about the media. `platform` is a display name ("YouTube")."""

    title: str = ""
    duration_ms: int = 0
    url: str = ""
    thumbnail_url: str = ""
    platform: str = ""


class StatusEvent(WireModel):
    """The one terminal answer to a request. An error has a readable `message`, an `error_code`, and empty data."""

    request_id: str
    user_id: str
    video_id: str
    file_data: FileData = FileData()
    platform_metadata: PlatformMetadata = PlatformMetadata()
    message: str
    success: bool
    status: Literal["success", "error"]
    error_code: str | None = None

    def to_bytes(self) -> bytes:
        """Return the JSON that goes on the wire; only an error has an `error_code`."""
        return orjson.dumps(self.model_dump(exclude=None if self.error_code else {"error_code"}))


DownloadStage = Literal["resolving", "downloading", "encoding", "storing"]
_OF_PLAYABLE = {"playable", "platform_metadata", "file_data"}


class ProgressEvent(WireModel):
    """How far a request is. Best effort, at most twice a second; `percent` is None while the whole is unknown.

    `playable`: the song's beginning can be had from the audio service, which follows it to its end; then
    `platform_metadata` and `file_data` are there, without what is known at the end only (the size).
    """

    request_id: str
    video_id: str
    stage: DownloadStage
    percent: float | None = None
    eta_seconds: float | None = None
    speed_bytes_per_second: float | None = None
    playable: bool = False
    platform_metadata: PlatformMetadata | None = None
    file_data: FileData | None = None

    def to_bytes(self) -> bytes:
        """Return the JSON that goes on the wire; only what is playable says so."""
        return orjson.dumps(self.model_dump(exclude=None if self.playable else _OF_PLAYABLE))
