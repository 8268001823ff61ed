"""A network that can be cut: a TCP forwarder on 127.0.0.1 in front of a server.

`cut` closes every connection at once and refuses new ones, as when a host is down. `hang` keeps connections and accepts
new ones, and forwards nothing, as when packets are dropped; what is in flight arrives after `restore`. Forwards bytes;
knows no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_HOST = "127.0.0.1"
_BLOCK = 65_536


class Forwarder:
    """See the module. Made by `open_forwarder`."""

    def __init__(self, target: str, port: int) -> None:
        self._target = target
        self._port = port
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """host:port, for clients."""
        return f"{_HOST}:{self._port}"

    async def restore(self) -> None:
        """Let everything through."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, _HOST, self._port, reuse_address=True)

    async def cut(self) -> None:
        """End every connection, and refuse new ones until `restore`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._running:
            connection.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def hang(self) -> None:
        """Let nothing through until `restore`."""
        self._flows.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._running.add(connection)
        try:
            # A cut connection is expected: its task has nothing to report.
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await self._join(reader, writer)
        finally:
            writer.transport.abort()
            self._running.discard(connection)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        host, _, port = self._target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        try:
            there = asyncio.ensure_future(self._pump(reader, far_writer))
            back = asyncio.ensure_future(self._pump(far_reader, writer))
            try:
                # If one side closes, both are closed: no protocol here sends anything after a half close.
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(_BLOCK):
            await self._flows.wait()
            writer.write(block)
            await writer.drain()


@asynccontextmanager
async def open_forwarder(target: str, port: int) -> AsyncGenerator[Forwarder]:
    """Forward a reserved port (`free_port`) to `target` ("host:port") until the block ends."""
    forwarder = Forwarder(target, port)
    await forwarder.restore()
    try:
        yield forwarder
    finally:
        await forwarder.cut()
