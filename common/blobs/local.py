"""Blobs as files below one directory: a key is a path, a put is a rename.

A file is complete and on the disk before it gets its name, and is never changed afterwards: a reader that has it open
keeps it, whatever is put or deleted meanwhile. Refuses to know what is in the files. See
docs/adr/0003-local-blob-store.md for the etag.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast

from common.blobs.base import BlobStat, BlobStore
from common.blobs.keys import check_key
from common.blobs.local_write import INCOMING, present, probe, store_file, sweep_leftovers, sync_directory, translated
from common.errors import BlobNotFound, StorageError, StorageFull, StorageUnavailable
from common.health import Health
from common.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

NAME = "local_storage"
CHUNK_BYTES = 64 * 1024

_CHUNKS_PER_HOP = 8  # a hop to a thread costs about as much as reading a few chunks


@asynccontextmanager
async def open_local(root: Path, *, for_writing: bool = True) -> AsyncGenerator[BlobStore]:
    """Open the store in `root`, made when missing, and sweep what crashed puts left there.

    `for_writing` False: nothing there is touched, and it need not be there yet.

    Raises:
        StorageUnavailable: the directory cannot be made or written; the detail names LOCAL_STORAGE_PATH.
    """
    if for_writing:
        await asyncio.to_thread(_prepare, root)
    yield LocalBlobStore(root, for_writing=for_writing)


class LocalBlobStore:
    """See `common.blobs.base.BlobStore`. All methods raise ValueError for what `check_key` refuses."""

    def __init__(self, root: Path, *, for_writing: bool) -> None:
        self._root = root
        self._for_writing = for_writing

    async def put(self, key: str, path: Path) -> BlobStat:
        """See `BlobStore.put`. A file on the same file system is moved, any other is copied and left."""
        target = self._path(key)
        return await asyncio.to_thread(lambda: _describe(key, store_file(path, target, self._root / INCOMING)))

    async def stat(self, key: str) -> BlobStat:
        """See `BlobStore.stat`."""
        target = self._path(key)

        def look() -> BlobStat:
            with present(key):
                return _describe(key, target.stat())

        return await asyncio.to_thread(look)

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.read`. A `start` behind the end yields nothing."""
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
        """See `BlobStore.health`. Writes a byte if it may; `metadata`: the disk's `free_bytes` and `total_bytes`."""
        try:
            usage = await asyncio.to_thread(self._measure)
        except StorageError as exc:
            return Health(NAME, ok=False, error=exc.detail)
        return Health(NAME, ok=True, metadata=usage)

    def _measure(self) -> dict[str, int]:
        with translated("LOCAL_STORAGE_PATH"):
            if self._for_writing:
                probe(self._root / INCOMING)
            else:
                os.scandir(self._root).close()
            usage = shutil.disk_usage(self._root)
        return {"free_bytes": usage.free, "total_bytes": usage.total}

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


class _OpenBlob:
    """A descriptor that threads read from. A read whose caller was cancelled ends before the descriptor is closed."""

    def __init__(self, key: str, path: Path) -> None:
        self._key = key
        self._path = path
        self._descriptor: int | None = None
        self._running: asyncio.Future[object] | None = None

    async def open(self, start: int, length: int | None) -> int:
        """Open at `start` and return how many bytes there are to read."""

        def open_at() -> int:
            with present(self._key):
                self._descriptor = descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                available = max(_describe(self._key, os.fstat(descriptor)).size - start, 0)
                os.lseek(descriptor, start, os.SEEK_SET)
            return available if length is None else min(available, length)

        return await self._hop(open_at)

    async def read(self, left: int) -> list[bytes]:
        """Return the next chunks, `left` bytes at most; an empty list at the end of the file."""

        def read_chunks() -> list[bytes]:
            chunks: list[bytes] = []
            missing = min(left, CHUNK_BYTES * _CHUNKS_PER_HOP)
            with present(self._key):
                while missing and (chunk := os.read(self._require(), min(missing, CHUNK_BYTES))):
                    chunks.append(chunk)
                    missing -= len(chunk)
            return chunks

        return await self._hop(read_chunks)

    def close(self) -> None:
        """Close now, or as soon as the thread lets go of it."""
        if self._running is None or self._running.done():
            self._close()
        else:
            self._running.add_done_callback(lambda _: self._close())

    async def _hop(self, work: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(None, work)
        self._running = cast("asyncio.Future[object]", running)
        return await asyncio.shield(running)

    def _require(self) -> int:
        if self._descriptor is None:
            raise ValueError("read before open")
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _prepare(root: Path) -> None:
    with translated("LOCAL_STORAGE_PATH"):
        incoming = root / INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(incoming)
        try:
            with translated("LOCAL_STORAGE_PATH"):
                probe(incoming)
        except StorageFull as exc:
            # What is stored can still be read, so this is for the health answer and not a reason to stop.
            log.warning("storage.full", detail=exc.detail)


def _describe(key: str, found: os.stat_result) -> BlobStat:
    """Make the etag of what identifies one put: see docs/adr/0003-local-blob-store.md."""
    if not stat.S_ISREG(found.st_mode):
        raise BlobNotFound(key)
    return BlobStat(key, found.st_size, f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}")
