"""A media record as a row, and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import orjson

from audio_service.media.model import Encoding, Media, MediaStatus
from common.messages.base import WireModel
from common.messages.downloads import FileData, PlatformMetadata

COLUMNS = (
    "video_id, status, metadata, file, size_bytes, encoding, message, error_code, "
    "processing_date, created_at, updated_at, attempts, failures, play_count, last_played_at"
)
NO_FILE = FileData().model_dump_json()


@lru_cache(maxsize=512)
def media_of(row: tuple[Any, ...]) -> Media:
    """Build a record from a row of COLUMNS. Cached by the whole row, so it is never stale."""
    (video_id, status, metadata, file, size_bytes, encoding, message, error_code, *rest) = row
    processing_date, created_at, updated_at, attempts, failures, play_count, last_played_at = cast("list[int]", rest)
    return Media(
        video_id=video_id,
        status=MediaStatus(status),
        metadata=PlatformMetadata.model_validate_json(metadata),
        file=FileData.model_validate_json(file),
        size_bytes=size_bytes,
        encoding=None if encoding is None else Encoding(**orjson.loads(encoding)),
        message=message,
        error_code=error_code,
        processing_date=_moment(processing_date),
        created_at=_moment(created_at),
        updated_at=_moment(updated_at),
        attempts=attempts,
        failures=failures,
        play_count=play_count,
        last_played_at=_moment(last_played_at) if last_played_at else None,
    )


def text_of(value: WireModel | Encoding) -> str:
    """Return the JSON that a column holds."""
    return value.model_dump_json() if isinstance(value, WireModel) else orjson.dumps(asdict(value)).decode()


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
