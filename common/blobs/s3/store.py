"""Blobs as objects of one bucket. Refuses to know the contents. Decisions: docs/adr/0025-s3-blob-store.md.

An object is replaced as a whole: S3 shows the old one or the new one. The etag is S3's own, which is strong: it is made
of MD5 sums of the bytes (of a multipart upload, of its parts).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from common.aws import open_s3 as open_client
from common.blobs.base import BlobStat, BlobStore
from common.blobs.keys import check_key
from common.blobs.listing import Listed
from common.blobs.presigned import PresignedPut
from common.blobs.s3.bucket import SETTING, Bucket, MisconfiguredStorage, translated
from common.blobs.s3.following import follow
from common.blobs.s3.growing import S3GrowingBlob
from common.blobs.s3.heads import GROWING, LEASE_SECONDS
from common.blobs.s3.presigning import presign_get, presign_put, upload_headers
from common.blobs.s3.reading import read
from common.blobs.s3.sweep import sweep
from common.blobs.s3.upload import put_file
from common.errors import StorageError
from common.health import Health
from common.observability.telemetry import get_logger
from common.settings import SharedSettings
from common.tasks import running_alongside, time_limit

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

log = get_logger(__name__)

NAME = "s3"
_OPENING_SECONDS = 5.0
_PROBE = f"{GROWING}writable"


@asynccontextmanager
async def open_s3(settings: SharedSettings, *, for_writing: bool = True) -> AsyncGenerator[BlobStore]:
    """Open the store in S3_BUCKET_NAME. Old leftovers of dead writers are removed meanwhile.

    A server that does not answer prevents no start: `health` reports it. `for_writing` False: nothing is asked of the
    server, and the bucket need not exist yet.

    Raises:
        MisconfiguredStorage: the bucket is missing or may not be listed and written, the credentials or the clock are
            wrong; the detail names the setting.
    """
    if not settings.s3_bucket_name:
        raise MisconfiguredStorage("S3_BUCKET_NAME: the name of a bucket is expected with STORAGE_BACKEND=s3")
    async with open_client(settings) as client, _public_client(settings, client) as public:
        bucket = Bucket(client, settings.s3_bucket_name)
        store = S3BlobStore(bucket, public=Bucket(public, settings.s3_bucket_name))
        if not for_writing or not await _is_usable(bucket):
            yield store
            return
        async with running_alongside(sweep(bucket)):
            yield store


class S3BlobStore:
    """See `common.blobs.base.BlobStore` and `common.blobs.presigned.PresignedUrls`.

    All methods raise ValueError for keys that `check_key` refuses.

    Args:
        bucket: what the store reads and writes.
        lease_seconds: how long a blob that grows is followed without a sign of its writer.
        public: the same bucket by the address that browsers have; None: they have the same.
    """

    def __init__(self, bucket: Bucket, lease_seconds: float = LEASE_SECONDS, public: Bucket | None = None) -> None:
        self._bucket = bucket
        self._public = public or bucket
        self._lease_seconds = lease_seconds

    async def put(self, key: str, path: Path) -> BlobStat:
        """See `BlobStore.put`. The file is copied, and stays."""
        return await put_file(self._bucket, _checked(key), path)

    async def stat(self, key: str) -> BlobStat:
        """See `BlobStore.stat`."""
        found = await self._bucket.head(_checked(key))
        return BlobStat(key, found.size, found.etag)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.read`. A `start` at or beyond the end yields nothing."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"start {start}, length {length}: neither can be negative")
        return read(self._bucket, _checked(key), start=start, length=length)

    @asynccontextmanager
    async def grow(self, key: str) -> AsyncGenerator[S3GrowingBlob]:
        """See `BlobStore.grow`."""
        growing = S3GrowingBlob(self._bucket, _checked(key), self._lease_seconds)
        await growing.open()
        try:
            async with running_alongside(growing.run()):
                yield growing
        finally:
            await growing.close()

    def follow(self, key: str) -> AsyncIterator[bytes]:
        """See `BlobStore.follow`."""
        return follow(self._bucket, _checked(key))

    async def blobs_in(self, folder: str) -> AsyncIterator[Listed]:
        """See `ListedBlobs.blobs_in`."""
        async for key, age in self._bucket.list(f"{_checked(folder)}/"):
            yield Listed(key, timedelta(seconds=max(age, 0)))

    async def delete(self, key: str) -> None:
        """See `BlobStore.delete`."""
        await self._bucket.delete(_checked(key))

    async def presign_get(self, key: str, *, seconds: int) -> str:
        """See `PresignedUrls.presign_get`."""
        return await presign_get(self._bucket, _checked(key), seconds)

    async def presign_put(
        self, key: str, content_type: str, size: int, *, seconds: int, sha256: bytes | None = None
    ) -> PresignedPut:
        """See `PresignedUrls.presign_put`."""
        return await presign_put(self._public, _checked(key), upload_headers(content_type, size, sha256), seconds)

    async def health(self) -> Health:
        """See `BlobStore.health`. Reads alone: a write every few seconds would cost more than the songs do."""
        metadata = {"bucket_name": self._bucket.name}
        try:
            await self._look()
        except StorageError as exc:
            return Health(NAME, ok=False, metadata=metadata, error=exc.detail)
        return Health(NAME, ok=True, metadata=metadata)

    async def _look(self) -> None:
        name = self._bucket.name
        with translated(SETTING):
            try:
                await self._bucket.client.head_bucket(Bucket=name)
            except self._bucket.client.exceptions.ClientError:
                # The answer to HEAD has no body, and so no reason. A listing costs twelve times as much.
                await self._bucket.client.list_objects_v2(Bucket=name, MaxKeys=1)


@asynccontextmanager
async def _public_client(settings: SharedSettings, usual: S3Client) -> AsyncGenerator[S3Client]:
    """Open a client of S3_PUBLIC_URL, which signs and asks nothing; the usual one where that is not set."""
    if not settings.s3_public_url:
        yield usual
        return
    async with open_client(settings.model_copy(update={"aws_endpoint_url_s3": settings.s3_public_url})) as client:
        yield client


async def _is_usable(bucket: Bucket) -> bool:
    """List, write and delete. Raises MisconfiguredStorage; returns False if the server does not answer."""
    try:
        async with time_limit(_OPENING_SECONDS):
            with translated(SETTING):
                await bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=GROWING, MaxKeys=1)
                await bucket.client.put_object(Bucket=bucket.name, Key=_PROBE, Body=b"")
                await bucket.client.delete_object(Bucket=bucket.name, Key=_PROBE)
    except MisconfiguredStorage:
        raise
    except (StorageError, TimeoutError) as exc:
        log.warning("storage.unreachable", bucket=bucket.name, error=str(exc) or "no answer")
        return False
    return True


def _checked(key: str) -> str:
    if check_key(key).startswith(GROWING):
        raise ValueError(f"not a blob key: {key!r} is the store's own")
    return key
