"""The conversation about uploaded files: requests to process them, and a status for every change.

Field names, codes and shapes are fixed: existing clients speak them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from common.messages.base import MAX_ID, JobRequest, WireModel, WireTime

AssetKind = Literal["audio_message"]
AssetStatus = Literal["queued", "processing", "done", "failed"]

MAX_REQUEST_BYTES = 16 * 1024


class AssetRequest(JobRequest):
    """Asks for a completed upload to be processed. `request_id` is the asset's id, so a copy of it is a duplicate."""

    MAX_BYTES: ClassVar[int | None] = MAX_REQUEST_BYTES

    asset_id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    kind: AssetKind
    owner_id: Annotated[str, Field(max_length=MAX_ID)] = ""
    params: dict[str, Any] = Field(default_factory=dict[str, Any])
    timestamp: WireTime

    @property
    def requester(self) -> str:
        """See JobRequest."""
        return self.owner_id


class AssetOutput(WireModel):
    """One file that was made. `size` in bytes; `url` is the path at the API, or a whole address with PUBLIC_URL."""

    name: str
    content_type: str
    size: int
    url: str


class AssetStatusEvent(WireModel):
    """A change of an asset. Of a failed one `error_code` and `message` say why; one that is done has outputs."""

    request_id: str
    asset_id: str
    kind: str
    owner_id: str
    chat_id: str
    status: AssetStatus
    success: bool
    message: str = ""
    error_code: str | None = None
    outputs: list[AssetOutput] = Field(default_factory=list[AssetOutput])
    waveform: list[int] = Field(default_factory=list[int])
    duration_ms: int = 0
