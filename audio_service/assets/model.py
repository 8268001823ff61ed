"""Assets: what was uploaded and what was made of it; states, legal moves, blob keys. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from common.errors import AppError, AssetNotFound
from common.messages.assets import AssetKind

_ASSET_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class AssetState(StrEnum):
    """`queued`: prepared or complete. `processing`: held by a lease, or claimable once that has expired."""

    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether it cannot be left."""
        return not LEGAL_MOVES[self]


LEGAL_MOVES: dict[AssetState, frozenset[AssetState]] = {
    AssetState.QUEUED: frozenset({AssetState.PROCESSING}),
    AssetState.PROCESSING: frozenset({AssetState.PROCESSING, AssetState.DONE, AssetState.FAILED}),
    AssetState.DONE: frozenset(),
    AssetState.FAILED: frozenset(),
}


class IllegalAssetMoveError(AppError):
    """The asset's state machine has no such transition: a defect of the caller."""


def check_move(before: AssetState, after: AssetState) -> None:
    """Raise IllegalAssetMoveError unless an asset may go from `before` to `after`."""
    if after not in LEGAL_MOVES[before]:
        raise IllegalAssetMoveError(f"{before} → {after}")


@dataclass(frozen=True, slots=True)
class Output:
    """A file that was made, in the store under `output_key`. `size` in bytes."""

    name: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """What was announced, and until when it may be sent. Of `secret` the upload's signature is made."""

    name: str
    size: int
    content_type: str
    secret: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Made:
    """What became of an upload. `waveform`: bars of 0 to 100."""

    outputs: tuple[Output, ...] = ()
    waveform: tuple[int, ...] = ()
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Asset:
    """One uploaded file. Times are aware UTC, to the millisecond.

    `completed_at` None: the upload was prepared, and may be under way. `etag` is the file's when it was complete.
    """

    asset_id: str
    kind: AssetKind
    state: AssetState
    owner_id: str
    chat_id: str
    upload: Upload
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    etag: str = ""
    made: Made = Made()
    error_code: str | None = None
    message: str = ""
    attempts: int = 0


def check_asset_id(text: str) -> str:
    """Return `text` when it can be an asset's id, a UUID of version 4. Raises AssetNotFound."""
    if not _ASSET_ID.fullmatch(text):
        raise AssetNotFound
    return text


def quarantine_key(asset_id: str) -> str:
    """Return the blob key of what was uploaded."""
    return f"quarantine/{check_asset_id(asset_id)}"


def output_key(asset_id: str, name: str) -> str:
    """Return the blob key of a file that was made."""
    return f"assets/{check_asset_id(asset_id)}/{name}"
