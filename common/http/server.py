"""Serves an ASGI application as one task among others; signals stay with `common.runtime`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from datetime import timedelta

import uvicorn
from starlette.types import ASGIApp

from common.errors import AppError
from common.http.connections import KEEP_ALIVE_SECONDS, Connections
from common.http.protocol import Uploads, protocol_of
from common.launch import inherited_listener, listen_on
from common.tasks import pause

_SHUTDOWN_SECONDS = 5
_PING_SECONDS = 20.0
_MAX_WEBSOCKET_MESSAGE = 4096  # of what clients send
_TICK = timedelta(seconds=1)


class AddressInUse(AppError):
    """The port is in use or not permitted: an operator must choose another."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def main_loop(self) -> None:
        """Renew the Date header once a second until `stop`. uvicorn's main loop wakes ten times a second instead."""
        while not self._stop.is_set():
            await self.on_tick(0)
            await pause(self._stop, _TICK)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do not install handlers: `common.runtime` owns the signals."""
        yield


def listen(
    host: str, port: int, *, prefix: str = "", key: str = "HTTP_PORT", inherited: int | None = None
) -> socket.socket:
    """Bind the socket. Programs do it before opening anything else, so that a port in use is one clear error line.

    `inherited` is the descriptor of a socket that listens already (`common.launch`); it is used instead.

    Raises:
        AddressInUse: the detail names HTTP_HOST and `key`, with this program's `prefix`.
    """
    if inherited is not None:
        return inherited_listener(inherited)
    try:
        return listen_on(host, port)
    except OSError as exc:
        raise AddressInUse(f"{prefix}HTTP_HOST {host}, {prefix}{key} {port}: {exc.strerror}") from exc


async def serve(  # noqa: PLR0913, PLR0917 - the options of a server, each with its default
    app: ASGIApp,
    listener: socket.socket,
    stop: asyncio.Event,
    connections: Connections | None = None,
    trusted_proxies: str = "",
    uploads: Uploads | None = None,
    *,
    websockets: bool = False,
) -> None:
    """Serve until `stop`, then finish the requests in progress, for 5 s at most. `uploads`: requests with large bodies.

    Without `websockets` their library is not loaded, and a handshake is an ordinary request.

    `connections` are shared by the servers of a process, because its descriptors are. X-Forwarded-For and
    X-Forwarded-Proto are believed from `trusted_proxies` only: addresses and networks, separated by commas.
    """
    server = _Server(
        uvicorn.Config(
            app,
            loop="none",
            http=protocol_of(connections or Connections(), uploads=uploads),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            # Without it uvicorn would believe them from 127.0.0.1.
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=trusted_proxies,
            ws=_websocket_protocol() if websockets else "none",
            ws_max_size=_MAX_WEBSOCKET_MESSAGE,
            ws_ping_interval=_PING_SECONDS,
            ws_ping_timeout=_PING_SECONDS,
            # Its state is tens of kilobytes per connection, and the messages are small.
            ws_per_message_deflate=False,
            # The program opens and closes the resources, not the application.
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ),
        stop,
    )
    await server.serve(sockets=[listener])


def _websocket_protocol() -> type[asyncio.Protocol]:
    from common.http.websocket import KeptWebSocketProtocol  # noqa: PLC0415 - loads the library

    return KeptWebSocketProtocol
