"""The stored audio: the DCA file as it is, with ranges, and the same packets as Ogg Opus, for browsers.

A song that is still being encoded is sent from its beginning as it grows; it has no length and no ranges yet.
"""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from audio_service import texts
from audio_service.api.conditions import ByteRange, Unsatisfiable, is_fresh, parse_range, range_applies, strong_etag
from audio_service.api.deps import ApiDeps, deps_of
from audio_service.api.errors import ApiError
from audio_service.api.media import VideoIdPath, find
from audio_service.api.metrics import HttpMetrics
from audio_service.api.ogg import OggChunks
from audio_service.api.responses import (
    FAILED,
    INVALID_MEDIA_ID,
    NO_FILE,
    REFUSED,
    Responses,
    file_response,
    header,
    protocol_error_example,
    with_headers,
)
from audio_service.api.routing import API, Router
from audio_service.api.streaming import PrefetchedSource, StreamResponse
from audio_service.media.model import Media, MediaStatus, audio_key
from common.blobs.base import BlobStat
from common.errors import BlobNotFound, DatabaseUnavailable, MediaNotFound, StorageUnavailable
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

DCA_TYPE = "audio/dca"
OGG_TYPE = "audio/ogg"
# The bytes of a song that is encoded again may differ: a copy is fresh for an hour, then it is revalidated.
_CACHE = "max-age=3600"
_PLAY_SECONDS = 0.5

_NOT_MODIFIED = {"description": "The client's copy is current.", "headers": {"ETag": header("ETag")}}
_DCA: Responses = {
    200: file_response(
        DCA_TYPE,
        "The whole file. Of a song that is being encoded: its beginning, followed by the rest as it grows, without "
        "length, ETag and ranges; a connection that is cut before its end means that the song was abandoned.",
        "ETag",
        "Accept-Ranges",
        "Cache-Control",
    ),
    206: file_response(DCA_TYPE, "The requested range.", "ETag", "Content-Range"),
    304: _NOT_MODIFIED,
    400: INVALID_MEDIA_ID,
    404: NO_FILE,
    416: protocol_error_example(
        "range_not_satisfiable", texts.RANGE_NOT_SATISFIABLE.es, "The range begins after the end of the file."
    ),
    **REFUSED,
    **FAILED,
}
_OGG: Responses = {
    200: file_response(OGG_TYPE, "The whole song.", "ETag", "Cache-Control"),
    304: _NOT_MODIFIED,
    400: INVALID_MEDIA_ID,
    404: NO_FILE,
    **REFUSED,
    **FAILED,
}

router = Router(prefix=f"{API}/media/{{video_id}}", tags=["library"])


@router.get("/audio", summary="The DCA file", responses=with_headers(_DCA))
async def dca_file(request: Request, video_id: VideoIdPath) -> Response:
    """Return the DCA file, or the requested range of it."""
    deps = deps_of(request)
    media = await find(deps, video_id)
    if media.status is MediaStatus.PROCESSING:
        return await _growing_file(request, deps, media)
    stat = await stored(deps, media)
    etag = strong_etag(stat.etag)
    headers = {"Cache-Control": _cached(deps), "ETag": etag, "Accept-Ranges": "bytes"}
    if is_fresh(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Type": DCA_TYPE, "Content-Disposition": f'inline; filename="{video_id}.dca"'}
    if request.method == "HEAD":
        return _head({**headers, "Content-Length": str(stat.size)})
    part = _range_of(request.headers, stat, etag)
    if part is not None:
        headers["Content-Range"] = part.content_range(stat.size)
    sent = part or ByteRange(0, stat.size)
    headers["Content-Length"] = str(sent.length)
    chunks = await PrefetchedSource.open(deps.blobs.read(stat.key, start=sent.start, length=sent.length))
    if sent.start == 0:
        await _count_play(deps, video_id)
    return StreamResponse(
        chunks, status_code=206 if part else 200, headers=headers, disconnects=_metrics(request).disconnects
    )


@router.get("/audio.ogg", summary="The song as Ogg Opus", responses=with_headers(_OGG))
async def ogg_file(request: Request, video_id: VideoIdPath) -> Response:
    """Return the same packets as Ogg Opus. The file is written while it is sent: no ranges, no length."""
    deps = deps_of(request)
    media = await find(deps, video_id)
    stat = await stored(deps, media)
    etag = strong_etag(f"{stat.etag.strip(chr(34))}-ogg")
    headers = {"Cache-Control": _cached(deps), "ETag": etag, "Accept-Ranges": "none"}
    if is_fresh(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers |= {"Content-Type": OGG_TYPE, "Content-Disposition": f'inline; filename="{video_id}.ogg"'}
    if request.method == "HEAD":
        return _head(headers)
    threads: anyio.CapacityLimiter = request.app.state.ogg_threads
    chunks = await OggChunks.open(deps.blobs.read(stat.key), threads, title=media.metadata.title)
    await _count_play(deps, video_id)
    return StreamResponse(chunks, status_code=200, headers=headers, disconnects=_metrics(request).disconnects)


async def stored(deps: ApiDeps, media: Media) -> BlobStat:
    """Return the description of a record's file.

    Raises:
        ApiError: media_not_found when the record is not a success (the body has its `status`); blob_not_found when it
            is, and the file is missing. Both are 404. The next download request for the song restores the file.
    """
    if media.status is not MediaStatus.SUCCESS:
        raise _unavailable(media)
    try:
        return await deps.blobs.stat(audio_key(media.video_id))
    except BlobNotFound as exc:
        log.warning("http.file_gone", media_id=media.video_id)
        raise ApiError(exc, video_id=media.video_id) from exc


def _unavailable(media: Media) -> ApiError:
    return ApiError(MediaNotFound(), video_id=media.video_id, status=media.status)


async def _growing_file(request: Request, deps: ApiDeps, media: Media) -> Response:
    """Stream a song that is being encoded, to its end. Raises ApiError when no part of it can be read yet."""
    headers = {
        "Cache-Control": "no-store",
        "Accept-Ranges": "none",
        "Content-Type": DCA_TYPE,
        "Content-Disposition": f'inline; filename="{media.video_id}.dca"',
    }
    try:
        chunks = await PrefetchedSource.open(deps.blobs.follow(audio_key(media.video_id)))
    except (BlobNotFound, StorageUnavailable) as exc:
        raise _unavailable(media) from exc
    if request.method == "HEAD":
        await chunks.aclose()
        return _head(headers)
    await _count_play(deps, media.video_id)
    return StreamResponse(chunks, status_code=200, headers=headers, disconnects=_metrics(request).disconnects)


def _head(headers: Mapping[str, str]) -> Response:
    """Return the response to HEAD: the headers of GET, and Content-Length only where GET has one."""
    response = Response(headers=headers)
    if "Content-Length" not in headers:
        del response.headers["content-length"]
    return response


def _cached(deps: ApiDeps) -> str:
    """Return `Cache-Control`: shared caches may store songs only where access is not controlled."""
    return f"private, {_CACHE}" if deps.settings.access_controlled else f"public, {_CACHE}"


async def _count_play(deps: ApiDeps, video_id: str) -> None:
    """Count a response that begins with the file's first byte as a play: the whole file, or its first range.

    Later ranges are a player that seeks; HEAD and 304 send no audio. The count is dropped when the database fails or
    does not answer within _PLAY_SECONDS: it must not delay the song.
    """
    try:
        async with time_limit(_PLAY_SECONDS):
            await deps.repository.count_play(video_id)
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
