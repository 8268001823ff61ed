"""The writer of a growing blob: segments for those who follow, and parts of the upload that becomes the blob.

What is appended is sent twice, once in each form. So a commit sends the rest alone, of PART_BYTES at most, and the
memory that is needed does not depend on the blob's size. A background task sends; `append` waits for it only before
the first segment is stored, and when it does not keep up.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress

from common.blobs.base import BlobStat
from common.blobs.s3.bucket import Bucket, Conflict, content_md5, unless
from common.blobs.s3.heads import RENEWALS_PER_LEASE, OwnHead, interval_before, segment_key
from common.blobs.s3.upload import CLEANUP_SECONDS, PART_BYTES, MultipartUpload
from common.errors import BlobNotFound, StorageError, StorageUnavailable
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

SEGMENT_BYTES = 4 * 1024 * 1024
"""A segment is sent before its time when it has this many bytes."""
_DELETED_AT_ONCE = 1000


class S3GrowingBlob:
    """See `common.blobs.base.GrowingBlob`. Call `open` first, run `run` meanwhile, call `close` last."""

    def __init__(self, bucket: Bucket, key: str, lease_seconds: float) -> None:
        self._bucket = bucket
        self._key = key
        self._writer = secrets.token_hex(8)
        self._head = OwnHead(bucket, key, self._writer, lease_seconds)
        self._renewal_seconds = lease_seconds / RENEWALS_PER_LEASE
        self._size = 0
        self._unsegmented = bytearray()
        self._tail = bytearray()
        """What is in no part yet."""
        self._segments = 0
        self._interval = interval_before(1)
        """Seconds between the last segment and the next."""
        self._lasts_until = 0.0
        self._upload: MultipartUpload | None = None
        self._failure: StorageError | None = None
        self._committed = False
        self._segment_at = self._renewed_at = time.monotonic()
        self._step = asyncio.Lock()
        self._appended = asyncio.Event()
        self._progressed = asyncio.Event()

    async def open(self) -> None:
        """Become the writer of the key."""
        self._renewed_at = time.monotonic()
        await self._head.claim()

    async def append(self, data: bytes, *, lasts: float = 0.0) -> None:
        """See `GrowingBlob.append`."""
        self._check()
        if not data:
            return
        self._size += len(data)
        self._unsegmented += data
        self._tail += data
        self._lasts_until = time.monotonic() + lasts
        self._appended.set()
        while not self._segments or len(self._unsegmented) >= SEGMENT_BYTES:
            self._progressed.clear()
            await self._progressed.wait()
            self._check()

    async def commit(self) -> BlobStat:
        """See `GrowingBlob.commit`."""
        async with self._step:
            self._check()
            try:
                etag = await self._store()
            except StorageError as exc:
                self._failure = exc
                raise
            self._committed = True
            # Followers take its absence for the end; without its removal, the end of its lease.
            with suppress(StorageError):
                await self._head.remove()
        return BlobStat(self._key, self._size, etag)

    async def run(self) -> None:
        """Send what is appended, when it is due, and renew the lease; until the commit or a failure."""
        while self._failure is None and not self._committed:
            self._appended.clear()
            if (seconds := self._due_at() - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with time_limit(seconds):
                        await self._appended.wait()
                continue
            async with self._step:
                if self._failure is None and not self._committed:
                    await self._send_due()
            self._progressed.set()

    async def close(self) -> None:
        """Remove the segments and, unless it was committed, everything else, best effort."""
        try:
            async with time_limit(CLEANUP_SECONDS):
                if not self._committed:
                    await self._head.remove()
                numbers = range(1, self._segments + 1)
                for first in range(0, len(numbers), _DELETED_AT_ONCE):
                    some = numbers[first : first + _DELETED_AT_ONCE]
                    await self._bucket.delete_all([segment_key(self._key, self._writer, number) for number in some])
        except (StorageError, TimeoutError) as exc:
            log.warning("storage.segments_left", key=self._key, writer=self._writer, error=repr(exc))
        finally:
            if self._upload is not None:
                await self._upload.abort()

    def _due_at(self) -> float:
        """When there is something to do, by `time.monotonic`."""
        renewal = self._renewed_at + self._renewal_seconds
        if not self._unsegmented:
            return renewal
        if len(self._unsegmented) >= SEGMENT_BYTES:
            return 0.0
        return min(renewal, self._segment_at + self._interval)

    async def _send_due(self) -> None:
        now = time.monotonic()
        try:
            if self._unsegmented and (
                len(self._unsegmented) >= SEGMENT_BYTES or now >= self._segment_at + self._interval
            ):
                await self._send_segment(now)
            while len(self._tail) >= PART_BYTES:
                await self._send_part()
            if now >= self._renewed_at + self._renewal_seconds:
                await self._renew()
        except StorageError as exc:
            self._failure = exc

    async def _send_segment(self, now: float) -> None:
        data = bytes(self._unsegmented)
        # Counted before it is there: a cancelled request may have been carried out, and is to be removed too.
        self._segments += 1
        interval = interval_before(self._segments + 1, self._lasts_until - now)
        await self._bucket.put(segment_key(self._key, self._writer, self._segments), data, next_in=interval)
        del self._unsegmented[: len(data)]
        self._segment_at, self._interval = now, interval

    async def _send_part(self) -> None:
        if self._upload is None:
            self._upload = await MultipartUpload.begin(self._bucket, self._key, self._writer)
        data = bytes(self._tail[:PART_BYTES])
        await self._upload.send(self._upload.count + 1, data, await asyncio.to_thread(content_md5, data))
        del self._tail[: len(data)]

    async def _renew(self) -> None:
        now = time.monotonic()
        await self._head.renew()
        self._renewed_at = now

    async def _store(self) -> str:
        """Make what was appended the blob of the key, and return its etag.

        The blob's etag is looked up before the head is renewed. A writer that takes over after the renewal, and commits
        first, has changed it, and the condition fails.
        """
        try:
            before = (await self._bucket.head(self._key)).etag
        except BlobNotFound:
            before = None
        await self._renew()
        try:
            while self._tail and (self._upload is not None or len(self._tail) > PART_BYTES):
                await self._send_part()
            if self._upload is not None:
                return await self._upload.complete(unless(before))
            return await self._bucket.put(self._key, bytes(self._tail), condition=unless(before), writer=self._writer)
        except Conflict:
            # The repeat of a request whose answer was lost finds what the first one stored.
            with suppress(BlobNotFound):
                found = await self._bucket.head(self._key)
                if found.writer == self._writer:
                    return found.etag
            raise

    def _check(self) -> None:
        if self._failure is not None:
            raise StorageUnavailable(self._failure.detail) from self._failure
        if self._committed:
            raise ValueError(f"{self._key}: used after it was committed")
