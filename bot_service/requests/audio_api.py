"""Client of the audio service's HTTP API: look-ups, searches, questions to the sources, the bytes of a song.

Every answer is bounded in time and size, and connections are kept alive. HTTP never starts a download: that goes
through `pending`. What the service refuses with a code of its own becomes that error; everything else that goes wrong
is AudioServiceUnavailable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import orjson

from bot_service.requests.tracks import track_of_media
from bot_service.settings import BotSettings
from bot_service.store.base import Track
from common.errors import (
    AccessError,
    AppError,
    AudioServiceUnavailable,
    InternalError,
    InvalidInput,
    InvalidMessage,
    InvalidVideoId,
    MediaNotFound,
    error_for_code,
)
from common.observability.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

# The source has 5 s and 20 s by then, and the service may have to start a process for the first question.
SOURCE_SECONDS = 16.0
PLAYLIST_SECONDS = 31.0
_SECONDS = 4.0
_HEALTH_SECONDS = 3.0
_CONNECT_SECONDS = 2.0
_SILENCE_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 30.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
# What the service calls a record whose song is being made.
_IN_PROGRESS = "processing"
# A guild that plays over HTTP holds a connection for as long as its song lasts.
_CONNECTIONS = httpx.Limits(max_connections=400, max_keepalive_connections=20, keepalive_expiry=_KEEP_ALIVE_SECONDS)


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


class StillBeingMade(MediaNotFound):
    """The song is not whole: nothing of it can be had yet, or what there was broke off and more may come."""


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
        try:
            answer = await self._ask("/api/v1/media/", {"video_id": video_id})
        except (MediaNotFound, InvalidVideoId, InvalidInput):
            return None
        return _read(answer, lambda found: _track_of(found["data"]))

    async def search(self, title: str, limit: int = 10) -> list[Track]:
        """Return the library's songs whose title contains the text; [] for fewer than 3 letters and digits.

        Raises:
            AudioServiceUnavailable, AppError: as `media`.
        """
        try:
            answer = await self._ask("/api/v1/media/search", {"title": title, "limit": limit})
        except InvalidInput:
            return []
        return _read(answer, lambda found: [track for record in found["data"] if (track := _track_of(record))])

    @asynccontextmanager
    async def audio(self, video_id: str, start: int = 0) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Stream the DCA file from byte `start` on, in blocks of at most 64 KB; a start past the end gives none. A song
        that is being made comes as far as it is there, then as it grows, to its end.

        Raises:
            StillBeingMade: on entering, or while iterating a song that is not whole; asking again may help.
            BlobNotFound, MediaNotFound: there is no such file.
            AudioServiceUnavailable: it does not answer, broke off, or fell silent; entering and iterating raise it.
        """
        path = f"/api/v1/media/{quote(video_id, safe='')}/audio"
        headers = {"Range": f"bytes={start}-"} if start else {}
        timeout = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
        request = self._client.build_request("GET", path, headers=headers, timeout=timeout)
        with _translated(path):
            response = await self._client.send(request, stream=True)
        try:
            skipped = start if response.status_code == HTTPStatus.OK else 0
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                yield _nothing()
                return
            if not response.is_success:
                with _translated(path):
                    raise _refusal(path, response, await _body(response))
            yield _blocks(path, response, skipped)
        finally:
            await response.aclose()

    async def playlist(self, url: str, limit: int) -> Playlist:
        """Return what a playlist holds, at most `limit` items; none for a URL that is no playlist.

        Raises:
            SourceError, UrlNotAllowed, InvalidInput: what the source said of it.
            AudioServiceUnavailable, AppError: as `media`.
        """
        answer = await self._ask("/api/v1/sources/playlist", {"url": url, "limit": limit}, seconds=PLAYLIST_SECONDS)
        return _read(
            answer,
            lambda found: Playlist(
                title=str(found["title"]), items=[_suggestion_of(item) for item in found["data"]], total=found["total"]
            ),
        )

    async def source_search(self, words: str, limit: int) -> list[Suggestion]:
        """Return what the source finds for words, best first.

        Raises:
            SourceError: the search failed.
            AudioServiceUnavailable, AppError: as `media`.
        """
        answer = await self._ask("/api/v1/sources/search", {"query": words, "limit": limit}, seconds=SOURCE_SECONDS)
        return _read(answer, lambda found: [_suggestion_of(item) for item in found["data"]])

    async def health(self) -> AudioHealth:
        """Ask the audio service how it is; never raises."""
        began = time.monotonic()
        try:
            response, body = await self._get("/api/v1/health", {}, _HEALTH_SECONDS)
            said = str(_read(_json(body), lambda found: found["status"]))
        except AudioServiceUnavailable:
            return AudioHealth(connected=False, latency_ms=0.0)
        latency = round((time.monotonic() - began) * 1000, 1)
        return AudioHealth(connected=response.status_code == HTTPStatus.OK, latency_ms=latency, status=said)

    async def _ask(self, path: str, parameters: Mapping[str, str | int], *, seconds: float = _SECONDS) -> object:
        """Return the JSON of a 2xx answer, or raise what another says."""
        response, body = await self._get(path, parameters, seconds)
        if not response.is_success:
            raise _refusal(path, response, body)
        return _json(body)

    async def _get(
        self, path: str, parameters: Mapping[str, str | int], seconds: float
    ) -> tuple[httpx.Response, bytes]:
        with _translated(path):
            async with (
                asyncio.timeout(seconds),
                self._client.stream("GET", path, params=dict(parameters), timeout=seconds) as response,
            ):
                return response, await _body(response)


