"""DCA to Ogg Opus while it is sent: a synchronous conversion that reads from an asynchronous source.

`dca_to_ogg` runs in a worker thread, a few pages at a time, and fetches blocks of the blob from the event loop. The
threads have a limiter apart from the one in which blob stores read files: with one pool, threads that wait for each
other would deadlock when it is full. Memory is one block, whatever the song's length.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Self, TypeVar

import anyio
import anyio.to_thread

from audio_service.api.streaming import close_source
from audio_service.audio.ogg import dca_to_ogg
from common.dca import DcaError, DcaReader
from common.errors import MediaCorrupt

if TYPE_CHECKING:
    from typing_extensions import Buffer

THREADS = 8
_CHUNK_BYTES = 64 * 1024

T = TypeVar("T")


class OggChunks:
    """The Ogg file of a DCA blob, in chunks of about 64 KiB."""

    def __init__(self, source: AsyncIterator[bytes], threads: anyio.CapacityLimiter) -> None:
        self._source = source
        self._threads = threads
        self._pages: Iterator[bytes] = iter(())

    @classmethod
    async def open(cls, source: AsyncIterator[bytes], threads: anyio.CapacityLimiter, *, title: str = "") -> Self:
        """Read the header. Closes the source when that fails.

        Raises:
            BlobNotFound, StorageUnavailable: from the source.
            MediaCorrupt: it is not DCA.
        """
        chunks = cls(source, threads)
        file = io.BufferedReader(_Blob(source, asyncio.get_running_loop()), _CHUNK_BYTES)
        try:
            reader = await chunks._in_thread(lambda: DcaReader(file))
        except DcaError as exc:
            await chunks.aclose()
            raise MediaCorrupt(str(exc)) from exc
        except BaseException:
            await chunks.aclose()
            raise
        channels = reader.metadata.opus.channels if reader.metadata else 2
        chunks._pages = dca_to_ogg(reader, channels=channels if channels in {1, 2} else 2, title=title)
        return chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next pages. Raises MediaCorrupt where the stored file is damaged."""
        try:
            chunk = await self._in_thread(self._next_chunk)
        except DcaError as exc:
            raise MediaCorrupt(str(exc)) from exc
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close the blob."""
        await close_source(self._source)

    def _next_chunk(self) -> bytes:
        chunk = bytearray()
        for page in self._pages:
            chunk += page
            if len(chunk) >= _CHUNK_BYTES:
                break
        return bytes(chunk)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        step = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=self._threads))
        try:
            return await asyncio.shield(step)
        finally:
            # Also when cancelled: the source must not be closed while the thread reads it.
            await asyncio.wait([step])


class _Blob(io.RawIOBase):
    """A blob as a synchronous file, for threads other than the event loop's. Does not close the source."""

    def __init__(self, source: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._source = source
        self._loop = loop
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill from the rest of the last block, else from a new one."""
        if not self._rest:
            self._rest = memoryview(asyncio.run_coroutine_threadsafe(_next_block(self._source), self._loop).result())
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


async def _next_block(source: AsyncIterator[bytes]) -> bytes:
    return await anext(source, b"")
