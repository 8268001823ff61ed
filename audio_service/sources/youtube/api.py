"""Client of the YouTube Data API v3: searches, videos, playlists and their items, and nothing else of it.

The key travels in a header, never in a URL, so that no proxy, log line or exception repeats it. The API's
failures (key, quota, outage) are translated here, and only here.

Quota (https://developers.google.com/youtube/v3/determine_quota_cost): a `search.list` used to cost 100 of a project's
10 000 units a day, and now has a quota of 100 calls a day; a `videos.list` costs 1 unit for up to 50 ids. Either way
about a hundred searches a day, and look-ups by id that go on when the searches are used up. A refused call costs too.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from audio_service.settings import AudioSettings
from audio_service.sources.query import valid_values
from audio_service.sources.youtube.responses import (
    ErrorResponse,
    PlaylistItemsResponse,
    PlaylistsResponse,
    SearchResponse,
    Thumbnail,
    Video,
    VideosResponse,
)
from common.errors import (
    AppError,
    DetailsFailed,
    MediaNotFound,
    SearchFailed,
    YouTubeApiUnavailable,
    YouTubeKeyRejected,
    YouTubeQuotaExceeded,
)
from common.tasks import time_limit

CANDIDATES = 5
PAGE = 50
"""As many videos as one call describes, or items as it lists."""
KEY_HEADER = "X-goog-api-key"

# Reasons are listed at https://developers.google.com/youtube/v3/docs/errors (camelCase) and, for what Google's front
# end refuses before YouTube sees it, in google/api/error_reason.proto of github.com/googleapis/googleapis.
_QUOTA_REASONS = frozenset(
    {"quotaExceeded", "dailyLimitExceeded", "rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
    | {"RESOURCE_QUOTA_EXCEEDED"}
)
_KEY_REASONS = frozenset(
    {"keyInvalid", "keyExpired", "accessNotConfigured", "ipRefererBlocked", "dailyLimitExceededUnreg"}
    | {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED"}
    | {"API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED", "SERVICE_DISABLED", "CONSUMER_INVALID"}
    | {"CONSUMER_SUSPENDED", "CREDENTIALS_MISSING"}
)
# ISO 8601 durations with designators, as far as contentDetails.duration uses them (no months and years):
# https://developers.google.com/youtube/v3/docs/videos#contentDetails.duration
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?", re.ASCII)
_UNIT_SECONDS = (7 * 86_400, 86_400, 3_600, 60, 1)


@dataclass(frozen=True, slots=True)
class VideoDetails:
    """One video. `duration_ms` is 0 when the API states none (live streams: "P0D")."""

    video_id: str
    title: str
    duration_ms: int
    thumbnail_url: str
    live: bool
    private: bool
    removed: bool
    age_restricted: bool


@dataclass(frozen=True, slots=True)
class PlaylistDetails:
    """A playlist's title, and how many items it has, the unplayable ones too."""

    title: str
    count: int


