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
    """A blob that is being written. For one task at a time."""

    async def append(self, data: bytes, *, lasts: float = 0.0) -> None:
        """Append bytes; followers read them soon.

        `lasts`: for so many seconds from now, a follower that takes its time over what it reads (a listener) has enough
        of what was appended until now, this included. A store that pays for each step may let it wait for most of them.

        Raises StorageFull, StorageUnavailable.
        """
        ...

    async def commit(self) -> BlobStat:
        """Store it under its key, atomically and durably. Followers reach its end.

        Raises:
            StorageFull, StorageUnavailable: the key is unchanged. Also if another writer has superseded this one.
        """
        ...


class BlobStore(Protocol):
    """Whole files by key. A reader sees the old file, the new file or BlobNotFound, never a part of one, except through
    `follow`, which reads a blob while `grow` writes it.

    A key that `common.blobs.keys.check_key` refuses raises ValueError: keys are made from checked ids.
    """

    async def put(self, key: str, path: Path) -> BlobStat:
        """Store the file at `path` under `key`, replacing any blob there. The file at `path` may be moved away.

        Raises:
            StorageFull: the disk or quota is full; nothing was stored.
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
        """Write a blob that can be followed meanwhile. Leaving the context without `commit` discards it.

        Inside the context the store sees that the writer is alive. A second writer for the same key supersedes the
        first, whose `commit` then fails, and its `append` after that or earlier.

        Raises:
            StorageFull, StorageUnavailable: on entering.
        """
        ...

    def follow(self, key: str) -> AsyncIterator[bytes]:
        """Yield the blob that is being written under `key`, from its first byte to its end, as it grows.

        Raises:
            BlobNotFound: nothing is being written under `key`.
            StorageUnavailable: its writer discarded it, was superseded or is dead; or any other failure. The bytes
                yielded so far must then be discarded.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove a blob; no-op if there is none."""
        ...

    async def health(self) -> Health:
        """Check the store; never raises."""
        ...
