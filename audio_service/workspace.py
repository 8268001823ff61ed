"""Temporary files: a directory per process, a directory per job, and no leftovers.

A process holds a file lock on its directory while it lives, so a starting process can tell the leftovers of a killed
one from a live one's work.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from common.errors import StorageUnavailable
from common.observability.telemetry import get_logger

log = get_logger(__name__)


class Workspace:
    """This process's directory for jobs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def job(self) -> Generator[Path]:
        """Yield an empty directory for one job; it is removed afterwards, also after an exception."""
        directory = Path(tempfile.mkdtemp(prefix="job-", dir=self.root))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def open_workspace(temp_path: Path) -> Generator[Workspace]:
    """Remove the directories of dead processes below `temp_path`, then yield a workspace there.

    Raises:
        StorageUnavailable: the directory cannot be made or written (TEMP_PATH).
    """
    try:
        temp_path.mkdir(parents=True, exist_ok=True)
        # Sweeping and creating exclude each other: a new directory, not yet locked, would look like a leftover.
        with (temp_path / ".sweep").open("ab") as sweeping:
            fcntl.flock(sweeping, fcntl.LOCK_EX)
            _sweep(temp_path)
            root = Path(tempfile.mkdtemp(prefix="worker-", dir=temp_path)).resolve()
            lock = _lock(root)
    except OSError as exc:
        raise StorageUnavailable(f"TEMP_PATH {temp_path}: {exc.strerror}") from exc
    try:
        yield Workspace(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        lock.close()


def _lock(root: Path) -> IO[bytes]:
    """Return the held lock of a directory. Raises BlockingIOError when a living process holds it."""
    handle = (root / ".lock").open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise
    return handle


def _sweep(temp_path: Path) -> None:
    for directory in temp_path.glob("worker-*"):
        try:
            lock = _lock(directory)
        except BlockingIOError:
            continue
        log.info("workspace.swept", directory=directory.name)
        shutil.rmtree(directory, ignore_errors=True)
        lock.close()
