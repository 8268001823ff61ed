"""Blobs that are being written, as files in a directory of the local store that no key names.

A writer holds an advisory lock on its file, which the kernel releases when the process dies. A commit renames the file
to its key; the inode stays the same. A follower that has the file open compares it with the key's file, and takes
end-of-file for the blob's end only if they are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import time
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

from common.blobs.base import BlobStat
from common.blobs.local.descriptor import OwnedDescriptor
from common.blobs.local.write import INCOMING, commit_file, describe, translated
from common.errors import BlobNotFound, StorageUnavailable

GROWING = ".growing"  # no key begins with a dot
CHUNK_BYTES = 64 * 1024

_POLL_SECONDS = 0.1
_CHUNKS_PER_READ = 8


class LocalGrowingBlob:
    """See `common.blobs.base.GrowingBlob`. Call `open` first, `close` last."""

    def __init__(self, key: str, target: Path, root: Path) -> None:
        self._key = key
        self._target = target
        self._path = root / GROWING / f"{_prefix(key)}{time.time_ns():020d}{secrets.token_hex(2)}"
        self._incoming = root / INCOMING / f"{uuid.uuid4().hex}.part"
        self._file = OwnedDescriptor()
        self._committed = False

    async def open(self) -> None:
        """Create the file. Other writers of the key are superseded."""

        def begin() -> None:
            with translated(self._key):
                self._path.parent.mkdir(exist_ok=True)
                # It is locked before a follower or a sweep can find it.
                self._file.own(os.open(self._incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
                fcntl.flock(self._file.require(), fcntl.LOCK_EX)
                superseded = _written(self._path.parent, self._key)
                self._incoming.rename(self._path)
                for path in superseded:
                    path.unlink(missing_ok=True)

        await self._file.run_in_thread(begin)

    async def append(self, data: bytes, *, lasts: float = 0.0) -> None:
        """See `GrowingBlob.append`. Followers read the file itself: at once, whatever `lasts` says."""
        del lasts

        def write() -> None:
            with translated(self._key):
                self._check_alive()
                left = memoryview(data)
                while left:
                    left = left[os.write(self._file.require(), left) :]

        await self._file.run_in_thread(write)

    async def commit(self) -> BlobStat:
        """See `GrowingBlob.commit`."""

        def name() -> BlobStat:
            with translated(self._key):
                self._check_alive()
                found = commit_file(self._file.require(), self._path, self._target)
            self._committed = True
            return describe(self._key, found)

        return await self._file.run_in_thread(name)

    def close(self) -> None:
        """Close the file, and remove it unless it was committed."""
        self._file.close(self._remove)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            if not self._committed:
                self._incoming.unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)

    def _check_alive(self) -> None:
        if not os.fstat(self._file.require()).st_nlink:
            raise StorageUnavailable(f"{self._key}: another writer has superseded this one")


async def follow(key: str, target: Path, root: Path) -> AsyncGenerator[bytes]:
    """See `BlobStore.follow`."""
    followed = _Followed(key, target, root / GROWING)
    try:
        await followed.open()
        while True:
            chunks, ended = await followed.read()
            for chunk in chunks:
                yield chunk
            if ended:
                return
            if not chunks:
                await asyncio.sleep(_POLL_SECONDS)
    finally:
        followed.close()


def sweep_growing(root: Path) -> None:
    """Remove the files of dead writers. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        for path in (root / GROWING).iterdir():
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                if _unlocked(file.fileno()):
                    path.unlink()


class _Followed:
    """A growing file that is open for reading. One call at a time."""

    def __init__(self, key: str, target: Path, directory: Path) -> None:
        self._key = key
        self._target = target
        self._directory = directory
        self._path = directory
        self._file = OwnedDescriptor()

    async def open(self) -> None:
        """Open the newest file that is being written. Raises BlobNotFound."""

        def open_newest() -> None:
            with translated(self._key):
                for path in reversed(_written(self._directory, self._key)):
                    with contextlib.suppress(FileNotFoundError):
                        self._file.own(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                        self._path = path
                        break
                else:
                    raise BlobNotFound(self._key)
            if self._writer_is_dead() and not self._is_committed():
                raise BlobNotFound(self._key)

        await self._file.run_in_thread(open_newest)

    async def read(self) -> tuple[list[bytes], bool]:
        """Return the chunks appended since the last call, and whether the blob has ended.

        Raises:
            StorageUnavailable: it was discarded or superseded.
        """

        def read_chunks() -> tuple[list[bytes], bool]:
            with translated(self._key):
                # The commit is checked before reading, so bytes appended before it are not missed.
                committed = self._is_committed()
                chunks: list[bytes] = []
                while len(chunks) < _CHUNKS_PER_READ and (chunk := os.read(self._file.require(), CHUNK_BYTES)):
                    chunks.append(chunk)
                if not chunks and not committed:
                    self._check_alive()
            return chunks, committed and not chunks

        return await self._file.run_in_thread(read_chunks)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_committed(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file.require()), self._target.stat())
        return False

    def _check_alive(self) -> None:
        """Raise StorageUnavailable unless its writer is alive, or it was committed since the last check."""
        if (self._path.exists() and not self._writer_is_dead()) or self._is_committed():
            return
        raise StorageUnavailable(f"{self._key}: its writer discarded it")

    def _writer_is_dead(self) -> bool:
        return _unlocked(self._file.require())


def _prefix(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest() + "."


def _written(directory: Path, key: str) -> list[Path]:
    """Return the files being written under a key, oldest first; more than one only briefly, and after crashes."""
    try:
        return sorted(directory.glob(f"{_prefix(key)}*"))
    except FileNotFoundError:
        return []


def _unlocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True
