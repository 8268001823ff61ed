"""The writing side of the local blob store: atomic, durable renames, and the temporary files of dead writers.

All functions block. A writer holds an advisory lock on its temporary file, which the kernel releases when the process
dies. So an unlocked file is a leftover; process ids would not tell, because containers share them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
import uuid
from collections.abc import Generator
from pathlib import Path

from common.blobs.base import BlobStat
from common.errors import BlobNotFound, StorageFull, StorageUnavailable
from common.health import NO_ROOM
from common.observability.telemetry import get_logger

log = get_logger(__name__)

INCOMING = ".incoming"  # no key begins with a dot
LEFTOVER_SECONDS = 60.0  # longer than the time between creating a temporary file and locking it

_MODE = 0o644  # the bot may run as another user
_NANOSECONDS = 1_000_000_000
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@contextlib.contextmanager
def translated(subject: str) -> Generator[None]:
    """Turn OSError into StorageFull or StorageUnavailable about `subject` (a key or a setting)."""
    try:
        yield
    except OSError as exc:
        kind = StorageFull if exc.errno in NO_ROOM else StorageUnavailable
        raise kind(f"{subject}: {exc.strerror or exc}") from exc


@contextlib.contextmanager
def present(key: str) -> Generator[None]:
    """Like `translated`, but raise BlobNotFound if the file does not exist."""
    with translated(key):
        try:
            yield
        except _ABSENT as exc:
            raise BlobNotFound(key) from exc


def store_file(source: Path, target: Path, incoming: Path) -> os.stat_result:
    """Move or copy the file at `source` to `target`, atomically; return when file and directory entry are on the disk.

    Raises:
        StorageFull, StorageUnavailable: `target` is unchanged.
    """
    with translated(target.name):
        _make_directories(target.parent)
        found = _move(source, target) if _movable(source, incoming) else None
        found = found or _copy(source, target, incoming)
        sync_directory(target.parent)
    return found


def commit_file(descriptor: int, path: Path, target: Path) -> os.stat_result:
    """Sync an open file of this file system, then rename it from `path` to `target`, durably. Raises OSError."""
    _make_directories(target.parent)
    found = _sync(descriptor)
    path.rename(target)
    sync_directory(target.parent)
    return found


def describe(key: str, found: os.stat_result) -> BlobStat:
    """Return the blob's size and etag (docs/adr/0003-local-blob-store.md). Raises BlobNotFound."""
    if not stat.S_ISREG(found.st_mode):
        raise BlobNotFound(key)
    return BlobStat(key, found.st_size, f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}")


def sweep_leftovers(incoming: Path) -> None:
    """Remove temporary files of dead writers: older than LEFTOVER_SECONDS, and not locked."""
    for path in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS and _unlocked(path):
                path.unlink()
                log.info("storage.leftover_removed", name=path.name)


def sync_directory(directory: Path) -> None:
    """Sync the directory's entries to the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directories(directory: Path) -> None:
    if directory.is_dir():
        return
    _make_directories(directory.parent)
    directory.mkdir(exist_ok=True)
    sync_directory(directory.parent)


def _movable(source: Path, incoming: Path) -> bool:
    found = source.lstat()
    # A file with another hard link could be changed through it after it was stored.
    return (
        source.is_file() and not source.is_symlink() and found.st_nlink == 1 and found.st_dev == incoming.stat().st_dev
    )


def _move(source: Path, target: Path) -> os.stat_result | None:
    """Return None if a rename is impossible although both are on one device (bind mounts)."""
    with source.open("rb") as file:
        found = _sync(file.fileno())
        try:
            source.rename(target)
        except OSError as exc:
            if exc.errno == errno.EXDEV:
                return None
            raise
    return found


def _copy(source: Path, target: Path, incoming: Path) -> os.stat_result:
    temporary = incoming / f"{uuid.uuid4().hex}.part"
    with source.open("rb") as original, temporary.open("xb") as copy:
        fcntl.flock(copy.fileno(), fcntl.LOCK_EX)
        try:
            shutil.copyfileobj(original, copy, 1024 * 1024)
            copy.flush()
            found = _sync(copy.fileno())
            temporary.rename(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return found


def _sync(descriptor: int) -> os.stat_result:
    """Sync the file, after giving it a unique modification time, from which the etag is made."""
    os.fchmod(descriptor, _MODE)
    now = int(time.time())
    os.utime(descriptor, ns=(now * _NANOSECONDS, now * _NANOSECONDS + secrets.randbelow(_NANOSECONDS)))
    os.fsync(descriptor)
    return os.fstat(descriptor)


def _unlocked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
