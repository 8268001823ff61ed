"""Interactive look-ups: search results and playlist items. Nothing is downloaded.

The YouTube Data API answers when there is a key for it; without a key, and when the API fails or has no quota left,
yt-dlp does, in a pool of its own, so that look-ups never queue behind downloads, nor downloads behind look-ups. Its
children are started by the first look-up. Answers have a deadline, are cached for five minutes, and single-flighted.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx

from audio_service.children.jobs import ChildJob, ChildProgress
from audio_service.children.pool import ChildPool, open_children
from audio_service.settings import AudioSettings
from audio_service.sources.base import Query
from audio_service.sources.query import clean_title, names_file, parse_query
from audio_service.sources.youtube.api import PAGE, VideoDetails, YouTubeApi, open_youtube_api
from audio_service.sources.youtube.source import metadata_of
from common.errors import (
    InvalidInput,
    MediaNotFound,
    ProcessingTimeout,
    QueueFull,
    SearchFailed,
    SourceUnavailable,
    YouTubeApiUnavailable,
    YouTubeQuotaExceeded,
)
from common.links import as_url, is_youtube, normalise_url, youtube_id, youtube_list
from common.messages.downloads import PlatformMetadata
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

SEARCH_SECONDS = 5.0
PLAYLIST_SECONDS = 20.0
CHILDREN = 2
_START_SECONDS = 10.0
_MAX_WAITING = 16
_KEEP_SECONDS = 300.0
_KEPT = 256


@dataclass(frozen=True, slots=True)
class Listing:
    """The items of a search or a playlist, in order. `total`: how many there are (0: not known)."""

    title: str = ""
    items: tuple[PlatformMetadata, ...] = ()
    total: int = 0


@dataclass(slots=True)
class _Kept:
    """One look-up: its cached answer, and the lock that concurrent callers wait for."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    listing: Listing | None = None
    until: float = 0.0

    def fresh(self) -> Listing | None:
        """Return the answer; None when there is none or it is stale."""
        return self.listing if time.monotonic() < self.until else None


