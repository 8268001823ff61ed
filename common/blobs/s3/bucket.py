"""One bucket: the requests that the store needs, and the only place that translates S3's errors.

Bodies that are sent carry Content-MD5, which every S3 server checks; the SDK's own checksums are off (common/aws.py).
Ages are measured by the server's clock alone (`Date` against `Last-Modified`): clocks of machines differ.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from common.aws import AWS_ERRORS, failure_of
from common.errors import BlobNotFound, StorageError, StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

SETTING = "S3_BUCKET_NAME"

WRITER = "writer"
"""Metadata of an object that a growing blob was committed to: the id of its writer."""

_NEXT_IN = "next-in"
"""Metadata of a segment: in how many seconds after it the next one is sent."""

_MISSING = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
_CONFLICT = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})
_FULL = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"})
_FULL_STATUS = 507


class MisconfiguredStorage(StorageUnavailable):
    """The server answered, and a retry does not help: the bucket's name, credentials, rights, the clock."""

    needs_operator = True


class Conflict(StorageUnavailable):
    """The condition of a request does not hold: another writer came first, or the blob was replaced."""


class BeyondEnd(StorageUnavailable):
    """The range begins at or behind the end of the object."""


class Body(Protocol):
    """The body of an answer, as it arrives. `read` returns up to `amount` bytes, b"" at the end."""

    async def read(self, amount: int) -> bytes: ...  # noqa: D102 - see the class
    def close(self) -> None: ...  # noqa: D102 - see the class


@dataclass(frozen=True, slots=True)
class Found:
    """What a server tells of an object. `age_seconds`: since it was written; whole seconds. `writer`: see WRITER.

    `next_in`: of a segment, the seconds from it to the next; 0 where nothing is said.
    """

    size: int
    etag: str
    age_seconds: float
    writer: str
    next_in: float


def unless(etag: str | None) -> dict[str, str]:
    """Return the condition that an object has still this etag; None: that there is none."""
    return {"IfNoneMatch": "*"} if etag is None else {"IfMatch": f'"{etag}"'}


class Bucket:
    """S3_BUCKET_NAME. Every method raises StorageUnavailable or a subclass of it."""

    def __init__(self, client: S3Client, name: str) -> None:
        self.client = client
        self.name = name

    async def head(self, key: str) -> Found:
        """Describe an object. Raises BlobNotFound."""
        with translated(key):
            answer = await self.client.head_object(Bucket=self.name, Key=key)
        return _found(answer)

    async def get(self, key: str, *, start: int = 0, length: int | None = None, etag: str = "") -> tuple[Found, Body]:
        """Begin to read an object; `length` is at least 1. The caller closes the body.

        Raises:
            BlobNotFound: there is none.
            BeyondEnd: `start` is at or behind its end.
            Conflict: its etag is another one than `etag`.
        """
        wanted: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        if start or length is not None:
            wanted["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
        with translated(key):
            answer = await self.client.get_object(Bucket=self.name, Key=key, **wanted)
        return _found(answer), answer["Body"]

    async def get_whole(self, key: str) -> tuple[Found, bytes]:
        """Read a small object. Raises BlobNotFound."""
        found, body = await self.get(key)
        try:
            with translated(key):
                parts: list[bytes] = []
                while part := await body.read(64 * 1024):
                    parts.append(part)
        finally:
            body.close()
        return found, b"".join(parts)

    async def put(  # noqa: PLR0913 - of one request
        self,
        key: str,
        data: bytes,
        *,
        condition: Mapping[str, str] | None = None,
        writer: str = "",
        next_in: float = 0.0,
        md5: str = "",
    ) -> str:
        """Store an object and return its etag. `md5` of the data, if it is known already. Raises Conflict."""
        metadata = {WRITER: writer, _NEXT_IN: f"{next_in:.3f}" if next_in else ""}
        with translated(key):
            answer = await self.client.put_object(
                Bucket=self.name,
                Key=key,
                Body=data,
                ContentMD5=md5 or content_md5(data),
                Metadata={name: text for name, text in metadata.items() if text},
                **(condition or {}),  # pyright: ignore[reportArgumentType] - one of two keys, see `unless`
            )
        return _bare(answer["ETag"])

    async def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object; no-op if there is none. With `etag`: only that one, if the server can."""
        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        with translated(key):
            await self.client.delete_object(Bucket=self.name, Key=key, **condition)

    async def delete_all(self, keys: Sequence[str]) -> None:
        """Remove up to 1,000 objects, by one request where the server can."""
        if not keys:
            return
        try:
            with translated(keys[0]):
                answer = await self.client.delete_objects(
                    Bucket=self.name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
                )
            failed = [error.get("Key", "") for error in answer.get("Errors", [])]
        except StorageUnavailable:
            # Some servers lack this request, or want another checksum.
            failed = list(keys)
        for key in failed:
            await self.delete(key)

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, float]]:
        """Yield the key and the age in seconds of every object below a prefix."""
        more: dict[str, Any] = {}
        while True:
            with translated(SETTING):
                page = await self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, **more)
            now = _date_of(page)
            for item in page.get("Contents", []):
                yield item.get("Key", ""), (now - item.get("LastModified", now)).total_seconds()
            if not (token := page.get("NextContinuationToken")):
                return
            more = {"ContinuationToken": token}


@contextmanager
def translated(subject: str) -> Generator[None]:
    """Turn errors of the SDK into StorageError about `subject`: a key, or SETTING."""
    try:
        yield
    except AWS_ERRORS as exc:
        raise _error_of(subject, exc) from exc


def content_md5(data: bytes | bytearray) -> str:
    """Return the value of Content-MD5."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _error_of(subject: str, exc: Exception) -> StorageError:
    failure = failure_of(exc)
    detail = f"{subject}: {failure.detail}"
    if failure.code in _MISSING:
        return BlobNotFound(subject)
    if failure.code in _CONFLICT:
        return Conflict(detail)
    if failure.code in {"416", "InvalidRange"}:
        return BeyondEnd(detail)
    if failure.code in _FULL or failure.status == _FULL_STATUS:
        return StorageFull(detail)
    if failure.needs_operator:
        return MisconfiguredStorage(detail if subject == SETTING else f"{SETTING}: {detail}")
    return StorageUnavailable(detail)


def _found(answer: Any) -> Found:  # noqa: ANN401 - of two operations
    age = (_date_of(answer) - answer["LastModified"]).total_seconds()
    metadata = answer.get("Metadata", {})
    try:
        next_in = float(metadata.get(_NEXT_IN, 0.0))
    except ValueError:
        next_in = 0.0
    return Found(answer["ContentLength"], _bare(answer["ETag"]), age, metadata.get(WRITER, ""), next_in)


def _date_of(answer: Any) -> datetime:  # noqa: ANN401 - of any operation
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)


def _bare(etag: str) -> str:
    return etag.strip('"')
