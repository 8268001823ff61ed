"""A bucket as a source of media: one version of one object is one song, fetched from a presigned URL.

An object's record and request have ids that follow from it: a copy of its event, and a task that is started again, come
to the same record and the same request. Its ETag stands for its bytes:
other bytes under the same key are another song, and the same bytes put again are a new request for the same song.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from audio_service.sources.base import Query, Resolved
from audio_service.sources.query import clean_title
from common.aws import AWS_ERRORS, failure_of
from common.errors import InvalidInput, MediaNotFound, MediaTooLarge, SourceForbidden, SourceUnavailable
from common.messages.downloads import PlatformMetadata

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

PLATFORM = "S3"
_ADDRESS = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)", re.DOTALL)
_NAMESPACE = uuid.UUID("6b0a3d1c-6a1e-4f0e-9d0b-0c2f3a1d7e55")
_DIGEST = 32
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_DENIED = frozenset({"401", "403", "AccessDenied", "Forbidden"})
_LONGEST_SIGNATURE = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of an object. `put_at`: when it was stored, as the server writes it."""

    bucket: str
    key: str
    etag: str
    put_at: str
    size: int

    @property
    def address(self) -> str:
        """How requests and logs name it."""
        return address_of(self.bucket, self.key)

    @property
    def media_id(self) -> str:
        """The id of its song's record: the same for the same bytes under the same key."""
        return f"s3-{hashlib.sha256(self._named().encode()).hexdigest()[:_DIGEST]}"

    @property
    def request_id(self) -> str:
        """The id of the request that storing it has made."""
        return str(uuid.uuid5(_NAMESPACE, self._named(self.put_at)))

    @property
    def metadata(self) -> PlatformMetadata:
        """What is known before it is read: the file's name stands for the title, unless its tags have one."""
        title = clean_title(PurePosixPath(self.key).stem) or self.key
        return PlatformMetadata(title=title, url=self.address, platform=PLATFORM)

    def _named(self, *more: str) -> str:
        # A bucket's name has no line break, and an ETag none either.
        return "\n".join((self.bucket, self.etag, *more, self.key))


def address_of(bucket: str, key: str) -> str:
    """Return `s3://bucket/key`."""
    return f"s3://{bucket}/{key}"


async def find_object(client: S3Client, bucket: str, key: str) -> StoredObject:
    """Look an object up.

    Raises:
        MediaNotFound: there is none.
        SourceForbidden: the role may not read it.
        SourceUnavailable: S3 does not answer.
    """
    address = address_of(bucket, key)
    try:
        found = await client.head_object(Bucket=bucket, Key=key)
    except AWS_ERRORS as exc:
        failure = failure_of(exc)
        if failure.code in _MISSING:
            raise MediaNotFound(f"{address}: there is no such object") from exc
        if failure.code in _DENIED or failure.needs_operator:
            rights = "s3:GetObject on it, s3:ListBucket on the bucket"
            raise SourceForbidden(f"{address}: may not be read ({rights}): {failure.detail}") from exc
        raise SourceUnavailable(f"{address}: {failure.detail}") from exc
    put_at = found["LastModified"].isoformat()
    return StoredObject(bucket, key, found["ETag"].strip('"'), put_at, found["ContentLength"])


class BucketSource:
    """MediaSource over the buckets that a client of S3 may read; the text of a query is `s3://bucket/key`.

    Args:
        client: of S3.
        max_bytes: larger objects are refused.
        signed_seconds: how long a file can be fetched after it was resolved.
    """

    def __init__(self, client: S3Client, *, max_bytes: int, signed_seconds: float) -> None:
        self._client = client
        self._max_bytes = max_bytes
        self._signed = min(_LONGEST_SIGNATURE, int(signed_seconds))

    async def resolve(self, query: Query) -> Resolved:
        """See MediaSource.resolve. Raises InvalidInput for a query of another form."""
        named = _ADDRESS.fullmatch(query.text)
        if named is None:
            raise InvalidInput(f"{query.text[:100]}: s3://BUCKET/KEY is expected")
        found = await find_object(self._client, named["bucket"], named["key"])
        if found.size > self._max_bytes:
            raise MediaTooLarge(f"{found.address}: {found.size} bytes, at most {self._max_bytes}")
        try:
            signed = await self._client.generate_presigned_url(
                "get_object", Params={"Bucket": found.bucket, "Key": found.key}, ExpiresIn=self._signed
            )
        except AWS_ERRORS as exc:
            raise SourceForbidden(f"{found.address}: {failure_of(exc).detail}") from exc
        return Resolved(found.media_id, found.metadata, address=signed)
