"""Reading an object to its end: a body that breaks off is continued by range, if the etag is still the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from common.blobs.s3.bucket import BeyondEnd, Body, Bucket, Conflict, Found, MisconfiguredStorage, translated
from common.errors import BlobNotFound, StorageUnavailable
from common.observability.telemetry import get_logger

log = get_logger(__name__)

CHUNK_BYTES = 64 * 1024

_RESUME_SECONDS = 30.0
"""For how long without a byte a read is continued; a server may be restarting."""
_PAUSE_SECONDS = 0.2
_LAST_PAUSE_SECONDS = 3.0


async def read(  # noqa: PLR0913 - of one request
    bucket: Bucket,
    key: str,
    *,
    start: int = 0,
    length: int | None = None,
    etag: str = "",
    on_found: Callable[[Found], None] | None = None,
) -> AsyncGenerator[bytes]:
    """See `BlobStore.read`. With `etag`: only of the blob that has it; raises Conflict otherwise.

    `on_found` is told what the server says of the object, before its first byte.
    """
    if length == 0:
        await bucket.head(key)
        return
    reader = _Reader(bucket, key, start, length, etag)
    reader.on_found = on_found
    while not reader.ended:
        try:
            async for chunk in reader.attempt():
                yield chunk
        except StorageUnavailable as exc:
            await reader.pause_after(exc)


class _Reader:
    def __init__(self, bucket: Bucket, key: str, start: int, length: int | None, etag: str) -> None:
        self._bucket = bucket
        self._key = key
        self._position = start
        self._left = length
        self._etag = etag
        self._begun = False
        self._progress_at = time.monotonic()
        self._pause = _PAUSE_SECONDS
        self.on_found: Callable[[Found], None] | None = None
        self.ended = False

    async def attempt(self) -> AsyncGenerator[bytes]:
        """Yield what one answer brings."""
        try:
            found, body = await self._bucket.get(self._key, start=self._position, length=self._left, etag=self._etag)
        except BeyondEnd:
            self.ended = True
            return
        except BlobNotFound as exc:
            if self._begun:
                raise Conflict(f"{self._key}: deleted while it was read") from exc
            raise
        if not self._begun:
            # Of a part: its own length.
            self._begun, self._etag, self._left = True, found.etag, found.size
            if self.on_found is not None:
                self.on_found(found)
        try:
            while chunk := await self._next(body):
                yield chunk
        finally:
            body.close()
        if self._left:
            raise StorageUnavailable(f"{self._key}: {self._left} bytes short")
        self.ended = True

    async def _next(self, body: Body) -> bytes:
        with translated(self._key):
            chunk = await body.read(CHUNK_BYTES)
        self._position += len(chunk)
        self._left = (self._left or 0) - len(chunk)
        if chunk:
            self._progress_at = time.monotonic()
            self._pause = _PAUSE_SECONDS
        return chunk

    async def pause_after(self, failure: StorageUnavailable) -> None:
        """Back off before the next attempt. Raises `failure` if there is none."""
        final = isinstance(failure, (Conflict, MisconfiguredStorage))
        if final or not self._begun or time.monotonic() - self._progress_at > _RESUME_SECONDS:
            raise failure
        log.info("storage.read_resumed", key=self._key, position=self._position, detail=failure.detail)
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LAST_PAUSE_SECONDS)
