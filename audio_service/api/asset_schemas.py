"""The JSON bodies of uploads and assets, for requests, the OpenAPI document and tests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from audio_service.api.responses import error_example
from common.errors import AssetNotFound
from common.messages.assets import AssetOutput

ASSET_ID_EXAMPLE = "0b5e6a2e-5f0c-4c53-9a1f-0d2b8a6a5a10"
NO_ASSET = error_example(AssetNotFound(), "There is no such asset.")

_TYPE = r"^[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}(; ?[A-Za-z0-9_-]{1,20}=[A-Za-z0-9_.,+-]{1,60})?$"
CHAT_ID = r"^[A-Za-z0-9._~-]{1,100}$"
_MOST_BYTES = 1 << 53
Status = Literal["queued", "processing", "done", "failed"]


class PrepareBody(BaseModel):
    """What will be sent. `size` in bytes; `type` as the file's own program says it, which decides nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=255)]
    size: Annotated[int, Field(ge=1, le=_MOST_BYTES)]
    type: Annotated[str, Field(pattern=_TYPE)] = "application/octet-stream"
    chat_id: Annotated[str, Field(pattern=CHAT_ID)]


class CompleteBody(BaseModel):
    """Which upload was sent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    asset_id: Annotated[str, Field(min_length=1, max_length=100)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UploadPermission(_Shape):
    """A request that may be sent once, with exactly these headers."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: str


class PreparedBody(_Shape):
    """An upload that may begin."""

    asset_id: str
    processing_status: Status
    upload: UploadPermission
    success: Literal[True]


class CompletedBody(_Shape):
    """The state of a completed upload."""

    asset_id: str
    processing_status: Status
    success: Literal[True]


class Variants(_Shape):
    """What a player needs: the address, bars of 0 to 100, seconds."""

    url: str
    waveform: list[int]
    duration: float


class AssetRecord(_Shape):
    """One uploaded file. `variants` is null, and `outputs` empty, until it is done."""

    asset_id: str
    kind: Literal["audio_message"]
    processing_status: Status
    name: str
    size: int
    chat_id: str
    variants: Variants | None
    outputs: list[AssetOutput]
    error_code: str | None
    message: str
    created_at: str
    updated_at: str


class AssetBody(_Shape):
    """An asset. The outer `success` is false for a failed one."""

    data: AssetRecord
    success: bool


class AssetPageBody(_Shape):
    """A page of assets. `next_cursor` is present when a further page may exist: send it as `cursor`."""

    data: list[AssetRecord]
    success: Literal[True]
    next_cursor: str | None = None
