"""The proxy through which the bot reaches the fake: whatever host it asks for (CONNECT), it gets our TLS port.

`down()` is a network outage: every connection breaks, and none can be made until `up()`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_BLOCK = 64 * 1024


class Proxy:
    """The running proxy. `hosts` is every host:port that was asked for, in order; `refused` those of them that were."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._up = True
        self.hosts: list[str] = []
        self.refused: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        """What DISCORD_PROXY must be."""
        return f"http://127.0.0.1:{self.port}"

    def down(self) -> None:
        """Break every connection and refuse new ones."""
        self._up = False
        self.cut()

    def up(self) -> None:
        """Let connections pass again."""
        self._up = True

    def cut(self) -> None:
        """Break every connection; new ones pass."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.add(writer)
        try:
            await self._connect(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b" ", 2)
        self.hosts.append(target.decode())
        if method != b"CONNECT" or not self._up:
            self.refused.append(target.decode())
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            return
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers.add(there)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_copy(reader, there))
                tasks.create_task(_copy(there_reader, writer))
        finally:
            self._writers.discard(there)
            there.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then end the target, so that the other direction ends, too."""
    try:
        while block := await source.read(_BLOCK):
            target.write(block)
            await target.drain()
    except ConnectionError:
        target.transport.abort()
    finally:
        target.close()


@asynccontextmanager
async def open_proxy(target_port: int) -> AsyncGenerator[Proxy]:
    """Serve a proxy on a free port of 127.0.0.1."""
    proxy = Proxy(target_port)
    server = await asyncio.start_server(proxy.pass_through, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
