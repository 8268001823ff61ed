"""A streamed response that closes its source deterministically, whichever side ends the exchange.

Starlette's StreamingResponse leaves an interrupted generator, and the file it holds open, to the garbage collector.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Protocol, Self

from prometheus_client import Counter
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from common.tasks import running_alongside


class Chunks(Protocol):
    """An iterator of bytes that can be closed early."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate once."""
        ...

    async def aclose(self) -> None:
        """Release all resources; idempotent, and allowed at any time."""
        ...


class PrefetchedSource:
    """A source whose first chunk is already read, so that an error at its beginning can still become an error response.

    A class and not a generator: closing a generator that was never started runs none of its code.
    """

    def __init__(self, first: bytes, source: AsyncIterator[bytes]) -> None:
        self._first = first
        self._source = source

    @classmethod
    async def open(cls, source: AsyncIterator[bytes]) -> Self:
        """Read the first chunk. Raises what the source raises, after closing it."""
        try:
            return cls(await anext(source, b""), source)
        except BaseException:
            await close_source(source)
            raise

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk."""
        if self._first:
            first, self._first = self._first, b""
            return first
        return await anext(self._source)

    async def aclose(self) -> None:
        """Close the source."""
        await close_source(self._source)


class StreamResponse(Response):
    """Sends chunks as fast as the client reads them. Has a Content-Length only when `headers` has one.

    An exception of the source after the head is sent is raised: the server cuts the connection, so that the client does
    not take a part for the whole.
    """

    def __init__(self, chunks: Chunks, *, status_code: int, headers: Mapping[str, str], disconnects: Counter) -> None:
        self.status_code = status_code
        self.background = None
        self._chunks = chunks
        self._disconnects = disconnects
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all chunks, or as many as the client reads before it disconnects."""
        del scope
        async with aclosing(self._chunks):
            try:
                async with running_alongside(_until_disconnected(receive)):
                    await self._send_all(send)
            except ClientDisconnect:
                self._disconnects.inc()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def close_source(source: AsyncIterator[bytes]) -> None:
    """Close a blob that is being read, and the file that it holds open."""
    if isinstance(source, AsyncGenerator):
        await source.aclose()


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect
