"""uvicorn's httptools protocol with limits on a request's size and time, and on the number of connections.

httptools, unlike h11, has none: it buffers a URL or header without limit. Without a limit uvicorn would receive and
discard bodies of any length. uvicorn waits for ever for a request's end, and for the first byte of a new connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from common.http.connections import HEAD_SECONDS, Connections

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024
CONNECTION = "butakero.connection"
"""The scope's key of its connection: a `LentConnection`, a `KeptSocket`."""
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 106\r\n\r\n"
    b'{"error":{"code":"rate_limited","message":"Demasiadas conexiones / too many connections"},"success":false}'
)


class LentConnection(Protocol):
    """An HTTP connection that an application keeps open to tell of changes."""

    def lend(self) -> None:
        """Count it no more among the connections: the application bounds how many it keeps."""
        ...

    def close(self) -> None:
        """Close it without waiting for its other end."""
        ...


class KeptSocket(Protocol):
    """A WebSocket that stays open after the application that accepted it has returned."""

    def keep(self, on_gone: Callable[[], None]) -> None:
        """Keep it open, and call `on_gone` once it is lost."""
        ...

    def push(self, text: str) -> None:
        """Send a text at once; one whose other end does not read is closed."""
        ...

    def hang_up(self, code: int) -> None:
        """Close it without waiting for its other end."""
        ...


@dataclass(frozen=True, slots=True)
class Uploads:
    """The one kind of request with a large body: PUT below `prefix`, of at most `max_bytes`. It may take any time, as
    long as some of it arrives within `head_seconds`.
    """

    prefix: str
    max_bytes: int

    def takes(self, method: str, path: str) -> bool:
        """Whether this is such a request."""
        return method == "PUT" and path.startswith(self.prefix)


class BoundedHttpToolsProtocol(HttpToolsProtocol):
    """Answers 400 to a head over MAX_HEAD_BYTES, or without exactly one Host; closes the connection then.

    It is also closed for a body over MAX_BODY_BYTES, and for a request that takes longer than `head_seconds` to arrive.
    `open_connections` bounds how many there are; `protocol_of` sets it.
    """

    open_connections: ClassVar[Connections]
    head_seconds: ClassVar[float] = HEAD_SECONDS
    uploads: ClassVar[Uploads | None] = None

    _head_bytes = 0
    _body_bytes = 0
    _uploading = False
    _in_head = True
    _refused = False
    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison] - None at first

    def close(self) -> None:
        """Close the connection without waiting for the other end."""
        self.transport.abort()

    def lend(self) -> None:
        """Count it no more."""
        self.open_connections.remove(self)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket's protocol, which is told when it is lost; this one is not."""
        self._disarm()
        self._unset_keepalive_if_required()
        self.lend()
        super().handle_websocket_upgrade()

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as in the base class
        """Admit the connection, or refuse it where there is no room."""
        super().connection_made(transport)
        if not self.open_connections.admit(self):
            self._refused = True
            transport.write(_FULL)
            transport.close()
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another one."""
        self._disarm()
        self.open_connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the head."""
        if self._refused:
            return
        if self._deadline is None and self._in_head:
            self._arm()
        super().data_received(data)
        # What ends an upload is no head, although the next one is waited for.
        self._head_bytes = self._head_bytes + len(data) if self._in_head and not self._uploading else 0
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        self._uploading = False
        self.open_connections.touch(self)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        self._body_bytes = 0
        hosts = sum(name == b"host" for name, _ in self.headers)
        # RFC 9112 §3.2: a proxy in front may take another one of two for the real one.
        if hosts > 1 or (hosts == 0 and self._version() == "1.1"):
            self._refused = True
            self.send_400_response("Exactly one Host header is expected.")
            return
        # The application's task has not begun yet when this returns.
        super().on_headers_complete()
        scope = self.scope
        scope[CONNECTION] = self  # pyright: ignore[reportGeneralTypeIssues] - a key of our own
        self._uploading = self.uploads is not None and self.uploads.takes(scope["method"], scope.get("path", ""))

    def on_body(self, body: bytes) -> None:
        """Count the bytes of a body, with or without Content-Length."""
        self._body_bytes += len(body)
        limit = MAX_BODY_BYTES
        if self._uploading and self.uploads is not None:
            limit = self.uploads.max_bytes
            self._disarm()
            self._arm()
        if self._body_bytes > limit:
            self.transport.close()
            return
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes belong to the next request's head."""
        self._disarm()
        if not self._refused:
            super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is not used any more."""
        if not self.transport.is_closing():
            self.open_connections.count_closed("idle")
        super().timeout_keep_alive_handler()

    def _version(self) -> str:
        return "" if self.parser is None else self.parser.get_http_version()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self._on_deadline)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.open_connections.count_closed("head_timeout")
            self.close()


def protocol_of(
    connections: Connections, *, head_seconds: float = HEAD_SECONDS, uploads: Uploads | None = None
) -> type[BoundedHttpToolsProtocol]:
    """Return the protocol of the servers that share `connections`: uvicorn makes one object of it per connection."""
    return type(
        "_Protocol",
        (BoundedHttpToolsProtocol,),
        {"open_connections": connections, "head_seconds": head_seconds, "uploads": uploads},
    )
