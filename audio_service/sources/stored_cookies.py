"""The cookie file of a bucket, `yt-cookies.txt` in its root, kept as a file that children read.

Existing deployments on AWS keep it there. It is looked at every minute by its etag, and may appear, change and
disappear. The copy is this process's alone, readable by its user alone, and ends with the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from common.blobs.base import BlobStore
from common.errors import BlobNotFound, StorageError
from common.observability.telemetry import get_logger
from common.tasks import running_alongside

log = get_logger(__name__)

KEY = "yt-cookies.txt"
_LOOK_SECONDS = 60.0
_MAX_BYTES = 1024 * 1024


class StoredCookies:
    """The copy at `path` of the store's cookie file."""

    def __init__(self, blobs: BlobStore, path: Path) -> None:
        self._blobs = blobs
        self._path = path
        self._etag = ""

    async def refresh(self) -> None:
        """Bring the copy to what the store holds now; while the store does not answer, it stays as it is."""
        try:
            await self._refresh()
        except BlobNotFound:
            self._etag = ""
            self._path.unlink(missing_ok=True)
        except StorageError as exc:
            log.warning("cookies.store_away", detail=exc.detail)

    async def keep(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.refresh()

    async def _refresh(self) -> None:
        found = await self._blobs.stat(KEY)
        if found.etag == self._etag:
            return
        if found.size > _MAX_BYTES:
            log.warning("cookies.unusable", reason="larger than a cookie file can be")
            return
        text = b"".join([chunk async for chunk in self._blobs.read(KEY)])
        draft = self._path.with_suffix(".draft")
        draft.touch(0o600)
        draft.write_bytes(text)
        draft.replace(self._path)
        self._etag = found.etag
        log.info("cookies.copied", size=len(text))


@asynccontextmanager
async def keeping_stored_cookies(blobs: BlobStore, path: Path) -> AsyncGenerator[None]:
    """Keep the copy at `path` while the context is open."""
    cookies = StoredCookies(blobs, path)
    await cookies.refresh()
    async with running_alongside(cookies.keep()):
        yield
