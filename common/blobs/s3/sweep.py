"""Leftovers of writers that died: what the bucket's life cycle removes too, where there is one (docs/aws.md)."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

from common.blobs.s3.bucket import SETTING, Bucket, translated
from common.blobs.s3.heads import GROWING
from common.errors import StorageError
from common.observability.telemetry import get_logger

log = get_logger(__name__)

SEGMENTS_SECONDS = 3600.0
UPLOADS_SECONDS = 24 * 3600.0


async def sweep(bucket: Bucket) -> None:
    """Remove the segments of blobs without a sign of life for an hour, and uploads that began a day ago.

    Where the rights are missing, or the server fails, they are left to the bucket's life cycle.
    """
    try:
        await _remove_segments(bucket)
        await _abort_uploads(bucket)
    except StorageError as exc:
        log.warning("storage.not_swept", detail=exc.detail)


async def _remove_segments(bucket: Bucket) -> None:
    keys: dict[str, list[str]] = defaultdict(list)
    youngest: dict[str, float] = {}
    async for key, age in bucket.list(GROWING):
        blob = key.removeprefix(GROWING).split("/")[0]
        keys[blob].append(key)
        youngest[blob] = min(age, youngest.get(blob, age))
    dead = [key for blob, names in keys.items() if youngest[blob] > SEGMENTS_SECONDS for key in names]
    for first in range(0, len(dead), 1000):
        await bucket.delete_all(dead[first : first + 1000])
    if dead:
        log.info("storage.leftovers_removed", objects=len(dead))


async def _abort_uploads(bucket: Bucket) -> None:
    with translated(SETTING):
        answer = await bucket.client.list_multipart_uploads(Bucket=bucket.name)
        for upload in answer.get("Uploads", []):
            begun, key, upload_id = upload.get("Initiated"), upload.get("Key", ""), upload.get("UploadId", "")
            if begun is not None and (datetime.now(UTC) - begun).total_seconds() > UPLOADS_SECONDS:
                await bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=upload_id)
                log.info("storage.upload_aborted", key=key, upload=upload_id)
