"""A media record as a document, and back.

`_id` is the media id. `grams` exist only while the record is a success, `lease_until` is null when no lease runs,
`claim_id` is the claim that last became the owner. Text from people and sources is a value, never a key; in an update
pipeline it stands under `$literal`, where it is not read as an expression.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, cast

from bson import Int64

from audio_service.media.model import Encoding, Media, MediaStatus
from audio_service.media.repository.base import StoredMedia, Waiter
from audio_service.media.repository.decision import grams, milliseconds
from common.databases.mongodb import Document
from common.messages.downloads import FileData, PlatformMetadata
from common.observability.telemetry import get_logger

log = get_logger(__name__)

GRAM_LENGTHS = (3, 5, 7)
WITHOUT_FILE: Document = {
    "status": "processing",
    "file": FileData().model_dump(),
    "size_bytes": 0,
    "encoding": None,
    "message": "",
}
"""The fields of a record without a file."""

FIELDS = (
    *("_id", "status", "metadata", "file", "size_bytes", "encoding", "message", "error_code", "processing_date"),
    *("created_at", "updated_at", "attempts", "failures", "play_count", "last_played_at"),
)
"""What a Media is read from."""


OURS: Document = {"seq": {"$type": "long"}, "fence": {"$type": ["int", "long"]}}
"""A query for records that this program has written. The original system's have its fields and neither of these."""


def readable(document: Document) -> Media | None:
    """Build a record, or None from a document that this program has not written: a query never fails because of one."""
    try:
        return media_of(document)
    except (KeyError, TypeError, ValueError) as exc:
        log.debug("library.foreign_record", media_id=str(document.get("_id")), error=repr(exc))
        return None


def media_of(document: Document) -> Media:
    """Build a record from a document's FIELDS."""
    encoding: Any = document["encoding"]
    return Media(
        video_id=document["_id"],
        status=MediaStatus(document["status"]),
        metadata=PlatformMetadata.model_validate(document["metadata"]),
        file=FileData.model_validate(document["file"]),
        size_bytes=document["size_bytes"],
        encoding=None if encoding is None else Encoding(**encoding),
        message=document["message"],
        error_code=document["error_code"],
        processing_date=document["processing_date"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        attempts=document["attempts"],
        failures=document["failures"],
        play_count=document["play_count"],
        last_played_at=document["last_played_at"],
    )


def document_of(media: Media) -> Document:
    """Return a whole document, but `seq`, what it is found by, and the time of its last use."""
    return {
        "_id": media.video_id,
        "status": media.status.value,
        "metadata": media.metadata.model_dump(),
        "file": media.file.model_dump(),
        "size_bytes": media.size_bytes,
        "encoding": None if media.encoding is None else asdict(media.encoding),
        "message": media.message,
        "error_code": media.error_code,
        "processing_date": media.processing_date,
        "created_at": media.created_at,
        "updated_at": media.updated_at,
        "attempts": media.attempts,
        "failures": media.failures,
        "play_count": media.play_count,
        "last_played_at": media.last_played_at,
        "fence": Int64(1),
        "lease_until": None,
        "holder": "",
        "claim_id": "",
        "waiters": [],
        "settled": [],
    }


def waiters_of(document: Document) -> tuple[Waiter, ...]:
    """Return a record's waiting list, in order of arrival."""
    waiters = cast("list[dict[str, str]]", document.get("waiters") or [])
    return tuple(Waiter(waiter["request_id"], waiter["user_id"]) for waiter in waiters)


def made_fields(made: StoredMedia) -> Document:
    """Return the fields of a record with its file."""
    return {
        "metadata": made.metadata.model_dump(),
        "file": made.file.model_dump(),
        "size_bytes": made.size_bytes,
        "encoding": asdict(made.encoding),
        "message": made.message,
    }


def all_grams(text: str) -> list[str]:
    """Return what a title is found by: all runs of these lengths in its `search_text`."""
    return [gram for length in GRAM_LENGTHS for gram in grams(text, length)]


def literal(value: object) -> Document:
    """Put a value into an update pipeline as it is: "$where" stays a title."""
    return {"$literal": value}


def after(span: timedelta) -> Document:
    """Return the server's time at the end of a span that begins now."""
    return {"$add": ["$$NOW", milliseconds(span)]}


def left_until(moment: datetime, now: datetime) -> timedelta:
    """Return the time until a moment that the server found to be in the future; a millisecond at least."""
    return max(moment - now, timedelta(milliseconds=1))
