"""The blob store port. Keys are made from ids by `audio_service.media.model`, never from titles or user text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from common.health import Health


@dataclass(frozen=True, slots=True)
class BlobStat:
    """`etag` is strong: equal etags mean equal bytes."""

    key: str
    size: int
    etag: str


class GrowingBlob(Protocol):
    """A blob in the making. One task at a time."""

    async def append(self, data: bytes) -> None:
        """Add bytes; followers see them soon. Raises StorageFull, StorageUnavailable."""
        ...

    async def commit(self) -> BlobStat:
        """Make it the blob of its key, in one step and safe on the disk. Followers come to their end.

        Raises:
            StorageFull, StorageUnavailable: the key means what it meant before. Also when it was overtaken by another.
        """
        ...


class BlobStore(Protocol):
    """Whole files by key. A reader sees the old file, the new file or BlobNotFound, never a part of one.

    Who wants a part asks for it: `follow` reads what `grow` writes.

    A key that `common.blobs.keys.check_key` refuses raises ValueError: keys are made from checked ids.
    """

    async def put(self, key: str, path: Path) -> BlobStat:
        """Store the file at `path` under `key`, replacing what is there. The file at `path` may be consumed.

        Raises:
            StorageFull: no room; nothing was stored.
            StorageUnavailable: any other failure; nothing was stored.
        """
        ...

    async def stat(self, key: str) -> BlobStat:
        """Describe a blob. Raises BlobNotFound, StorageUnavailable."""
        ...

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start`, `length` of them or to the end, in chunks of at most 64 KiB.

        Raises:
            BlobNotFound: nothing is stored under `key`.
            StorageUnavailable: any other failure.
        """
        ...

    def grow(self, key: str) -> AbstractAsyncContextManager[GrowingBlob]:
        """Write a blob that can be followed meanwhile. Left without `commit`, nothing of it remains.

        While it is entered the store knows that its writer lives. A second one for the same key overtakes the first,
        whose `append` or `commit` then fails.

        Raises:
            StorageFull, StorageUnavailable: on entering.
        """
        ...

    def follow(self, key: str) -> AsyncIterator[bytes]:
        """Yield what is being written under `key`, from its first byte to the end of the committed blob, as it comes.

        Raises:
            BlobNotFound: nothing is being written under `key`.
            StorageUnavailable: its writer gave it up, was overtaken, or has not been heard of for some seconds; or any
                other failure. What was yielded is then a part of nothing.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove a blob; absent is as good as removed."""
        ...

    async def health(self) -> Health:
        """Ask the store how it is; never raises."""
        ...
