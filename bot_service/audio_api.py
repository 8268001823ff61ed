"""HTTP client of the audio service: library look-ups and searches, queries to the sources, the bytes of a song.

Every response is bounded in time and size; connections are kept alive. No request starts a download: downloads are
requested through the queue (`bot_service.requests.pending`). An error response that carries a known code raises that
error; every other failure raises AudioServiceUnavailable. Knows only `common` and the records below.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx
import orjson

from common.errors import (
    AccessError,
    AppError,
    AudioServiceUnavailable,
    InternalError,
    InvalidInput,
    InvalidVideoId,
    MediaNotFound,
    error_for_code,
)
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

T = TypeVar("T")

# The sources' own limits are 5 s and 20 s; the service may have to start a process for the first query.
SOURCE_SECONDS = 16.0
PLAYLIST_SECONDS = 31.0
_SECONDS = 4.0
_HEALTH_SECONDS = 3.0
_CONNECT_SECONDS = 2.0
_SILENCE_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 30.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
# The service's status of a record whose download is under way.
_IN_PROGRESS = "processing"
# A guild that plays over HTTP holds one connection for the length of the song.
_CONNECTIONS = httpx.Limits(max_connections=400, max_keepalive_connections=20, keepalive_expiry=_KEEP_ALIVE_SECONDS)


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """A finished song of the library, as `GET /api/v1/media/` describes it.

    `duration_ms` is 0 when unknown; `file_path` is the key in the blob store.
    """

    video_id: str
    title: str
    duration_ms: int
    url: str
    thumbnail_url: str
    platform: str
    file_path: str


@dataclass(frozen=True, slots=True)
class SourceItem:
    """Something a source can play, not downloaded. `duration_ms` is 0 when unknown."""

    title: str
    url: str
    duration_ms: int
    thumbnail_url: str
    platform: str


@dataclass(frozen=True, slots=True)
class SourcePlaylist:
    """The first items of a playlist, and how many it has in all (0: unknown)."""

    title: str
    items: list[SourceItem]
    total: int


@dataclass(frozen=True, slots=True)
class AudioHealth:
    """State of the audio service: its own `status` text ("" when it did not respond), and the response time in ms."""

    connected: bool
    latency_ms: float
    status: str = ""


_MAX_LOGGED = 200


class StillBeingMade(MediaNotFound):
    """The song is unfinished: no bytes are available yet, or the stream broke off and more may follow."""


class AudioApi:
    """The audio service, as HTTP. Use `open_audio_api`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def media(self, video_id: str) -> MediaRecord | None:
        """Look a song up by its id; None unless the library has its file.

        Raises:
            AudioServiceUnavailable: no response, or not in time.
            AppError: any other refusal, by its code (db_connection_failed, ...).
        """
        try:
            answer = await self._ask("/api/v1/media", {"video_id": video_id})
        except (MediaNotFound, InvalidVideoId, InvalidInput):
            return None
        return _read(answer, lambda found: _media_record(found["data"]))

    async def search(self, title: str, limit: int = 10) -> list[MediaRecord]:
        """Return the library's songs whose title contains the text; [] for fewer than 3 letters and digits.

        Raises:
            AudioServiceUnavailable, AppError: as `media`.
        """
        try:
            answer = await self._ask("/api/v1/media/search", {"title": title, "limit": limit})
        except InvalidInput:
            return []
        return _read(answer, lambda found: _usable(found["data"]))

    @asynccontextmanager
    async def audio(self, video_id: str, start: int = 0) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Stream the DCA file from byte `start` on, in blocks of at most 64 KB; none for a start past the end. An
        unfinished song is streamed as far as it exists, then as it grows, to its end.

        Raises:
            StillBeingMade: on entering, or while iterating an unfinished song; a retry may succeed.
            BlobNotFound, MediaNotFound: there is no such file.
            AudioServiceUnavailable: no response, a broken stream, or silence; on entering and while iterating.
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

    async def playlist(self, url: str, limit: int) -> SourcePlaylist:
        """Return at most `limit` items of a playlist; no items for a URL that is no playlist.

        Raises:
            SourceError, UrlNotAllowed, InvalidInput: the source's or the guard's error.
            AudioServiceUnavailable, AppError: as `media`.
        """
        answer = await self._ask("/api/v1/sources/playlist", {"url": url, "limit": limit}, seconds=PLAYLIST_SECONDS)
        return _read(
            answer,
            lambda found: SourcePlaylist(
                title=str(found["title"]), items=[_source_item(item) for item in found["data"]], total=found["total"]
            ),
        )

    async def source_search(self, words: str, limit: int) -> list[SourceItem]:
        """Return the source's results for a query, best first.

        Raises:
            SourceError: the search failed.
            AudioServiceUnavailable, AppError: as `media`.
        """
        answer = await self._ask("/api/v1/sources/search", {"query": words, "limit": limit}, seconds=SOURCE_SECONDS)
        return _read(answer, lambda found: [_source_item(item) for item in found["data"]])

    async def withdraw(self, request_id: str) -> None:
        """Say that no one waits for a request any more: its download is cancelled, unless others wait for it too.

        Raises:
            AudioServiceUnavailable, AppError: as `media`.
        """
        path = f"/api/v1/requests/{quote(request_id, safe='')}"
        response, body = await self._send("DELETE", path, {}, _SECONDS)
        if not response.is_success:
            raise _refusal(path, response, body)

    async def health(self) -> AudioHealth:
        """Query the health endpoint; never raises."""
        began = time.monotonic()
        try:
            response, body = await self._get("/api/v1/health", {}, _HEALTH_SECONDS)
            said = str(_read(_json(body), lambda found: found["status"]))
        except AudioServiceUnavailable:
            return AudioHealth(connected=False, latency_ms=0.0)
        latency = round((time.monotonic() - began) * 1000, 1)
        return AudioHealth(connected=response.status_code == HTTPStatus.OK, latency_ms=latency, status=said)

    async def _ask(self, path: str, parameters: Mapping[str, str | int], *, seconds: float = _SECONDS) -> object:
        """Return the JSON of a 2xx response, or raise the error of any other."""
        response, body = await self._get(path, parameters, seconds)
        if not response.is_success:
            raise _refusal(path, response, body)
        return _json(body)

    async def _get(
        self, path: str, parameters: Mapping[str, str | int], seconds: float
    ) -> tuple[httpx.Response, bytes]:
        return await self._send("GET", path, parameters, seconds)

    async def _send(
        self, method: str, path: str, parameters: Mapping[str, str | int], seconds: float
    ) -> tuple[httpx.Response, bytes]:
        with _translated(path):
            async with (
                time_limit(seconds),
                self._client.stream(method, path, params=dict(parameters), timeout=seconds) as response,
            ):
                return response, await _body(response)


