"""Client of the audio service's HTTP API: look-ups, searches, questions to the sources, the bytes of a song.

Every answer is bounded in time and size, and connections are kept alive. HTTP never starts a download: that goes
through `pending`. What the service refuses with a code of its own becomes that error; everything else that goes wrong
is AudioServiceUnavailable.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import httpx

from bot_service.player.track import Track
from bot_service.settings import BotSettings
from common.errors import AudioServiceUnavailable

SOURCE_SECONDS = 8.0
PLAYLIST_SECONDS = 25.0
_SECONDS = 4.0
_HEALTH_SECONDS = 3.0
_CONNECT_SECONDS = 2.0
_IDLE_SECONDS = 30.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_CONNECTIONS = httpx.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=_IDLE_SECONDS)
_NO_DATA = AudioServiceUnavailable("an answer that is not the audio service's")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something a source can play, not fetched yet. `duration_ms` is 0 while unknown; `track` is there when the
    library has it already.
    """

    title: str
    url: str
    duration_ms: int = 0
    thumbnail_url: str = ""
    platform: str = ""
    track: Track | None = None


@dataclass(frozen=True, slots=True)
class Playlist:
    """What a playlist's URL leads to: its first items, and how many it has in all (0: not known)."""

    title: str
    items: list[Suggestion]
    total: int = 0


@dataclass(frozen=True, slots=True)
class AudioHealth:
    """How the audio service is. `status` is its own sentence, "" when it did not answer; `latency_ms` of the answer."""

    connected: bool
    latency_ms: float
    status: str = ""


class AudioApi:
    """The audio service, as HTTP. Use `open_audio_api`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def media(self, video_id: str) -> Track | None:
        """Look a song up by its id; None unless the library has its file.

        Raises:
            AudioServiceUnavailable: it does not answer, or not in time.
            AppError: what else it refused with, by its code (db_connection_failed, ...).
        """
        raise NotImplementedError

    async def search(self, title: str, limit: int = 10) -> list[Track]:
        """Return the library's songs whose title contains the text; [] for fewer than 3 letters and digits.

        Raises:
            AudioServiceUnavailable, AppError: as `media`.
        """
        raise NotImplementedError

    def audio(self, video_id: str, start: int = 0) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream the DCA file from byte `start` on, in blocks of at most 64 KB; a start past the end gives none.

        Raises:
            BlobNotFound, MediaNotFound: there is no such file.
            AudioServiceUnavailable: it does not answer, broke off, or fell silent; entering and iterating raise it.
        """
        raise NotImplementedError

    async def playlist(self, url: str, limit: int) -> Playlist:
        """Return what a playlist holds, at most `limit` items; none for a URL that is no playlist.

        Raises:
            SourceError, UrlNotAllowed, InvalidInput: what the source said of it.
            AudioServiceUnavailable, AppError: as `media`.
        """
        raise NotImplementedError

    async def source_search(self, words: str, limit: int) -> list[Suggestion]:
        """Return what the source finds for words, best first.

        Raises:
            SourceError: the search failed.
            AudioServiceUnavailable, AppError: as `media`.
        """
        raise NotImplementedError

    async def health(self) -> AudioHealth:
        """Ask the audio service how it is; never raises."""
        raise NotImplementedError


@asynccontextmanager
async def open_audio_api(settings: BotSettings) -> AsyncGenerator[AudioApi]:
    """Open a client of AUDIO_PROCESSOR_URL. Nothing is sent until something is asked."""
    timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
    async with httpx.AsyncClient(
        base_url=settings.audio_processor_url, timeout=timeout, limits=_CONNECTIONS, trust_env=False
    ) as client:
        yield AudioApi(client)
