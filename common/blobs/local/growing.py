"""Blobs in the making, below a directory of the local store that no key names.

A writer has its file locked for as long as it lives, and the kernel drops the lock with the process. A commit renames
the file, which stays the same file: a follower that has it open sees that the key means this very file by then, and
only then takes its end for the end.
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
from common.blobs.local.descriptor import HeldDescriptor
from common.blobs.local.write import INCOMING, describe, name_file, translated
from common.errors import BlobNotFound, StorageUnavailable

GROWING = ".growing"  # no key begins with a dot
CHUNK_BYTES = 64 * 1024

_LOOK_SECONDS = 0.1
_CHUNKS_PER_HOP = 8


class LocalGrowingBlob:
    """See `common.blobs.base.GrowingBlob`. `open` first, `give_up` last."""

    def __init__(self, key: str, target: Path, root: Path) -> None:
        self._key = key
        self._target = target
        self._path = root / GROWING / f"{_prefix(key)}{time.time_ns():020d}{secrets.token_hex(2)}"
        self._incoming = root / INCOMING / f"{uuid.uuid4().hex}.part"
        self._file = HeldDescriptor()
        self._committed = False

    async def open(self) -> None:
        """Begin. Others who write under the key are overtaken."""

        def begin() -> None:
            with translated(self._key):
                self._path.parent.mkdir(exist_ok=True)
                # It has its lock before anybody can find it.
                self._file.hold(os.open(self._incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
                fcntl.flock(self._file.require(), fcntl.LOCK_EX)
                overtaken = _written(self._path.parent, self._key)
                self._incoming.rename(self._path)
                for path in overtaken:
                    path.unlink(missing_ok=True)

        await self._file.hop(begin)

    async def append(self, data: bytes) -> None:
        """See `GrowingBlob.append`."""

        def write() -> None:
            with translated(self._key):
                self._check_standing()
                left = memoryview(data)
                while left:
                    left = left[os.write(self._file.require(), left) :]

        await self._file.hop(write)

    async def commit(self) -> BlobStat:
        """See `GrowingBlob.commit`."""

        def name() -> BlobStat:
            with translated(self._key):
                self._check_standing()
                found = name_file(self._file.require(), self._path, self._target)
            self._committed = True
            return describe(self._key, found)

        return await self._file.hop(name)

    def give_up(self) -> None:
        """Leave nothing behind but what was committed."""
        self._file.close(self._remove)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            if not self._committed:
                self._incoming.unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)

    def _check_standing(self) -> None:
        if not os.fstat(self._file.require()).st_nlink:
            raise StorageUnavailable(f"{self._key}: another writer began it again")


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
                await asyncio.sleep(_LOOK_SECONDS)
    finally:
        followed.close()


def sweep_growing(root: Path) -> None:
    """Remove what dead writers left. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        for path in (root / GROWING).iterdir():
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                if _unlocked(file.fileno()):
                    path.unlink()


class _Followed:
    """A growing file as its reader has it. Methods for use in turn."""

    def __init__(self, key: str, target: Path, directory: Path) -> None:
        self._key = key
        self._target = target
        self._directory = directory
        self._path = directory
        self._file = HeldDescriptor()

    async def open(self) -> None:
        """Open the newest that is being written. Raises BlobNotFound."""

        def open_newest() -> None:
            with translated(self._key):
                for path in reversed(_written(self._directory, self._key)):
                    with contextlib.suppress(FileNotFoundError):
                        self._file.hold(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                        self._path = path
                        break
                else:
                    raise BlobNotFound(self._key)
            if self._writer_is_gone() and not self._is_committed():
                raise BlobNotFound(self._key)

        await self._file.hop(open_newest)

    async def read(self) -> tuple[list[bytes], bool]:
        """Return what there is beyond what was read before, and whether that was the blob's end.

        Raises:
            StorageUnavailable: there will be no more of it.
        """

        def read_chunks() -> tuple[list[bytes], bool]:
            with translated(self._key):
                # In this order: what was written before the commit must not be missed.
                committed = self._is_committed()
                chunks: list[bytes] = []
                while len(chunks) < _CHUNKS_PER_HOP and (chunk := os.read(self._file.require(), CHUNK_BYTES)):
                    chunks.append(chunk)
                if not chunks and not committed:
                    self._check_standing()
            return chunks, committed and not chunks

        return await self._file.hop(read_chunks)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_committed(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file.require()), self._target.stat())
        return False

    def _check_standing(self) -> None:
        """Raise StorageUnavailable unless it may still grow, or was committed a moment ago."""
        if (self._path.exists() and not self._writer_is_gone()) or self._is_committed():
            return
        raise StorageUnavailable(f"{self._key}: it was given up before its end")

    def _writer_is_gone(self) -> bool:
        return _unlocked(self._file.require())


def _prefix(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest() + "."


def _written(directory: Path, key: str) -> list[Path]:
    """Return what is being written under a key, oldest first: one, but for moments and crashes."""
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
