"""The reader of a growing blob: its segments one by one, and what is missing at the end from the committed blob."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from common.blobs.s3.bucket import Bucket, Found
from common.blobs.s3.heads import interval_before, read_head, segment_key
from common.blobs.s3.reading import read
from common.errors import BlobNotFound, StorageError, StorageUnavailable

_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE = 2.0
_GROWTH = 1.3
_SURE_MISSES = 2
"""After so many looks for a segment in vain the head is read: most segments come at their time."""
_GRACE_SECONDS = 0.3
"""From the time at which a segment is due to the first look for it: the writer's request takes its time."""
_SURE_STALE = 3
"""A server that was frozen may answer us before it takes the writer's renewal: a stale head is looked at again."""
_STALE_SECONDS = 1.0


async def follow(bucket: Bucket, key: str) -> AsyncGenerator[bytes]:
    """See `BlobStore.follow`."""
    head = await read_head(bucket, key)
    if not head.alive:
        await asyncio.sleep(_STALE_SECONDS)
        head = await read_head(bucket, key)
    if not head.alive:
        raise BlobNotFound(key)
    followed = _Followed(bucket, key, head.writer)
    while not followed.ended:
        async for chunk in followed.segment():
            yield chunk
    async for chunk in followed.rest():
        yield chunk


class _Followed:
    def __init__(self, bucket: Bucket, key: str, writer: str) -> None:
        self._bucket = bucket
        self._key = key
        self._writer = writer
        self._number = 1
        self._position = 0
        self._misses = 0
        self._stale = 0
        self._due_at = 0.0
        self.ended = False

    async def segment(self) -> AsyncGenerator[bytes]:
        """Yield the next segment, or nothing after waiting for it. Sets `ended` if none will come."""
        await asyncio.sleep(self._due_at - time.monotonic())
        begun = False
        name = segment_key(self._key, self._writer, self._number)
        try:
            async for chunk in read(self._bucket, name, on_found=self._note_next):
                begun = True
                self._position += len(chunk)
                yield chunk
        except BlobNotFound:
            await self._wait()
            return
        except StorageError:
            if not begun:
                raise
            # Segments are removed after a commit, also those that are being read.
            self.ended = True
            return
        self._number += 1
        self._misses = 0

    async def rest(self) -> AsyncGenerator[bytes]:
        """Yield what the committed blob has beyond the segments. Raises StorageUnavailable if there is none."""
        found = await self._committed()
        if self._position < found.size:
            async for chunk in read(self._bucket, self._key, start=self._position, etag=found.etag):
                yield chunk

    def _note_next(self, found: Found) -> None:
        """Note when the segment after this one is due; one that is there already is read at once."""
        seconds = (found.next_in or interval_before(self._number + 1)) - found.age_seconds
        self._due_at = time.monotonic() + (seconds + _GRACE_SECONDS if seconds > 0 else 0.0)

    async def _wait(self) -> None:
        self._misses += 1
        if self._misses >= _SURE_MISSES and not await self._is_being_written():
            self.ended = True
            return
        await asyncio.sleep(min(_PAUSE_SECONDS * _GROWTH**self._misses, _LONGEST_PAUSE))

    async def _is_being_written(self) -> bool:
        try:
            head = await read_head(self._bucket, self._key)
        except BlobNotFound:
            return False
        self._stale = 0 if head.alive else self._stale + 1
        return head.writer == self._writer and self._stale < _SURE_STALE

    async def _committed(self) -> Found:
        try:
            found = await self._bucket.head(self._key)
        except BlobNotFound as exc:
            raise self._discarded() from exc
        if found.writer != self._writer:
            raise self._discarded()
        return found

    def _discarded(self) -> StorageUnavailable:
        return StorageUnavailable(f"{self._key}: its writer discarded it, was superseded or is dead")
