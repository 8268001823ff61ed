"""The blob store port. Keys are made from ids by `audio_service.media.model`, never from titles or user text."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


class BlobStore(Protocol):
    """Whole files by key. A reader sees the old file, the new file or BlobNotFound, never a part of one.

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

    async def delete(self, key: str) -> None:
        """Remove a blob; absent is as good as removed."""
        ...

    async def health(self) -> Health:
        """Ask the store how it is; never raises."""
        ...