@asynccontextmanager
async def open_audio_api(settings: BotSettings) -> AsyncGenerator[AudioApi]:
    """Open a client of AUDIO_PROCESSOR_URL. Nothing is sent until something is asked."""
    timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
    key = settings.audio_processor_api_key.get_secret_value()
    async with httpx.AsyncClient(
        base_url=settings.audio_processor_url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=timeout,
        limits=_CONNECTIONS,
        trust_env=False,
    ) as client:
        yield AudioApi(client)


@contextmanager
def _translated(path: str) -> Generator[None]:
    try:
        yield
    except (httpx.HTTPError, TimeoutError) as exc:
        raise AudioServiceUnavailable(f"{path}: {type(exc).__name__}") from exc


async def _body(response: httpx.Response) -> bytes:
    """Read the whole body, if it is of a size that an answer has."""
    read = bytearray()
    async for block in response.aiter_bytes():
        read += block
        if len(read) > _MAX_ANSWER_BYTES:
            raise AudioServiceUnavailable(f"an answer over {_MAX_ANSWER_BYTES} bytes")
    return bytes(read)


async def _blocks(path: str, response: httpx.Response, skipped: int) -> AsyncGenerator[bytes]:
    try:
        with _translated(path):
            # As they come: a song that is being made must not wait until a block is full.
            async for block in response.aiter_bytes():
                if skipped < len(block):
                    yield block[skipped:]
                skipped = max(0, skipped - len(block))
    except AudioServiceUnavailable as exc:
        if "content-length" in response.headers:
            raise
        raise StillBeingMade(exc.detail) from exc


async def _nothing() -> AsyncGenerator[bytes]:
    for block in ():
        yield block


def _refusal(path: str, response: httpx.Response, body: bytes) -> AppError:
    """Name the error by the code in the body. A 5xx without one of ours is a service that is not well; so is one that
    does not let the bot in: what is wrong with its key is not for somebody in a chat to mend.
    """
    detail = f"{path}: HTTP {response.status_code}"
    code, status = _read(_json(body), lambda found: (str(found["error"]["code"]), found["error"].get("status")))
    error = error_for_code(code, f"{detail} {code}")
    if isinstance(error, MediaNotFound) and status == _IN_PROGRESS:
        return StillBeingMade(error.detail)
    if isinstance(error, AccessError):
        log.warning("audio_api.refused", path=path, code=error.code, hint="AUDIO_PROCESSOR_API_KEY")
    return AudioServiceUnavailable(error.detail) if isinstance(error, InternalError | AccessError) else error


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise AudioServiceUnavailable("an answer that is not JSON") from exc


def _read(answer: object, reader: Callable[[Any], T]) -> T:
    """Read an answer's fields; one that lacks them is not the audio service's."""
    try:
        return reader(answer)
    except (KeyError, TypeError, ValueError, InvalidMessage) as exc:
        raise AudioServiceUnavailable(f"an answer that is not the audio service's: {exc!r:.100}") from exc


def _track_of(record: Mapping[str, Any]) -> Track | None:
    return track_of_media(record) if record["success"] else None


def _suggestion_of(item: Mapping[str, Any]) -> Suggestion:
    return Suggestion(
        title=str(item["title"]),
        url=str(item["url"]),
        duration_ms=int(item["duration_ms"]),
        thumbnail_url=str(item["thumbnail_url"]),
        platform=str(item["platform"]),
    )
