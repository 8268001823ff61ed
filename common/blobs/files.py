"""Blobs as files of this machine, which other programs may read: a capability that stores may have."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class LocalFiles(Protocol):
    """The capability. Keys are checked as by `BlobStore`."""

    def path_of(self, key: str) -> Path:
        """Return where a blob is; it need not exist. The file is never changed, but may be replaced or deleted."""
        ...
