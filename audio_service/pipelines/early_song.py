"""A song that can be heard before it is whole: a copy of it grows in the blob store while a child process makes it.

A failure of that copy costs the early start only: the finished file is stored in any case. While the store does not
answer, it is kept for a minute: another attempt of the job would download it again.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from audio_service.audio.drafts import draft_path
from common.blobs.base import BlobStore, GrowingBlob
from common.dca import FRAME_MS, DcaError
from common.dca_blocks import FrameCutter
from common.errors import StorageError, StorageUnavailable
from common.observability.telemetry import get_logger
from common.tasks import running_alongside, time_limit

log = get_logger(__name__)

_POLL_SECONDS = 0.1
# More than enough for a start in one step, at any bit rate.
_CHUNK_BYTES = 1024 * 1024
STORE_PATIENCE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0


class EarlySong:
    """One growing copy. Made by `early_song`.

    Args:
        directory: of the drafts.
        playable: called when a beginning is in the store, once for each draft.
    """

    def __init__(self, blobs: BlobStore, key: str, directory: Path, playable: Callable[[], None]) -> None:
        self._blobs = blobs
        self._key = key
        self._directory = directory
        self._playable = playable
        self._draft: int | None = None
        self._whole: Path | None = None
        self._stored = False
        self._given_up = False
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()

    def can_be_heard(self, draft: int) -> None:
        """Note that this draft has enough for a start."""
        if draft != self._draft:
            self._draft = draft
            self._changed.set()

    async def store(self, path: Path) -> None:
        """Make the finished file, one of the drafts, the blob of its key. Raises StorageError."""
        self._whole = path
        self._changed.set()
        await self._idle.wait()
        if not self._stored:
            await self._put(path)

    async def _put(self, path: Path) -> None:
        """Put the file, again while the store does not answer. Raises StorageError."""
        last_at = time.monotonic() + STORE_PATIENCE_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._blobs.put(self._key, path)
            except StorageUnavailable as exc:
                if exc.needs_operator or time.monotonic() >= last_at:
                    raise
                log.warning("early_song.store_away", key=self._key, detail=exc.detail)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def run(self) -> None:
        """Copy what there is to hear, until the song is whole."""
        copied: int | None = None
        while self._whole is None:
            if self._given_up or self._draft == copied:
                await self._wait_for_change(None)
            elif self._draft is not None:
                copied = self._draft
                await self._copy(copied)
        self._idle.set()

    async def _copy(self, draft: int) -> None:
        try:
            with draft_path(self._directory, draft).open("rb") as file:
                async with self._blobs.grow(self._key) as growing:
                    await self._follow(file, growing, draft)
        except FileNotFoundError:
            return  # there is a newer one
        except StorageError as exc:
            log.warning("early_song.given_up", key=self._key, code=exc.code, detail=exc.detail)
            self._given_up = True

    async def _follow(self, file: BinaryIO, growing: GrowingBlob, draft: int) -> None:
        told = False
        heard = _Heard()
        while draft == self._draft:
            # In this order: what was written before the end must not be missed.
            whole = self._whole
            if data := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                await growing.append(data, lasts=heard.lasts_after(data))
                if not told:
                    told = True
                    self._playable()
            elif whole is not None:
                # Another draft may be the finished one: one that was never announced.
                if await asyncio.to_thread(whole.samefile, draft_path(self._directory, draft)):
                    await growing.commit()
                    self._stored = True
                return
            else:
                await self._wait_for_change(_POLL_SECONDS)

    async def _wait_for_change(self, seconds: float | None) -> None:
        """Wait for a newer draft or the finished file; None: without a limit."""
        with suppress(TimeoutError):
            async with time_limit(seconds):
                await self._changed.wait()
        self._changed.clear()


class _Heard:
    """How far a listener is behind what was copied. Listeners begin when the first of it is there, or later."""

    def __init__(self) -> None:
        self._frames = FrameCutter(skip=sys.maxsize)
        self._began = time.monotonic()
        self._readable = True

    def lasts_after(self, data: bytes) -> float:
        """Return for how many seconds from now a listener has enough, these bytes included; 0 if it is not known."""
        try:
            if self._readable:
                self._frames.feed(data)
        except DcaError:
            self._readable = False
        if not self._readable:
            return 0.0
        return max(0.0, self._frames.frames * FRAME_MS / 1000 - (time.monotonic() - self._began))


@asynccontextmanager
async def early_song(
    blobs: BlobStore, key: str, directory: Path, playable: Callable[[], None]
) -> AsyncGenerator[EarlySong]:
    """Yield a song that grows in the store meanwhile; what was not stored by the end leaves nothing there."""
    song = EarlySong(blobs, key, directory, playable)
    async with running_alongside(song.run()):
        yield song
