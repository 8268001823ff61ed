"""Which blobs there are: a capability that stores may have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Listed:
    """A blob, and how long ago it was stored."""

    key: str
    age: timedelta


@runtime_checkable
class ListedBlobs(Protocol):
    """The capability."""

    def blobs_in(self, folder: str) -> AsyncIterator[Listed]:
        """Yield what is stored under keys of `folder`, a key's first segments. Raises StorageUnavailable.

        What is stored or deleted meanwhile may be among it or not.
        """
        ...
