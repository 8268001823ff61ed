"""Blobs as files below one directory: a key is a path, a put is a rename.

A file is complete and synced before it is renamed to its key, and is never changed afterwards: a reader that has it
open can read it to its end after it was replaced or deleted. Refuses to know the contents. The etag:
docs/adr/0003-local-blob-store.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from common.blobs.base import BlobStat, BlobStore
from common.blobs.keys import check_key
from common.blobs.listing import Listed
from common.blobs.local.descriptor import OwnedDescriptor
from common.blobs.local.growing import CHUNK_BYTES, LocalGrowingBlob, follow, sweep_growing
from common.blobs.local.write import (
    INCOMING,
    describe,
    present,
    store_file,
    sweep_leftovers,
    sync_directory,
    translated,
)
from common.errors import BlobNotFound, StorageError, StorageFull, StorageUnavailable
from common.health import Health, probe_disk
from common.observability.telemetry import get_logger

log = get_logger(__name__)

NAME = "local_storage"
_CHUNKS_PER_READ = 8  # a call in a thread costs about as much as reading a few chunks


@asynccontextmanager
async def open_local(root: Path, *, for_writing: bool = True) -> AsyncGenerator[BlobStore]:
    """Open the store in `root`, creating it if it is missing, and remove the temporary files of dead writers.

    `for_writing` False: nothing is changed, and `root` need not exist yet.

    Raises:
        StorageUnavailable: the directory cannot be created or written; the detail names LOCAL_STORAGE_PATH.
    """
    if for_writing:
        await asyncio.to_thread(_prepare, root)
    yield LocalBlobStore(root, for_writing=for_writing)


class LocalBlobStore:
    """See `common.blobs.base.BlobStore`. All methods raise ValueError for keys that `check_key` refuses."""

    def __init__(self, root: Path, *, for_writing: bool) -> None:
        self._root = root
        self._for_writing = for_writing

    def path_of(self, key: str) -> Path:
        """See `LocalFiles.path_of`."""
        return self._path(key).resolve()

    async def put(self, key: str, path: Path) -> BlobStat:
        """See `BlobStore.put`. A file on the same file system is moved; any other is copied, and stays."""
        target = self._path(key)
        return await asyncio.to_thread(lambda: describe(key, store_file(path, target, self._root / INCOMING)))

    async def stat(self, key: str) -> BlobStat:
        """See `BlobStore.stat`."""
        target = self._path(key)

        def look() -> BlobStat:
            with present(key):
                return describe(key, target.stat())

        return await asyncio.to_thread(look)

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.read`. A `start` at or beyond the end yields nothing."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"start {start}, length {length}: neither can be negative")
        blob = _OpenBlob(key, self._path(key))
        try:
            left = await blob.open(start, length)
            while left > 0:
                chunks = await blob.read(left)
                if not chunks:
                    raise StorageUnavailable(f"{key}: {left} bytes short")
                for chunk in chunks:
                    left -= len(chunk)
                    yield chunk
        finally:
            blob.close()

    @asynccontextmanager
    async def grow(self, key: str) -> AsyncGenerator[LocalGrowingBlob]:
        """See `BlobStore.grow`."""
        growing = LocalGrowingBlob(key, self._path(key), self._root)
        try:
            await growing.open()
            yield growing
        finally:
            growing.close()

    def follow(self, key: str) -> AsyncIterator[bytes]:
        """See `BlobStore.follow`."""
        return follow(key, self._path(key), self._root)

    async def blobs_in(self, folder: str) -> AsyncIterator[Listed]:
        """See `ListedBlobs.blobs_in`."""
        root, directory = self._root, self._path(folder)

        def look() -> list[Listed]:
            found: list[Listed] = []
            for path in directory.rglob("*"):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode):
                        age = timedelta(seconds=max(time.time() - status.st_mtime, 0))
                        found.append(Listed(path.relative_to(root).as_posix(), age))
            return found

        with translated(folder):
            listed = await asyncio.to_thread(look)
        for blob in listed:
            yield blob

    async def delete(self, key: str) -> None:
        """See `BlobStore.delete`."""
        target = self._path(key)

        def remove() -> None:
            try:
                with present(key):
                    target.unlink()
                    sync_directory(target.parent)
            except BlobNotFound:
                return

        await asyncio.to_thread(remove)

    async def health(self) -> Health:
        """See `BlobStore.health`. Writes a byte if opened for writing. `metadata`: `free_bytes`, `total_bytes`."""
        try:
            usage = await asyncio.to_thread(self._measure)
        except StorageError as exc:
            return Health(NAME, ok=False, error=exc.detail, disk_full=isinstance(exc, StorageFull))
        return Health(NAME, ok=True, metadata=usage)

    def _measure(self) -> dict[str, int]:
        with translated("LOCAL_STORAGE_PATH"):
            if self._for_writing:
                probe_disk(self._root / INCOMING)
            else:
                os.scandir(self._root).close()
            usage = shutil.disk_usage(self._root)
        return {"free_bytes": usage.free, "total_bytes": usage.total}

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


class _OpenBlob:
    """A blob that is open for reading."""

    def __init__(self, key: str, path: Path) -> None:
        self._key = key
        self._path = path
        self._file = OwnedDescriptor()

    async def open(self, start: int, length: int | None) -> int:
        """Open at `start` and return how many bytes there are to read."""

        def open_at() -> int:
            with present(self._key):
                self._file.own(descriptor := os.open(self._path, os.O_RDONLY | os.O_CLOEXEC))
                available = max(describe(self._key, os.fstat(descriptor)).size - start, 0)
                os.lseek(descriptor, start, os.SEEK_SET)
            return available if length is None else min(available, length)

        return await self._file.run_in_thread(open_at)

    async def read(self, left: int) -> list[bytes]:
        """Return the next chunks, at most `left` bytes; an empty list at the end of the file."""

        def read_chunks() -> list[bytes]:
            chunks: list[bytes] = []
            missing = min(left, CHUNK_BYTES * _CHUNKS_PER_READ)
            with present(self._key):
                while missing and (chunk := os.read(self._file.require(), min(missing, CHUNK_BYTES))):
                    chunks.append(chunk)
                    missing -= len(chunk)
            return chunks

        return await self._file.run_in_thread(read_chunks)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _prepare(root: Path) -> None:
    with translated("LOCAL_STORAGE_PATH"):
        incoming = root / INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(incoming)
        sweep_growing(root)
        try:
            with translated("LOCAL_STORAGE_PATH"):
                probe_disk(incoming)
        except StorageFull as exc:
            # Stored blobs can still be read: this is reported by health, and no reason to stop.
            log.warning("storage.full", detail=exc.detail)
