"""Tracks and suggestions, built from what the audio service says: its API's records and the messages of its topics."""

from __future__ import annotations

from dataclasses import dataclass

from bot_service.audio_api import MediaRecord, SourceItem, SourcePlaylist
from bot_service.store.base import Track
from common.errors import InvalidMessage
from common.messages.downloads import FileData, PlatformMetadata, ProgressEvent, StatusEvent


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A song to choose. `duration_ms` is 0 when unknown; `track` is set when the library has the song already."""

    title: str
    url: str
    duration_ms: int = 0
    thumbnail_url: str = ""
    platform: str = ""
    track: Track | None = None

    @classmethod
    def of_track(cls, track: Track) -> Suggestion:
        """Suggest a song of the library."""
        return cls(track.title, track.url, track.duration_ms, track.thumbnail_url, track.platform, track)

    @classmethod
    def of_item(cls, item: SourceItem) -> Suggestion:
        """Suggest a song of a source."""
        return cls(item.title, item.url, item.duration_ms, item.thumbnail_url, item.platform)


@dataclass(frozen=True, slots=True)
class Playlist:
    """The first songs of a playlist, and how many it has in all (0: unknown)."""

    title: str
    items: list[Suggestion]
    total: int = 0

    @classmethod
    def of_source(cls, playlist: SourcePlaylist) -> Playlist:
        """Return a source's playlist."""
        return cls(playlist.title, [Suggestion.of_item(item) for item in playlist.items], playlist.total)


def track_of_record(record: MediaRecord) -> Track:
    """Return the track of a library record."""
    return Track(
        video_id=record.video_id,
        title=record.title,
        duration_ms=record.duration_ms,
        url=record.url,
        thumbnail_url=record.thumbnail_url,
        platform=record.platform,
        file_path=record.file_path,
    )


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
