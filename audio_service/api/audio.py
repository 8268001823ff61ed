"""The stored audio: the DCA file as it is, with ranges, and the same packets as Ogg Opus, for browsers.

A song that is still being encoded is sent from its beginning as it grows; it has no length and no ranges yet.
"""

from __future__ import annotations

from functools import partial

import anyio
from fastapi import Request, Response

from audio_service import texts
from audio_service.api.conditions import is_fresh, strong_etag
from audio_service.api.deps import ApiDeps, deps_of
from audio_service.api.errors import ApiError
from audio_service.api.files import head_of, metrics_of, send_file
from audio_service.api.media import VideoIdPath, find
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
    headers = {"Cache-Control": _cached(deps)}
    headers |= {"Content-Type": DCA_TYPE, "Content-Disposition": f'inline; filename="{video_id}.dca"'}
    return await send_file(request, deps.blobs, stat, headers, on_start=partial(_count_play, deps, video_id))


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
        return head_of(headers)
    threads: anyio.CapacityLimiter = request.app.state.ogg_threads
    chunks = await OggChunks.open(deps.blobs.read(stat.key), threads, title=media.metadata.title)
    await _count_play(deps, video_id)
    return StreamResponse(chunks, status_code=200, headers=headers, disconnects=metrics_of(request).disconnects)


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
        return head_of(headers)
    await _count_play(deps, media.video_id)
    return StreamResponse(chunks, status_code=200, headers=headers, disconnects=metrics_of(request).disconnects)


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
