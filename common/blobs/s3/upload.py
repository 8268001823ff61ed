"""Storing bytes under a key: one request up to PART_BYTES, above it a multipart upload, which is aborted on failure."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from common.blobs.base import BlobStat
from common.blobs.s3.bucket import WRITER, Bucket, content_md5, translated
from common.errors import StorageError, StorageUnavailable
from common.observability.telemetry import get_logger
from common.tasks import time_limit

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

log = get_logger(__name__)

PART_BYTES = 8 * 1024 * 1024
CLEANUP_SECONDS = 5.0
"""What is not removed by then is left to the sweep and to the bucket's life cycle."""

_PARTS_AT_ONCE = 3
_MOST_PARTS = 10_000


class MultipartUpload:
    """One upload by parts. Opened by `open_upload`; nothing is stored before `complete`."""

    def __init__(self, bucket: Bucket, key: str, upload_id: str) -> None:
        self._bucket = bucket
        self._key = key
        self._id = upload_id
        self._parts: dict[int, str] = {}
        self.ended = False

    @classmethod
    async def begin(cls, bucket: Bucket, key: str, writer: str = "") -> MultipartUpload:
        """Begin an upload; `writer` goes into the object's metadata."""
        with translated(key):
            answer = await bucket.client.create_multipart_upload(
                Bucket=bucket.name, Key=key, Metadata={WRITER: writer} if writer else {}
            )
        return cls(bucket, key, answer["UploadId"])

    async def send(self, number: int, data: bytes, md5: str) -> None:
        """Send a part, numbered from 1, of 5 MiB at least unless it is the last."""
        with translated(self._key):
            answer = await self._bucket.client.upload_part(
                Bucket=self._bucket.name,
                Key=self._key,
                UploadId=self._id,
                PartNumber=number,
                Body=data,
                ContentMD5=md5,
            )
        self._parts[number] = answer["ETag"]

    @property
    def count(self) -> int:
        """How many parts there are."""
        return len(self._parts)

    async def complete(self, condition: Mapping[str, str] | None = None) -> str:
        """Make the parts the object, and return its etag. Raises Conflict."""
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": etag} for number, etag in sorted(self._parts.items())
        ]
        wanted: dict[str, Any] = dict(condition or {})
        with translated(self._key):
            answer = await self._bucket.client.complete_multipart_upload(
                Bucket=self._bucket.name,
                Key=self._key,
                UploadId=self._id,
                MultipartUpload={"Parts": parts},
                **wanted,
            )
        self.ended = True
        return answer["ETag"].strip('"')

    async def abort(self) -> None:
        """Remove the parts, best effort."""
        if self.ended:
            return
        try:
            async with time_limit(CLEANUP_SECONDS):
                with translated(self._key):
                    await self._bucket.client.abort_multipart_upload(
                        Bucket=self._bucket.name, Key=self._key, UploadId=self._id
                    )
        except (StorageError, TimeoutError) as exc:
            log.warning("storage.upload_left", key=self._key, upload=self._id, error=repr(exc))


async def put_file(bucket: Bucket, key: str, path: Path) -> BlobStat:
    """See `BlobStore.put`. The file is read once, PART_BYTES at a time, and stays where it is."""
    async with _open(key, path) as (file, size):
        if size <= PART_BYTES:
            data, md5 = await asyncio.to_thread(_read_part, file, key, 0, size)
            return BlobStat(key, size, await bucket.put(key, data, md5=md5))
        upload = await MultipartUpload.begin(bucket, key)
        try:
            await _send_parts(upload, key, file, size)
            return BlobStat(key, size, await upload.complete())
        finally:
            await upload.abort()


async def _send_parts(upload: MultipartUpload, key: str, file: BinaryIO, size: int) -> None:
    """Send the file, a few parts at once. Raises StorageError: the first failure, which ends the others."""
    part_bytes = max(PART_BYTES, math.ceil(size / _MOST_PARTS))
    numbers = iter(range(math.ceil(size / part_bytes)))

    async def send_on() -> None:
        for number in numbers:
            start = number * part_bytes
            length = min(part_bytes, size - start)
            data, md5 = await asyncio.to_thread(_read_part, file, key, start, length)
            await upload.send(number + 1, data, md5)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_PARTS_AT_ONCE):
                tasks.create_task(send_on())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


@asynccontextmanager
async def _open(key: str, path: Path) -> AsyncGenerator[tuple[BinaryIO, int]]:
    def open_file() -> tuple[BinaryIO, int]:
        file = path.open("rb", buffering=0)
        return file, os.fstat(file.fileno()).st_size  # pyright: ignore[reportReturnType] - a raw file is a BinaryIO

    with translated(key):
        file, size = await asyncio.to_thread(open_file)
    try:
        yield file, size
    finally:
        file.close()


def _read_part(file: BinaryIO, key: str, start: int, length: int) -> tuple[bytes, str]:
    with translated(key):
        parts: list[bytes] = []
        left = length
        while left and (part := os.pread(file.fileno(), left, start + length - left)):
            parts.append(part)
            left -= len(part)
    if left:
        raise StorageUnavailable(f"{key}: the file became shorter while it was stored")
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    return data, content_md5(data)
