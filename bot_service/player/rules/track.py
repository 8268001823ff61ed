"""What is played and who asked for it. Pure values: they fetch nothing and know no Discord."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.dca import FRAME_MS
from common.errors import InvalidMessage
from common.messages.downloads import FileData, PlatformMetadata, ProgressEvent, StatusEvent


@dataclass(frozen=True, slots=True)
class Track:
    """A song of the library. `file_path` is its key in the blob store; `duration_ms` is 0 when nobody knows it.

    `unfinished`: it is still being made. It can be heard, may yet come to nothing, and is no song of the library: only
    a player holds it.
    """

    video_id: str
    title: str
    duration_ms: int
    url: str
    thumbnail_url: str
    platform: str
    file_path: str
    unfinished: bool = False

    @property
    def frames(self) -> int:
        """Return how many 20 ms frames the song has by its stated duration; 0 when that is unknown."""
        return -(-self.duration_ms // FRAME_MS)

    @classmethod
    def of_media(cls, data: Mapping[str, Any]) -> Track:
        """Read the `data` of `GET /api/v1/media/?video_id=` (one item of a search has the same shape).

        Raises:
            InvalidMessage: a field is missing or of another type.
        """
        try:
            metadata, file_data = data["metadata"], data["file_data"]
            return cls(
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

    @classmethod
    def of_status(cls, status: StatusEvent) -> Track:
        """Read the track out of a successful status event."""
        return cls._of(status.video_id, status.platform_metadata, status.file_data)

    @classmethod
    def of_progress(cls, event: ProgressEvent) -> Track:
        """Read the track, unfinished, out of a progress event that says that it can be heard.

        Raises:
            InvalidMessage: the event does not say what the song is, or where.
        """
        if event.platform_metadata is None or event.file_data is None or not event.file_data.file_path:
            raise InvalidMessage("playable, without platform_metadata or file_data")
        return replace(cls._of(event.video_id, event.platform_metadata, event.file_data), unfinished=True)

    @classmethod
    def _of(cls, video_id: str, metadata: PlatformMetadata, file_data: FileData) -> Track:
        return cls(
            video_id=video_id,
            title=metadata.title,
            duration_ms=max(metadata.duration_ms, 0),
            url=metadata.url,
            thumbnail_url=metadata.thumbnail_url,
            platform=metadata.platform,
            file_path=file_data.file_path,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One wish in a guild's queue.

    `entry_id` is the request id when a download was asked for, and unique in any case: the same song asked for twice is
    two entries. `song` is what to show until the title is known; `asked_at` is aware UTC; `track` is None while the
    song is still being fetched.
    """

    entry_id: str
    requester_id: int
    song: str
    asked_at: datetime
    track: Track | None = None

    @property
    def title(self) -> str:
        """Return the title, or what was asked for while there is none."""
        return self.track.title if self.track is not None and self.track.title else self.song
