"""uvicorn's WebSocket protocol, for connections that are kept to be told of changes.

A kept connection outlives the application that accepted it: 10,000 tasks with their frames would take twice the memory
of the connections. uvicorn's own close waits until everything is sent: for ever, when the other end does not read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from common.http.protocol import CONNECTION

MAX_UNSENT_BYTES = 256 * 1024
"""A kept connection that is behind by more is closed."""


class KeptWebSocketProtocol(WebSocketsSansIOProtocol):
    """Closed without waiting after a ping without an answer, when it does not read, and at the process's end."""

    _on_gone: Callable[[], None] | None = None

    def keep(self, on_gone: Callable[[], None]) -> None:
        """Stay open when the application returns, and call `on_gone` once the connection is lost. Input is ignored."""
        if self.disconnected:
            on_gone()
            return
        self._on_gone = on_gone
        if self.read_paused:  # by what came before
            self.read_paused = False
            self.transport.resume_reading()

    def push(self, text: str) -> None:
        """Send a text at once, or give a connection up that does not read."""
        if self.close_sent or self.transport.is_closing():
            return
        with suppress(InvalidState):  # the other end closes it
            self.conn.send_text(text.encode())
            self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()

    def hang_up(self, code: int) -> None:
        """Close the connection, without waiting for the other end."""
        if not (self.close_sent or self.transport.is_closing()):
            with suppress(InvalidState):
                self.conn.send_close(code)
                self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self._close()

    def handle_connect(self, event: Request) -> None:
        """Start the application, which is given its connection."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope[CONNECTION] = self  # pyright: ignore[reportGeneralTypeIssues] - a key of our own

    async def run_asgi(self) -> None:
        """Run the application; as in the base class, but for a connection that is kept."""
        try:
            await self.app(self.scope, self.receive, self.send)  # pyright: ignore[reportUnknownMemberType] - uvicorn's
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        if self._on_gone is not None:
            # What the handshake was made of is of no use any more.
            del self.scope, self.request, self.response
        elif self.close_timer is None:
            self._close()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, or drop it where there is no application any more."""
        if self._on_gone is None:
            super().send_receive_event_to_app()
        else:
            self.frames = []

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection's keeper."""
        super().connection_lost(exc)
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()

    def keepalive_timeout(self) -> None:
        """Close: the last ping was not answered."""
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        """Close at the process's end."""
        super().shutdown()
        self._close()

    def _close(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
