"""An asset as a row, and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from audio_service.assets.model import Asset, AssetState, Made, Output, Upload

COLUMNS = (
    "asset_id, kind, state, owner_id, chat_id, name, size, content_type, secret, expires_at, created_at, updated_at, "
    "completed_at, etag, made, error_code, message, attempts"
)


def asset_of(row: tuple[Any, ...]) -> Asset:
    """Build an asset from a row of COLUMNS."""
    asset_id, kind, state, owner_id, chat_id, name, size, content_type, secret, expires_at, *rest = row
    created_at, updated_at, completed_at, etag, made, error_code, message, attempts = rest
    return Asset(
        asset_id=asset_id,
        kind=kind,
        state=AssetState(state),
        owner_id=owner_id,
        chat_id=chat_id,
        upload=Upload(name, size, content_type, secret, moment(expires_at)),
        created_at=moment(created_at),
        updated_at=moment(updated_at),
        completed_at=None if completed_at is None else moment(completed_at),
        etag=etag,
        made=_made_of(made),
        error_code=error_code,
        message=message,
        attempts=attempts,
    )


def row_of(asset: Asset) -> tuple[Any, ...]:
    """Return the row of COLUMNS."""
    upload = asset.upload
    return (
        *(asset.asset_id, asset.kind, asset.state, asset.owner_id, asset.chat_id),
        *(upload.name, upload.size, upload.content_type, upload.secret, stamp(upload.expires_at)),
        *(stamp(asset.created_at), stamp(asset.updated_at)),
        *(None if asset.completed_at is None else stamp(asset.completed_at), asset.etag, text_of(asset.made)),
        *(asset.error_code, asset.message, asset.attempts),
    )


def text_of(made: Made) -> str:
    """Return the JSON that the column holds."""
    return orjson.dumps(asdict(made)).decode()


def stamp(moment: datetime) -> int:
    """Return ms since the epoch."""
    return round(moment.timestamp() * 1000)


def moment(ms: int) -> datetime:
    """Return a time of ms since the epoch."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def _made_of(text: str) -> Made:
    loaded: dict[str, Any] = orjson.loads(text)
    outputs = tuple(Output(**output) for output in loaded["outputs"])
    return Made(outputs, tuple(loaded["waveform"]), loaded["duration_ms"])
