"""uvicorn's WebSocket protocol, which gives a connection up whose other end does not read.

uvicorn closes the transport, which waits until everything is sent: for ever, when it is not read.
"""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from common.http.protocol import CONNECTION


class AbortingWebSocketProtocol(WebSocketsSansIOProtocol):
    """Closed without waiting after a ping without an answer, and at the process's end."""

    def lend(self) -> None:
        """No-op: it is not among the connections since the handshake."""

    def close(self) -> None:
        """Close the connection without waiting for the other end."""
        self.transport.abort()

    def handle_connect(self, event: Request) -> None:
        """Start the application, which is given its connection."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope[CONNECTION] = self  # pyright: ignore[reportGeneralTypeIssues] - a key of our own

    def keepalive_timeout(self) -> None:
        """Close: the last ping was not answered."""
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        """Close at the process's end."""
        super().shutdown()
        if self.transport.get_write_buffer_size():
            self.transport.abort()