class YouTubeApi:
    """Calls of the API. Made by `open_youtube_api`, which owns the client."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, key: SecretStr, timeout_seconds: float) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._timeout_seconds = timeout_seconds

    async def search(self, words: str, limit: int = CANDIDATES) -> list[str]:
        """Return the ids of the videos that match best, best first, at most `limit` (1 to 50) of them.

        Raises:
            YouTubeKeyRejected, YouTubeQuotaExceeded, YouTubeApiUnavailable: the API failed.
            SearchFailed: it refused this search.
        """
        parameters = {"part": "snippet", "type": "video", "maxResults": str(limit), "q": words}
        answer = await self._get("search", parameters, SearchResponse, SearchFailed)
        return [item.id.video_id for item in answer.items if item.id.video_id]

    async def videos(self, video_ids: Sequence[str]) -> dict[str, VideoDetails]:
        """Describe up to 50 videos. Those that are gone, or were never there, are missing from the answer.

        Raises:
            YouTubeKeyRejected, YouTubeQuotaExceeded, YouTubeApiUnavailable: the API failed.
            DetailsFailed: it refused this look-up.
        """
        parameters = {"part": "snippet,contentDetails,status", "id": ",".join(video_ids)}
        answer = await self._get("videos", parameters, VideosResponse, DetailsFailed)
        return {item.id: _details_of(item) for item in answer.items}

    async def playlist(self, playlist_id: str) -> PlaylistDetails:
        """Describe a playlist.

        Raises:
            YouTubeKeyRejected, YouTubeQuotaExceeded, YouTubeApiUnavailable: the API failed.
            MediaNotFound: there is none, or it is private.
        """
        parameters = {"part": "snippet,contentDetails", "id": playlist_id}
        answer = await self._get("playlists", parameters, PlaylistsResponse, MediaNotFound)
        if not answer.items:
            raise MediaNotFound(f"{playlist_id}: the API does not know it")
        return PlaylistDetails(answer.items[0].snippet.title, answer.items[0].content.count)

    async def playlist_items(self, playlist_id: str, limit: int) -> list[str]:
        """Return the ids of a playlist's first videos, in its order; some of them may be gone. A call for each 50.

        Raises:
            YouTubeKeyRejected, YouTubeQuotaExceeded, YouTubeApiUnavailable: the API failed.
            MediaNotFound: there is no such playlist, or it is not public.
        """
        found: list[str] = []
        parameters = {"part": "contentDetails", "playlistId": playlist_id, "maxResults": str(min(limit, PAGE))}
        while len(found) < limit:
            page = await self._get("playlistItems", parameters, PlaylistItemsResponse, MediaNotFound)
            found += [item.content.video_id for item in page.items if item.content.video_id]
            if not page.next_page:
                break
            parameters["pageToken"] = page.next_page
        return found[:limit]

    async def _get(self, method: str, parameters: dict[str, str], model: type[A], otherwise: type[AppError]) -> A:
        try:
            async with time_limit(self._timeout_seconds):
                response = await self._client.get(
                    f"{self._base_url}/{method}", params=parameters, headers={KEY_HEADER: _sendable(self._key)}
                )
        except (httpx.HTTPError, TimeoutError) as exc:
            raise YouTubeApiUnavailable(f"{method}: {type(exc).__name__}") from exc
        if response.status_code != HTTPStatus.OK:
            raise _refusal(method, response, otherwise)
        try:
            return model.model_validate(_parsed(response.content))
        except (ValueError, RecursionError) as exc:
            raise YouTubeApiUnavailable(f"{method}: an answer that is not the API's") from exc


@asynccontextmanager
async def open_youtube_api(settings: AudioSettings) -> AsyncGenerator[YouTubeApi, None]:
    """Open a client with YOUTUBE_API_KEY and YOUTUBE_API_URL; NETWORK_TIMEOUT_SECONDS is for each whole call."""
    timeout = settings.network_timeout_seconds
    async with httpx.AsyncClient(timeout=timeout) as client:
        yield YouTubeApi(client, settings.youtube_api_url, settings.youtube_api_key, timeout)


def parse_duration(text: str) -> int:
    """Return an ISO 8601 duration ("PT3M45S", "P1DT2H") in ms; 0 when it is not one."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return 0
    return 1000 * sum(int(n or 0) * unit for n, unit in zip(match.groups(), _UNIT_SECONDS, strict=True))


A = TypeVar("A", SearchResponse, VideosResponse, PlaylistsResponse, PlaylistItemsResponse)


def _details_of(video: Video) -> VideoDetails:
    largest = max(video.snippet.thumbnails.values(), key=lambda one: one.width * one.height, default=Thumbnail())
    return VideoDetails(
        video_id=video.id,
        title=video.snippet.title,
        duration_ms=parse_duration(video.content.duration),
        thumbnail_url=largest.url,
        live=video.snippet.live in ("live", "upcoming"),
        private=video.status.privacy == "private",
        removed=video.status.upload in ("deleted", "failed", "rejected"),
        age_restricted=video.content.rating.youtube == "ytAgeRestricted",
    )


def _parsed(body: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return a body's JSON with valid text. Raises ValueError and RecursionError.

    Half a surrogate pair, as text that was cut has it, can be written in JSON; pydantic's parser refuses all of it.
    """
    return valid_values(json.loads(body.decode(errors="replace")))


def _refusal(method: str, response: httpx.Response, otherwise: type[AppError]) -> AppError:
    """Return the error that a status and the reasons in the body mean."""
    status = response.status_code
    reasons = _reasons(response.content)
    detail = f"{method}: HTTP {status} {' '.join(sorted(reasons))}".rstrip()
    if status == HTTPStatus.TOO_MANY_REQUESTS or reasons & _QUOTA_REASONS:
        return YouTubeQuotaExceeded(detail)
    if status == HTTPStatus.UNAUTHORIZED or reasons & _KEY_REASONS:
        return YouTubeKeyRejected(detail)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or not reasons:
        return YouTubeApiUnavailable(detail)
    return otherwise(detail)


def _reasons(body: bytes) -> set[str]:
    try:
        error = ErrorResponse.model_validate(_parsed(body)).error
    except (ValueError, RecursionError):
        return set()
    return {entry.reason for entry in (*error.errors, *error.details) if entry.reason}


def _sendable(key: SecretStr) -> str:
    """Return the key without surrounding white space. One that no header can carry never reaches httpx, whose error
    would quote it.
    """
    text = key.get_secret_value().strip()
    if not text or not text.isascii() or not text.isprintable():
        raise YouTubeKeyRejected("YOUTUBE_API_KEY is empty, or holds characters that no key has")
    return text
