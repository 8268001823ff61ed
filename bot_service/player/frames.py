"""Where a song's frames come from: the blob store, or the audio service when that has not got them.

Gives blocks of frames, in order, from any frame on. Refuses to know Discord, and to keep more of a song in memory than
the beginning of one that is next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from bot_service.audio_api import AudioApi
from bot_service.player.dca_blocks import FrameCutter
from bot_service.player.track import Track
from common.blobs.base import BlobStore
from common.dca import DcaError
from common.errors import BlobNotFound, MediaCorrupt, StorageError, StorageUnavailable
from common.telemetry import get_logger

log = get_logger(__name__)

# 10 s.
HEAD_FRAMES = 500

_PIECE_SECONDS = 10.0
# A piece of 64 KiB is 5 s of music and four minutes of silence.
_BLOCK_FRAMES = 250


@dataclass(frozen=True, slots=True)
class Head:
    """The first frames of a song; `whole` when there are no others."""

    video_id: str
    frames: Sequence[bytes]
    whole: bool


class FrameStore:
    """Opens songs. One for the process: it keeps nothing itself, `prefetch` gives a head to whoever plays next."""

    def __init__(self, blobs: BlobStore, api: AudioApi) -> None:
        self._blobs = blobs
        self._api = api

    @asynccontextmanager
    async def open(
        self, track: Track, start_frame: int = 0, *, head: Head | None = None
    ) -> AsyncGenerator[AsyncIterator[list[bytes]]]:
        """Open a song at a frame: an iterator of blocks of frames (lists that are not empty), to the song's end.

        The blob store is read first. When it fails, even midway, the audio service's copy is read from the frame that
        was reached. `head` gives the first frames, if it is this song's.

        Raises (while iterating):
            AppError: neither has the song (`blob_not_found`, `media_not_found`), both are away
                (`audio_service_unavailable`), or the file is no sound DCA (`media_corrupt`).
        """
        async with aclosing(self._blocks(track, start_frame, head)) as blocks:
            yield blocks

    async def prefetch(self, track: Track) -> Head:
        """Return the first 10 s. Raises AppError as `open` does."""
        frames: list[bytes] = []
        async with self.open(track) as blocks:
            async for block in blocks:
                frames += block
                if len(frames) > HEAD_FRAMES:
                    return Head(track.video_id, frames[:HEAD_FRAMES], whole=False)
        return Head(track.video_id, frames, whole=True)

    async def _blocks(self, track: Track, start: int, head: Head | None) -> AsyncGenerator[list[bytes]]:
        position = start
        if head is not None and head.video_id == track.video_id and start < len(head.frames):
            yield list(head.frames[start:])
            position = len(head.frames)
            if head.whole:
                return
        try:
            async with aclosing(_cut(self._stored(track), position)) as blocks:
                async for block in blocks:
                    position += len(block)
                    yield block
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
            while (piece := await _next_piece(body)) is not None:
                yield piece


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
    """Return the next bytes, None at the end; a source that gives nothing for long is one that is away."""
    try:
        async with asyncio.timeout(_PIECE_SECONDS):
            return await anext(pieces, None)
    except TimeoutError as exc:
        raise StorageUnavailable(f"no bytes for {_PIECE_SECONDS:.0f} s") from exc
