"""The server's end of one WebSocket: messages leave in order from plain calls, and the line can be closed or cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.http import WS_CLOSED_MESSAGE

from tests.discord.core import Json


class Line:
    """A WebSocket of the bot. `close_code` is what the bot or we said at the end, None as long as it is open."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._outbox: asyncio.Queue[str | int] = asyncio.Queue()
        self.host = request.host
        self.open = True
        self.close_code: int | None = None

    def send(self, message: Json) -> None:
        """Send it after what was sent before; nothing happens on a line that has ended."""
        self._outbox.put_nowait(json.dumps(message))

    def close(self, code: int) -> None:
        """Close it with this code once everything before is sent."""
        self._outbox.put_nowait(code)

    def cut(self) -> None:
        """Break the TCP connection, without a word."""
        self.open = False
        if self._request.transport is not None:
            self._request.transport.abort()

    async def serve(self, receive: Callable[[Json], None]) -> None:
        """Speak until the line ends. `receive` gets every JSON message."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write())
            try:
                while (message := await self._next()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    if message.type is WSMsgType.TEXT:
                        loaded: Any = json.loads(message.data)
                        receive(loaded)
            finally:
                self.open = False
                self.close_code = self._socket.close_code
                writer.cancel()

    async def _next(self) -> WSMessage:
        try:
            return await self._socket.receive()
        except ConnectionError:  # the bot has said that it closes, and was gone before that was answered
            return WS_CLOSED_MESSAGE

    async def _write(self) -> None:
        while True:
            item = await self._outbox.get()
            try:
                if isinstance(item, int):
                    self.open = False
                    await self._socket.close(code=item)
                else:
                    await self._socket.send_str(item)
            except ConnectionError:  # the bot has gone; `serve` ends by itself
                return


async def open_line(request: web.Request) -> Line:
    """Accept the WebSocket of a request."""
    socket = web.WebSocketResponse(timeout=2.0, max_msg_size=0, compress=False)
    await socket.prepare(request)
    return Line(request, socket)
