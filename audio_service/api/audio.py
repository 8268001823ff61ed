"""The stored audio itself: the DCA file as it is, with ranges, and the same packets as Ogg Opus, for browsers.

A song that is being made can be heard from its beginning, as far as it comes; it has no length and no ranges yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import anyio
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from audio_service.api.conditions import ByteRange, Unsatisfiable, is_fresh, parse_range, range_applies, strong_etag
from audio_service.api.deps import ApiDeps, deps_of
from audio_service.api.errors import Refused
from audio_service.api.media import VideoIdPath, find
from audio_service.api.metrics import HttpMetrics
from audio_service.api.ogg import OggChunks
from audio_service.api.streaming import Started, StreamAnswer
from audio_service.media.model import Media, MediaStatus, audio_key
from common.blobs.base import BlobStat
from common.errors import BlobNotFound, DatabaseUnavailable, MediaNotFound, StorageUnavailable
from common.observability.telemetry import get_logger

log = get_logger(__name__)

DCA_TYPE = "audio/dca"
OGG_TYPE = "audio/ogg"
# A song that is made again may differ in its bytes: copies are good for an hour, then the entity tag decides.
_CACHE = "max-age=3600"
_PLAY_SECONDS = 0.5


async def dca_file(request: Request, video_id: VideoIdPath) -> Response:
    """Return the DCA file, or the one range of it that is asked for."""
    deps = deps_of(request)
    media = await find(deps, video_id)
    if media.status is MediaStatus.PROCESSING:
        return await _growing(request, deps, media)
    stat = await stored(deps, media)
    etag = strong_etag(stat.etag)
    headers = {"Cache-Control": _cached(deps), "ETag": etag, "Accept-Ranges": "bytes"}
    if is_fresh(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Type": DCA_TYPE, "Content-Disposition": f'inline; filename="{video_id}.dca"'}
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(stat.size)})
    part = _range_of(request.headers, stat, etag)
    if part is not None:
        headers["Content-Range"] = part.content_range(stat.size)
    sent = part or ByteRange(0, stat.size)
    headers["Content-Length"] = str(sent.length)
    chunks = await Started.open(deps.blobs.read(stat.key, start=sent.start, length=sent.length))
    if sent.start == 0:
        await _count_play(deps, video_id)
    return StreamAnswer(
        chunks, status_code=206 if part else 200, headers=headers, disconnects=_metrics(request).disconnects
    )


async def ogg_file(request: Request, video_id: VideoIdPath) -> Response:
    """Return the same packets as Ogg Opus. The file is made while it is sent: no ranges, no length."""
    deps = deps_of(request)
    media = await find(deps, video_id)
    stat = await stored(deps, media)
    etag = strong_etag(f"{stat.etag.strip(chr(34))}-ogg")
    headers = {"Cache-Control": _cached(deps), "ETag": etag, "Accept-Ranges": "none"}
    if is_fresh(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Type": OGG_TYPE, "Content-Disposition": f'inline; filename="{video_id}.ogg"'}
    if request.method == "HEAD":
        return Response(headers=headers)
    threads: anyio.CapacityLimiter = request.app.state.ogg_threads
    chunks = await OggChunks.open(deps.blobs.read(stat.key), threads, title=media.metadata.title)
    await _count_play(deps, video_id)
    return StreamAnswer(chunks, status_code=200, headers=headers, disconnects=_metrics(request).disconnects)


async def stored(deps: ApiDeps, media: Media) -> BlobStat:
    """Return the description of a record's file.

    Raises:
        Refused: media_not_found when the record is no success (its `status` is in the answer); blob_not_found when it
            is one and the file is gone. Both are 404s: there is nothing under this URL. The next request for the song
            makes the file again.
    """
    if media.status is not MediaStatus.SUCCESS:
        raise _not_there(media)
    try:
        return await deps.blobs.stat(audio_key(media.video_id))
    except BlobNotFound as exc:
        log.warning("http.file_gone", media_id=media.video_id)
        raise Refused(exc, video_id=media.video_id) from exc


def _not_there(media: Media) -> Refused:
    return Refused(MediaNotFound(), video_id=media.video_id, status=media.status)


async def _growing(request: Request, deps: ApiDeps, media: Media) -> Response:
    """Follow a song that is being made, to its end. Raises Refused when there is nothing to be heard of it yet."""
    headers = {
        "Cache-Control": "no-store",
        "Accept-Ranges": "none",
        "Content-Type": DCA_TYPE,
        "Content-Disposition": f'inline; filename="{media.video_id}.dca"',
    }
    try:
        chunks = await Started.open(deps.blobs.follow(audio_key(media.video_id)))
    except (BlobNotFound, StorageUnavailable) as exc:
        raise _not_there(media) from exc
    if request.method == "HEAD":
        await chunks.aclose()
        answer = Response(headers=headers)
        del answer.headers["content-length"]  # nobody knows it yet
        return answer
    await _count_play(deps, media.video_id)
    return StreamAnswer(chunks, status_code=200, headers=headers, disconnects=_metrics(request).disconnects)


def _cached(deps: ApiDeps) -> str:
    """Who may keep a copy: everybody, or where access is controlled nobody but the client itself."""
    return f"private, {_CACHE}" if deps.settings.access_controlled else f"public, {_CACHE}"


async def _count_play(deps: ApiDeps, video_id: str) -> None:
    """Count an answer that begins with the file's first byte as a play: the whole file, or its first range.

    A player that seeks asks for later ranges of what it plays already; HEAD and 304 hand nothing out. A count that the
    database has no time for is lost, and holds nobody up.
    """
    try:
        async with asyncio.timeout(_PLAY_SECONDS):
            await deps.repository.played(video_id)
    except (TimeoutError, DatabaseUnavailable) as exc:
        log.warning("http.play_not_counted", media_id=video_id, error=repr(exc))


def _range_of(headers: Mapping[str, str], stat: BlobStat, etag: str) -> ByteRange | None:
    value = headers.get("range")
    if value is None or not range_applies(headers.get("if-range"), etag):
        return None
    try:
        return parse_range(value, stat.size)
    except Unsatisfiable as exc:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{stat.size}"}) from exc


def _metrics(request: Request) -> HttpMetrics:
    metrics: HttpMetrics = request.app.state.metrics
    return metrics
