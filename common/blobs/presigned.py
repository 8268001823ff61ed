"""URLs by which others reach one blob for some time without our credentials: a capability that stores may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class PresignedPut:
    """An upload that is allowed once. It must carry exactly these headers, and a body of that length."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@runtime_checkable
class PresignedUrls(Protocol):
    """The capability. Keys are checked as by `BlobStore`; nothing is asked of the server."""

    async def presign_get(self, key: str, *, seconds: int) -> str:
        """Return the URL of a blob, which need not exist yet. Raises StorageUnavailable without credentials."""
        ...

    async def presign_put(
        self, key: str, content_type: str, size: int, *, seconds: int, sha256: bytes | None = None
    ) -> PresignedPut:
        """Allow one upload of exactly `size` bytes to a key that holds no blob yet; `sha256` is the body's digest."""
        ...