@asynccontextmanager
async def open_audio_api(url: str, key: str = "") -> AsyncGenerator[AudioApi]:
    """Open a client of the service at `url`, with an API key if it requires one. Sends nothing by itself."""
    timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
    async with httpx.AsyncClient(
        base_url=url,
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
    """Read the whole body, up to _MAX_ANSWER_BYTES."""
    read = bytearray()
    async for block in response.aiter_bytes():
        read += block
        if len(read) > _MAX_ANSWER_BYTES:
            raise AudioServiceUnavailable(f"an answer over {_MAX_ANSWER_BYTES} bytes")
    return bytes(read)


async def _blocks(path: str, response: httpx.Response, skipped: int) -> AsyncGenerator[bytes]:
    try:
        with _translated(path):
            # Unbuffered: bytes of an unfinished song must not wait until a block is full.
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
    """Return the error for the code in the body.

    A 5xx without a known code is AudioServiceUnavailable. So is a rejected API key: the log names the setting, and the
    user in the chat cannot fix it.
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
    """Read a response's fields; AudioServiceUnavailable if they are missing or of another type."""
    try:
        return reader(answer)
    except (KeyError, TypeError, ValueError) as exc:
        raise AudioServiceUnavailable(f"an answer that is not the audio service's: {exc!r:.100}") from exc


def _usable(records: Any) -> list[MediaRecord]:  # noqa: ANN401 - what another program has sent
    """Read the records that can be read: an odd one hides no other."""
    if not isinstance(records, list):
        raise TypeError("data is no list")
    usable: list[MediaRecord] = []
    for data in cast("list[Any]", records):
        try:
            song = _media_record(data)
        except (KeyError, TypeError, ValueError) as exc:
            log.warning("audio_api.odd_record", error=repr(exc)[:_MAX_LOGGED])
        else:
            usable += [song] if song is not None else []
    return usable


def _media_record(data: Mapping[str, Any]) -> MediaRecord | None:
    """Read one record; None for one of a failed download. What is null beside the id is empty."""
    if not data["success"]:
        return None
    metadata: Mapping[str, Any] = data["metadata"] or {}
    file_data: Mapping[str, Any] = data["file_data"] or {}
    return MediaRecord(
        video_id=str(data["video_id"]),
        title=str(metadata.get("title") or ""),
        duration_ms=max(int(metadata.get("duration_ms") or 0), 0),
        url=str(metadata.get("url") or ""),
        thumbnail_url=str(metadata.get("thumbnail_url") or ""),
        platform=str(metadata.get("platform") or ""),
        file_path=str(file_data.get("file_path") or ""),
    )


def _source_item(item: Mapping[str, Any]) -> SourceItem:
    return SourceItem(
        title=str(item["title"]),
        url=str(item["url"]),
        duration_ms=int(item["duration_ms"]),
        thumbnail_url=str(item["thumbnail_url"]),
        platform=str(item["platform"]),
    )
