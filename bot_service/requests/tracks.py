"""Tracks, built from what the audio service says: its API's records and the messages of its topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot_service.store.base import Track
from common.errors import InvalidMessage
from common.messages.downloads import FileData, PlatformMetadata, ProgressEvent, StatusEvent


def track_of_media(data: Mapping[str, Any]) -> Track:
    """Return the track of a record of `GET /api/v1/media/?video_id=` (one item of a search has the same shape).

    Raises:
        InvalidMessage: a field is missing or of another type.
    """
    try:
        metadata, file_data = data["metadata"], data["file_data"]
        return Track(
            video_id=str(data["video_id"]),
            title=str(metadata["title"]),
            duration_ms=max(int(metadata["duration_ms"]), 0),
            url=str(metadata["url"]),
            thumbnail_url=str(metadata["thumbnail_url"]),
            platform=str(metadata["platform"]),
            file_path=str(file_data["file_path"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidMessage(f"media record: {exc!r}") from exc


def track_of_status(status: StatusEvent) -> Track:
    """Return the track of a successful status event."""
    return _track(status.video_id, status.platform_metadata, status.file_data, unfinished=False)


def track_of_progress(event: ProgressEvent) -> Track:
    """Return the track, unfinished, of a progress event with `playable` set.

    Raises:
        InvalidMessage: metadata or file path is missing.
    """
    if event.platform_metadata is None or event.file_data is None or not event.file_data.file_path:
        raise InvalidMessage("playable, without platform_metadata or file_data")
    return _track(event.video_id, event.platform_metadata, event.file_data, unfinished=True)


def _track(video_id: str, metadata: PlatformMetadata, file_data: FileData, *, unfinished: bool) -> Track:
    return Track(
        video_id=video_id,
        title=metadata.title,
        duration_ms=max(metadata.duration_ms, 0),
        url=metadata.url,
        thumbnail_url=metadata.thumbnail_url,
        platform=metadata.platform,
        file_path=file_data.file_path,
        unfinished=unfinished,
    )
