"""A record of the original system, read from a document of MongoDB or an item of DynamoDB.

Both hold the fields of the API's answer. The id is `_id` in MongoDB, and in DynamoDB `PK` with VIDEO# before it. Times
are dates or RFC 3339 texts; a time that is missing or cannot be read is that of the record's making, else now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from audio_service.media.model import check_media_id
from common.errors import InvalidVideoId
from common.messages.base import utc_now
from common.messages.downloads import PlatformMetadata

_PARTITION = "VIDEO#"


class UnreadableRecord(ValueError):
    """It is no record of the original system; the text says why."""


@dataclass(frozen=True, slots=True)
class OriginalRecord:
    """What the original system says about a song. `finished`: its file was stored; `file_path` is its own."""

    media_id: str
    finished: bool
    metadata: PlatformMetadata
    file_path: str
    message: str
    processing_date: datetime
    created_at: datetime
    updated_at: datetime
    attempts: int
    failures: int
    play_count: int


def read_record(document: Mapping[str, Any]) -> OriginalRecord:
    """Read a document. Raises UnreadableRecord."""
    metadata = _part(document, "metadata")
    created = _moment(document.get("created_at")) or _moment(document.get("processing_date")) or utc_now()
    return OriginalRecord(
        media_id=_media_id(document),
        finished=document.get("status") == "success",
        metadata=PlatformMetadata(
            title=str(metadata.get("title") or ""),
            duration_ms=_number(metadata.get("duration_ms")),
            url=str(metadata.get("url") or ""),
            thumbnail_url=str(metadata.get("thumbnail_url") or ""),
            platform=str(metadata.get("platform") or ""),
        ),
        file_path=str(_part(document, "file_data").get("file_path") or ""),
        message=str(document.get("message") or ""),
        processing_date=_moment(document.get("processing_date")) or created,
        created_at=created,
        updated_at=_moment(document.get("updated_at")) or created,
        attempts=_number(document.get("attempts")),
        failures=_number(document.get("failures")),
        play_count=_number(document.get("play_count")),
    )


def _media_id(document: Mapping[str, Any]) -> str:
    found = document.get("_id") or document.get("video_id") or document.get("PK")
    try:
        return check_media_id(found.removeprefix(_PARTITION) if isinstance(found, str) else "")
    except InvalidVideoId as exc:
        raise UnreadableRecord(f"no id of a song: {found!r}") from exc


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return cast("Mapping[str, Any]", part) if isinstance(part, Mapping) else {}


def _number(value: object) -> int:
    """Return a count, 0 for anything that is none."""
    try:
        return max(0, int(cast("Any", value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def _moment(value: object) -> datetime | None:
    """Return a time in UTC, to the millisecond."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.year <= 1:  # Go's zero time
        return None
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(microsecond=aware.microsecond // 1000 * 1000)
