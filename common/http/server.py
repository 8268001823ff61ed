"""Serves a program's HTTP application beside its other tasks, without taking over the process's signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from datetime import timedelta

import uvicorn
from starlette.types import ASGIApp

from common.errors import AppError
from common.http.protocol import BoundedHttpToolsProtocol
from common.tasks import pause

_SHUTDOWN_SECONDS = 5
_TICK = timedelta(seconds=1)


class AddressInUse(AppError):
    """The port is taken, or not ours to take: an operator must choose another."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def main_loop(self) -> None:
        """Renew the Date header once a second until `stop`. uvicorn's own loop wakes ten times a second to look."""
        while not self._stop.is_set():
            await self.on_tick(0)
            await pause(self._stop, _TICK)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `common.runtime`, which owns them."""
        yield


def listen(host: str, port: int, *, prefix: str = "", key: str = "HTTP_PORT") -> socket.socket:
    """Bind before anything else is opened, so that a taken port is one clear line.

    Raises:
        AddressInUse: names the keys HTTP_HOST and `key`, with the `prefix` they have in this program.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        raise AddressInUse(f"{prefix}HTTP_HOST {host}, {prefix}{key} {port}: {exc.strerror}") from exc


async def serve(app: ASGIApp, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve until `stop`, then finish the answers under way."""
    server = _Server(
        uvicorn.Config(
            app,
            loop="none",
            http=BoundedHttpToolsProtocol,
            ws="none",
            # Resources belong to the program, not to the application.
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ),
        stop,
    )
    await server.serve(sockets=[listener])
