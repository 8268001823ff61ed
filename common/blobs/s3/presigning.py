"""Presigned URLs. Signing asks nothing of the server; a URL ends earlier than it says if the credentials do."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from common.blobs.presigned import PresignedPut
from common.blobs.s3.bucket import Bucket, translated

_PARAMETERS = {
    "Content-Type": "ContentType",
    "Content-Length": "ContentLength",
    "If-None-Match": "IfNoneMatch",
    "x-amz-checksum-sha256": "ChecksumSHA256",
}


async def presign_get(bucket: Bucket, key: str, seconds: int) -> str:
    """See `PresignedUrls.presign_get`."""
    with translated(key):
        return await bucket.client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket.name, "Key": key}, ExpiresIn=seconds
        )


def upload_headers(content_type: str, size: int, sha256: bytes | None) -> dict[str, str]:
    """Return the headers of an upload that replaces nothing."""
    headers = {"Content-Type": content_type, "Content-Length": str(size), "If-None-Match": "*"}
    if sha256 is not None:
        headers["x-amz-checksum-sha256"] = base64.b64encode(sha256).decode()
    return headers


async def presign_put(bucket: Bucket, key: str, headers: Mapping[str, str], seconds: int) -> PresignedPut:
    """Sign a PUT with these headers: with other values the server answers 403, to another body 400."""
    parameters = {_PARAMETERS[name]: int(text) if name == "Content-Length" else text for name, text in headers.items()}
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    with translated(key):
        url = await bucket.client.generate_presigned_url(
            "put_object", Params={"Bucket": bucket.name, "Key": key, **parameters}, ExpiresIn=seconds
        )
    return PresignedPut(url, headers, expires_at)
