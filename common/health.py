"""The result of a health check, the same for every port, and the check of a disk that several of them share."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIN_FREE_BYTES = 16 * 1024 * 1024
"""With less than this a disk is full: the next song, or a database's journal, has no room on it."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Health:
    """`name` is the key under `services` in the health answer, `metadata` the value that the contract defines there.

    `error` is the cause for operators; it may contain addresses and paths, and is only logged. `disk_full`: what works
    again once there is room.
    """

    name: str
    ok: bool
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""
    disk_full: bool = False


def probe_disk(directory: Path) -> None:
    """Write to the directory's disk, and leave nothing there.

    An open database says nothing of its disk: taking a lock writes nothing, and a journal has room from earlier.

    Raises:
        OSError: the disk is read-only or fails; with an errno of NO_ROOM, full.
    """
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"0")
    if shutil.disk_usage(directory).free < MIN_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file apart from another one of that name; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
