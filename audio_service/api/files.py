"""Sends a stored file: single ranges, a strong ETag, HEAD."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from audio_service.api.conditions import ByteRange, Unsatisfiable, is_fresh, parse_range, range_applies, strong_etag
from audio_service.api.metrics import HttpMetrics
from audio_service.api.streaming import PrefetchedSource, StreamResponse
from common.blobs.base import BlobStat, BlobStore


async def send_file(
    request: Request,
    blobs: BlobStore,
    stat: BlobStat,
    about: Mapping[str, str],
    *,
    on_start: Callable[[], Awaitable[None]] | None = None,
) -> Response:
    """Return the file, or the requested range of it.

    `about` are further headers; of those, 304 has `Cache-Control` alone. `on_start` is called before a response that
    begins with the file's first byte.

    Raises:
        HTTPException: 416, the range begins after the end.
        BlobNotFound, StorageUnavailable: it cannot be read.
    """
    etag = strong_etag(stat.etag)
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    if is_fresh(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers={**headers, "Cache-Control": about["Cache-Control"]})
    headers |= about
    if request.method == "HEAD":
        return head_of({**headers, "Content-Length": str(stat.size)})
    part = _range_of(request.headers, stat, etag)
    if part is not None:
        headers["Content-Range"] = part.content_range(stat.size)
    sent = part or ByteRange(0, stat.size)
    headers["Content-Length"] = str(sent.length)
    chunks = await PrefetchedSource.open(blobs.read(stat.key, start=sent.start, length=sent.length))
    if sent.start == 0 and on_start is not None:
        await on_start()
    return StreamResponse(
        chunks, status_code=206 if part else 200, headers=headers, disconnects=metrics_of(request).disconnects
    )


def head_of(headers: Mapping[str, str]) -> Response:
    """Return the response to HEAD: the headers of GET, and Content-Length only where GET has one."""
    response = Response(headers=headers)
    if "Content-Length" not in headers:
        del response.headers["content-length"]
    return response


def metrics_of(request: Request) -> HttpMetrics:
    """Return the API's metrics."""
    metrics: HttpMetrics = request.app.state.metrics
    return metrics


def _range_of(headers: Mapping[str, str], stat: BlobStat, etag: str) -> ByteRange | None:
    value = headers.get("range")
    if value is None or not range_applies(headers.get("if-range"), etag):
        return None
    try:
        return parse_range(value, stat.size)
    except Unsatisfiable as exc:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{stat.size}"}) from exc
