"""Reads a song's frames from the blob store, or from the audio service if the blob store does not have them.

Yields blocks of frames, in order, from any frame on. An unfinished song is followed to its end: frame N is the same
20 ms in every attempt of its download, so that an interrupted read continues at the frame that was reached. Knows no
Discord; caches nothing but the first frames of the next song.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from bot_service.audio_api import AudioApi, StillBeingMade
from bot_service.store.base import Track
from common.blobs.base import BlobStore
from common.dca import DcaError
from common.dca_blocks import FrameCutter
from common.errors import (
    AppError,
    AudioServiceUnavailable,
    BlobNotFound,
    MediaCorrupt,
    SourceTruncated,
    StorageError,
    StorageUnavailable,
)
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

# 10 s.
HEAD_FRAMES = 500

_PIECE_SECONDS = 10.0
_HEAD_SECONDS = 5.0
# Retry window of an unfinished song without a new frame, and its backoff.
_RETRY_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 2.0
# A piece of 64 KiB is 5 s of music and four minutes of silence.
_BLOCK_FRAMES = 250


@dataclass(frozen=True, slots=True)
class Head:
    """The first frames of a song; `whole`: they are all."""

    video_id: str
    frames: Sequence[bytes]
    whole: bool


class FrameStore:
    """Opens songs. One per process; stateless."""

    def __init__(self, blobs: BlobStore, api: AudioApi) -> None:
        self._blobs = blobs
        self._api = api

    @asynccontextmanager
    async def open(
        self, track: Track, start_frame: int = 0, *, head: Head | None = None
    ) -> AsyncGenerator[AsyncIterator[list[bytes]]]:
        """Open a song at a frame: an iterator of non-empty blocks of frames, to the song's end.

        The blob store is read first. If it fails, even midway, the audio service is read from the frame that was
        reached. `head`, if it is this song's, replaces the first reads. Frames of an unfinished song are yielded as
        they become available; both sources are retried for up to a minute without a new frame.

        Raises (while iterating):
            AppError: neither source has the song (`blob_not_found`, `media_not_found`), neither responds
                (`audio_service_unavailable`), the file is invalid DCA (`media_corrupt`), or an unfinished song was not
                continued (`source_truncated`).
        """
        async with aclosing(self._blocks(track, start_frame, head)) as blocks:
            yield blocks

    async def prefetch(self, track: Track) -> Head:
        """Return the first 10 s, or what is available of them within 5 s. Raises AppError as `open` does."""
        frames: list[bytes] = []
        try:
            async with time_limit(_HEAD_SECONDS), self.open(track) as blocks:
                async for block in blocks:
                    frames += block
                    if len(frames) > HEAD_FRAMES:
                        return Head(track.video_id, frames[:HEAD_FRAMES], whole=False)
        except TimeoutError:
            return Head(track.video_id, frames, whole=False)
        return Head(track.video_id, frames, whole=True)

    async def _blocks(self, track: Track, start: int, head: Head | None) -> AsyncGenerator[list[bytes]]:
        position = start
        if head is not None and head.video_id == track.video_id and start < len(head.frames):
            yield list(head.frames[start:])
            position = len(head.frames)
            if head.whole:
                return
        retries = _RetryWindow()
        while True:
            try:
                async with aclosing(self._read(track, position)) as blocks:
                    async for block in blocks:
                        position += len(block)
                        retries.renew()
                        yield block
            except (StillBeingMade, AudioServiceUnavailable) as exc:
                if not retries.retryable(exc):
                    raise
                log.info("frames.awaited", media_id=track.video_id, frame=position, detail=exc.detail)
                await retries.pause()
            else:
                return

    async def _read(self, track: Track, start: int) -> AsyncGenerator[list[bytes]]:
        """Read what is available now, from a frame on."""
        position = start
        try:
            async with aclosing(_cut(self._stored(track), position)) as blocks:
                async for block in blocks:
                    position += len(block)
                    yield block
        except BlobNotFound as exc:
            tell = log.debug if track.unfinished else log.warning
            tell("frames.blob_not_found", media_id=track.video_id, detail=exc.detail)
        except StorageError as exc:
            log.warning("frames.blob_store_failed", media_id=track.video_id, frame=position, code=exc.code)
        else:
            return
        async with aclosing(_cut(self._served(track), position)) as blocks:
            async for block in blocks:
                yield block

    async def _stored(self, track: Track) -> AsyncGenerator[bytes]:
        pieces = self._blobs.read(track.file_path)
        try:
            while (piece := await _next_piece(pieces)) is not None:
                yield piece
        except ValueError as exc:
            raise BlobNotFound(track.file_path) from exc
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _served(self, track: Track) -> AsyncGenerator[bytes]:
        async with self._api.audio(track.video_id) as body:
            async for piece in body:
                yield piece


class _RetryWindow:
    """Decides how long an unfinished song is retried: exponential backoff, exhausted a minute after the last frame."""

    def __init__(self) -> None:
        self._unfinished = False
        self.renew()

    def renew(self) -> None:
        """Restart the window: a new frame was read."""
        self._since: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    def retryable(self, failure: AppError) -> bool:
        """Whether to retry: once the song was seen unfinished, also while the audio service does not respond."""
        self._unfinished = self._unfinished or isinstance(failure, StillBeingMade)
        return self._unfinished

    async def pause(self) -> None:
        """Back off. Raises SourceTruncated when the window is exhausted."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= _RETRY_SECONDS:
            raise SourceTruncated(f"no new frame for {_RETRY_SECONDS:.0f} s")
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LAST_PAUSE_SECONDS)


async def _cut(pieces: AsyncGenerator[bytes], start: int) -> AsyncGenerator[list[bytes]]:
    cutter = FrameCutter(start)
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                frames = cutter.feed(piece)
                for first in range(0, len(frames), _BLOCK_FRAMES):
                    yield frames[first : first + _BLOCK_FRAMES]
            cutter.end()
        except DcaError as exc:
            raise MediaCorrupt(str(exc)) from exc


async def _next_piece(pieces: AsyncIterator[bytes]) -> bytes | None:
    """Return the next bytes, None at the end. Raises StorageUnavailable after _PIECE_SECONDS without any."""
    try:
        async with time_limit(_PIECE_SECONDS):
            return await anext(pieces, None)
    except TimeoutError as exc:
        raise StorageUnavailable(f"no bytes for {_PIECE_SECONDS:.0f} s") from exc
