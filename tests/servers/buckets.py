"""Buckets of the shared S3 server, one per test."""

from __future__ import annotations

import uuid
from typing import Any

from common.aws import open_s3
from common.settings import SharedSettings
from tests.servers.emulators import REGION, Emulator


def bucket_keys(server: Emulator) -> dict[str, Any]:
    """Return the settings that lead to a bucket that does not exist yet; the rest of AWS is elsewhere."""
    return {
        "storage_backend": "s3",
        "s3_bucket_name": f"songs-{uuid.uuid4().hex[:16]}",
        "aws_region": REGION,
        "aws_endpoint_url_s3": server.url,
    }


async def make_bucket(settings: SharedSettings) -> None:
    async with open_s3(settings) as client:
        await client.create_bucket(Bucket=settings.s3_bucket_name)


async def objects(settings: SharedSettings, prefix: str = "") -> list[str]:
    """Return the keys of the bucket's objects."""
    async with open_s3(settings) as client:
        answer = await client.list_objects_v2(Bucket=settings.s3_bucket_name, Prefix=prefix)
    return [item.get("Key", "") for item in answer.get("Contents", [])]


async def uploads(settings: SharedSettings) -> list[str]:
    """Return the keys of the multipart uploads that have neither been completed nor aborted."""
    async with open_s3(settings) as client:
        answer = await client.list_multipart_uploads(Bucket=settings.s3_bucket_name)
    return [item.get("Key", "") for item in answer.get("Uploads", [])]