class Questions:
    """Use `open_questions`."""

    def __init__(self, settings: AudioSettings, children: ChildPool, api: YouTubeApi | None) -> None:
        self._settings = settings
        self._children = children
        self._api = api
        self._started = False
        self._warm = False
        self._asking = 0
        self._kept: OrderedDict[tuple[str, str, int], _Kept] = OrderedDict()

    async def search(self, words: str, limit: int) -> Listing:
        """Return the best `limit` (1 to 50) matches, best first.

        Raises:
            InvalidInput: no words, too many, or a URL.
            QueueFull: too many look-ups are waiting.
            SearchFailed: it failed, or took longer than SEARCH_SECONDS.
            SourceError, YouTubeKeyRejected: the source failed.
        """
        query = parse_query(words, self._settings.youtube_watch_url)
        if query.is_url:
            raise InvalidInput("words are expected, not a URL")
        return await self._once(("search", query.key, limit), lambda: self._search(query, limit))

    async def playlist(self, url: str, limit: int) -> Listing:
        """Return the first `limit` items of a playlist; none when the URL is not a playlist's.

        Raises:
            InvalidInput, UrlNotAllowed: not a URL, or one that is not followed.
            QueueFull: too many look-ups are waiting.
            SourceUnavailable: it took longer than PLAYLIST_SECONDS.
            SourceError, YouTubeKeyRejected: the source failed.
        """
        given = as_url(" ".join(url.split()))
        if given is None:
            raise InvalidInput("a URL is expected")
        normalised = normalise_url(given)
        return await self._once(("playlist", normalised, limit), lambda: self._playlist(normalised, limit))

    async def _search(self, query: Query, limit: int) -> Listing:
        async def by_api(api: YouTubeApi) -> Listing:
            found = await api.search(query.text, limit)
            return self._listing("", found, await _describe(api, found), len(found))

        try:
            async with time_limit(self._allowance(SEARCH_SECONDS)):
                return await self._api_first(by_api, query.text, limit, is_url=False)
        except (ProcessingTimeout, TimeoutError) as exc:
            raise SearchFailed(f"no answer in {SEARCH_SECONDS:g} s") from exc
        except MediaNotFound:
            return Listing()

    async def _playlist(self, url: str, limit: int) -> Listing:
        parsed = httpx.URL(url)
        list_id = youtube_list(parsed) if is_youtube(parsed) else None
        if is_youtube(parsed) and youtube_id(parsed) is not None:
            return Listing()  # a video of a playlist is a video
        if not is_youtube(parsed) and names_file(parsed):
            return Listing()

        async def by_api(api: YouTubeApi) -> Listing:
            if list_id is None:
                raise YouTubeApiUnavailable("not a playlist of YouTube's")
            about = await api.playlist(list_id)
            found = await api.playlist_items(list_id, limit)
            return self._listing(clean_title(about.title), found, await _describe(api, found), about.count)

        try:
            async with time_limit(self._allowance(PLAYLIST_SECONDS)):
                if list_id is None:
                    return await self._by_child(url, limit, is_url=True)
                return await self._api_first(by_api, url, limit, is_url=True)
        except (ProcessingTimeout, TimeoutError) as exc:
            raise SourceUnavailable(f"no answer in {PLAYLIST_SECONDS:g} s") from exc

    async def _api_first(
        self, by_api: Callable[[YouTubeApi], Awaitable[Listing]], text: str, limit: int, *, is_url: bool
    ) -> Listing:
        if self._api is not None:
            try:
                return await by_api(self._api)
            except (YouTubeQuotaExceeded, YouTubeApiUnavailable) as exc:
                log.warning("youtube_api.fallback", error=type(exc).__name__, detail=exc.detail)
        return await self._by_child(text, limit, is_url=is_url)

    async def _by_child(self, text: str, limit: int, *, is_url: bool) -> Listing:
        if not self._started:
            self._started = True
            self._children.start()
        job = ChildJob("list", {"text": text, "is_url": is_url, "limit": limit})
        seconds = _START_SECONDS + PLAYLIST_SECONDS  # the caller's own limit is shorter
        found = await self._children.call(job, on_progress=_ignore, deadline_seconds=seconds)
        self._warm = True
        items = tuple(PlatformMetadata(**item) for item in found["items"])
        return Listing(found["title"], items, found["total"])

    async def _once(self, key: tuple[str, str, int], ask: Callable[[], Awaitable[Listing]]) -> Listing:
        """Return the cached answer, or call `ask`, single-flighted by `key`."""
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        if (known := kept.fresh()) is not None:
            return known
        async with self._counted(), kept.lock:
            if (known := kept.fresh()) is not None:
                return known
            kept.listing = await ask()
            kept.until = time.monotonic() + _KEEP_SECONDS
            return kept.listing

    @asynccontextmanager
    async def _counted(self) -> AsyncGenerator[None]:
        if self._asking >= _MAX_WAITING:
            raise QueueFull(f"{self._asking} look-ups are waiting")
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def _allowance(self, seconds: float) -> float:
        """Return the time limit; the first look-ups get the start of their child on top."""
        return seconds if self._warm else seconds + _START_SECONDS

    def _listing(self, title: str, found: list[str], known: dict[str, VideoDetails], total: int) -> Listing:
        videos = [known[video_id] for video_id in found if video_id in known]
        playable = [video for video in videos if not (video.private or video.removed or video.live)]
        watch_url = self._settings.youtube_watch_url
        return Listing(title, tuple(metadata_of(video, watch_url) for video in playable), total)


@asynccontextmanager
async def open_questions(settings: AudioSettings) -> AsyncGenerator[Questions]:
    """Open the look-ups; no child is started yet."""
    async with AsyncExitStack() as stack:
        children = await stack.enter_async_context(open_children(settings, size=CHILDREN, start=False))
        api: YouTubeApi | None = None
        if settings.youtube_api_key.get_secret_value():
            api = await stack.enter_async_context(open_youtube_api(settings))
        yield Questions(settings, children, api)


async def _describe(api: YouTubeApi, video_ids: list[str]) -> dict[str, VideoDetails]:
    known: dict[str, VideoDetails] = {}
    for first in range(0, len(video_ids), PAGE):
        known |= await api.videos(video_ids[first : first + PAGE])
    return known


def _ignore(_: ChildProgress) -> None:
    """A look-up reports no progress."""
