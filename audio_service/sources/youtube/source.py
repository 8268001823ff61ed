"""The YouTube Data API in front of another source: it searches and describes, it never fetches.

Words resolve to the best playable video. URLs of other sites go to the source behind it, as does everything while the
API is unavailable or its quota used up. A rejected key is an error: an operator must replace it.
"""

from __future__ import annotations

from audio_service.sources.base import MediaSource, Query, Resolved
from audio_service.sources.query import clean_title
from audio_service.sources.youtube.api import VideoDetails, YouTubeApi
from common.errors import (
    MediaAgeRestricted,
    MediaLive,
    MediaNotFound,
    MediaPrivate,
    MediaRemoved,
    MediaTooLong,
    SourceError,
    YouTubeApiUnavailable,
    YouTubeQuotaExceeded,
)
from common.messages.downloads import PlatformMetadata
from common.observability.telemetry import get_logger

PLATFORM = "YouTube"

log = get_logger(__name__)


class YouTubeSource:
    """MediaSource over the Data API. `watch_url` holds `{id}` and makes the page URL to fetch from."""

    def __init__(self, api: YouTubeApi, fallback: MediaSource, watch_url: str, max_duration_ms: int) -> None:
        self._api = api
        self._fallback = fallback
        self._watch_url = watch_url
        self._max_duration_ms = max_duration_ms

    async def resolve(self, query: Query) -> Resolved:
        """Find the media (see MediaSource).

        Raises:
            YouTubeKeyRejected: YOUTUBE_API_KEY must be replaced.
            SearchFailed, DetailsFailed: the API refused this one call; worth another attempt.
            MediaNotFound, MediaRemoved: there is no such video.
            MediaPrivate, MediaLive, MediaAgeRestricted, MediaTooLong: it is not playable. With words and no playable
                candidate, the reason of the best match.
        """
        if query.is_url and query.media_id is None:
            return await self._fallback.resolve(query)
        try:
            details = await (self._find(query.text) if query.media_id is None else self._describe(query.media_id))
        except (YouTubeQuotaExceeded, YouTubeApiUnavailable) as exc:
            log.warning("youtube_api.fallback", error=type(exc).__name__, detail=exc.detail)
        else:
            return Resolved(media_id=details.video_id, metadata=metadata_of(details, self._watch_url))
        return await self._fallback.resolve(query)

    async def _describe(self, video_id: str) -> VideoDetails:
        details = (await self._api.videos([video_id])).get(video_id)
        if details is None:
            raise MediaRemoved(f"{video_id}: the API does not know it")
        problem = self._problem(details)
        if problem is not None:
            raise problem
        return details

    async def _find(self, words: str) -> VideoDetails:
        ranked = await self._api.search(words)
        known = await self._api.videos(ranked) if ranked else {}
        candidates = [(known[i], self._problem(known[i])) for i in ranked if i in known]
        if not candidates:
            raise MediaNotFound(f"{len(ranked)} found, none described")
        for details, problem in candidates:
            if problem is None:
                return details
        raise candidates[0][1] or MediaNotFound

    def _problem(self, details: VideoDetails) -> SourceError | None:
        """Return why this video is not playable, or None."""
        where = details.video_id
        if details.private:
            return MediaPrivate(where)
        if details.removed:
            return MediaRemoved(where)
        if details.live:
            return MediaLive(where)
        if details.age_restricted:
            return MediaAgeRestricted(where)
        if details.duration_ms > self._max_duration_ms:
            return MediaTooLong(f"{where}: {details.duration_ms} ms, at most {self._max_duration_ms}")
        return None


def metadata_of(details: VideoDetails, watch_url: str) -> PlatformMetadata:
    """Return a video's metadata as the library records it."""
    return PlatformMetadata(
        title=clean_title(details.title),
        duration_ms=details.duration_ms,
        url=watch_url.replace("{id}", details.video_id),
        thumbnail_url=details.thumbnail_url,
        platform=PLATFORM,
    )
