"""Where a blob that is being written lies in the bucket, and the object that says who writes it.

    growing/<hash of the key>/head                   the writer's id and its lease; renewed while it is alive
    growing/<hash of the key>/<writer's id>/000001   what it has appended, in segments

The head is written on condition only: of two writers one gets it, and the other one hears of that at its next renewal.
The bucket's life cycle may remove everything below `growing/` that is a day old.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from common.blobs.s3.bucket import Bucket, Conflict, unless
from common.errors import BlobNotFound, StorageUnavailable

GROWING = "growing/"
LEASE_SECONDS = 60.0
"""Of a writer that died and that no other one superseded, followers hear after so long. Each renewal is a PUT."""
RENEWALS_PER_LEASE = 3

_CLAIMS = 5
_INTERVALS = (0.0, 1.0, 1.0, 2.0, 2.0)
_LONGEST_INTERVAL = 3.0
"""Less than the five seconds of audio with which listeners begin, by more than a follower's pause."""
_UNHURRIED_INTERVAL = 15.0
"""For followers that are no listeners, and those that come back after a failure."""
_RESERVE_SECONDS = 8.0
"""What a listener still has when the next segment is sent: its buffer (4 s), our pauses and requests."""


def interval_before(number: int, lasts: float = 0.0) -> float:
    """Return the seconds between the segment before this one (numbered from 1) and this one.

    `lasts`: for how many seconds those before this one are enough for a listener.
    """
    soonest = _INTERVALS[number - 1] if number <= len(_INTERVALS) else _LONGEST_INTERVAL
    return max(soonest, min(lasts - _RESERVE_SECONDS, _UNHURRIED_INTERVAL))


def directory_of(key: str) -> str:
    """Return the prefix of everything that is written for a key."""
    return f"{GROWING}{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}/"


def segment_key(key: str, writer: str, number: int) -> str:
    """Return the key of a segment, numbered from 1."""
    return f"{directory_of(key)}{writer}/{number:06d}"


@dataclass(frozen=True, slots=True)
class Head:
    """A head as it was read. `alive`: its writer's lease has not expired."""

    writer: str
    etag: str
    alive: bool


async def read_head(bucket: Bucket, key: str) -> Head:
    """Raises BlobNotFound: nothing is being written under `key`."""
    name = _name_of(key)
    try:
        found, data = await bucket.get_whole(name)
    except BlobNotFound as exc:
        raise BlobNotFound(key) from exc
    try:
        content: Mapping[str, object] = orjson.loads(data)
        writer, lease = str(content["writer"]), float(str(content["lease_seconds"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise StorageUnavailable(f"{name}: is no head of a growing blob") from exc
    return Head(writer, found.etag, alive=found.age_seconds < lease)


class OwnHead:
    """The head of one writer."""

    def __init__(self, bucket: Bucket, key: str, writer: str, lease_seconds: float) -> None:
        self._bucket = bucket
        self._key = key
        self._writer = writer
        self._lease_seconds = lease_seconds
        self._renewals = 0
        self._etag: str | None = None

    async def claim(self) -> None:
        """Become the writer of the key; an earlier one is superseded. Raises StorageUnavailable."""
        for _ in range(_CLAIMS):
            try:
                await self._put()
            except Conflict:
                # The SDK repeats a request whose answer was lost, and the repeat finds what the first one wrote.
                if await self._look() == self._writer:
                    return
            else:
                return
        raise StorageUnavailable(f"{self._key}: too many writers at once")

    async def renew(self) -> None:
        """Say that the writer is alive. Raises StorageUnavailable if another one has superseded it."""
        try:
            await self._put()
        except Conflict as exc:
            if await self._look() != self._writer:  # as above
                raise StorageUnavailable(f"{self._key}: another writer has superseded this one") from exc

    async def remove(self) -> None:
        """Remove it, unless it is another writer's."""
        if await self._look() == self._writer and self._etag:
            await self._bucket.delete(_name_of(self._key), etag=self._etag)

    async def _put(self) -> None:
        # Numbered, so that each renewal has another etag.
        self._renewals += 1
        content = {"key": self._key, "writer": self._writer, "lease_seconds": self._lease_seconds, "n": self._renewals}
        self._etag = await self._bucket.put(_name_of(self._key), orjson.dumps(content), condition=unless(self._etag))

    async def _look(self) -> str:
        """Note the etag that there is now, and return whose it is; "": there is no head."""
        try:
            head = await read_head(self._bucket, self._key)
        except BlobNotFound:
            self._etag = None
            return ""
        self._etag = head.etag
        return head.writer


def _name_of(key: str) -> str:
    return f"{directory_of(key)}head"
