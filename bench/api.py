"""The look-up by id against an empty FastAPI route, under one server (uvicorn, uvloop, httptools) and one load.

The server is a process of its own and holds both: our application on real embedded backends, and a FastAPI application
that has nothing but an empty route, without our middleware. Rounds alternate; the medians are compared. The load comes
from `wrk` where it is installed, else from plain sockets in this process.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from audio_service.api.app import create_app
from bench.table import Row
from common.http_server import serve
from common.runtime import run
from common.telemetry import configure_logging
from tests.unit.audio_service.api.library import add_song, open_deps

CONNECTIONS = 32
ROUNDS = 5
SECONDS = 2.0
TARGET = 0.5

_EMPTY = "/empty"
_LOOK_UP = "/api/v1/media/?video_id=k2qgadSvNyU"
_TITLE = "Dua Lipa - New Rules (Official Music Video)"


def rows(directory: Path, *, full: bool) -> list[Row]:  # noqa: ARG001 - a suite's signature
    """Run the comparison. Ratio: our requests per second over the empty route's."""
    rounds, seconds = ROUNDS, SECONDS
    measured: dict[str, list[float]] = {_LOOK_UP: [], _EMPTY: []}
    with _serving() as port:
        for path in measured:
            _requests_per_second(port, path, 0.5)
        for _ in range(rounds):
            for path, results in measured.items():
                results.append(_requests_per_second(port, path, seconds))
    ours, other = (statistics.median(results) for results in measured.values())
    return [
        Row(
            name="API look-up by id / empty FastAPI route",
            ours=f"{ours:.0f} requests/s",
            other=f"{other:.0f} requests/s",
            ratio=f"{ours / other:.2f}",
            target=f"≥ {TARGET}",
            met=ours >= TARGET * other,
        )
    ]


@contextmanager
def _serving() -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryDirectory() as root:
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "bench.api", str(descriptor), root]
        # Connections queue at the listener until the child serves them: there is nothing to wait for.
        with subprocess.Popen(command, pass_fds=[descriptor]) as child:
            try:
                yield listener.getsockname()[1]
            finally:
                child.terminate()


def _requests_per_second(port: int, path: str, seconds: float) -> float:
    wrk = shutil.which("wrk")
    if wrk is None:
        return asyncio.run(_plain_load(port, path, seconds))
    url = f"http://127.0.0.1:{port}{path}"
    duration = f"{max(1, round(seconds))}s"
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{duration}", "--timeout", "30s", url]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in report:
        raise RuntimeError(f"{path} was not answered with 200")
    match = re.search(r"Requests/sec:\s*([0-9.]+)", report)
    if match is None:
        raise RuntimeError("wrk reports in another form than expected")
    return float(match[1])


async def _plain_load(port: int, path: str, seconds: float) -> float:
    """Keep CONNECTIONS busy. One process drives the load, so the figures are lower than wrk's; so are both."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    began = time.perf_counter()
    until = began + seconds

    async def connection() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.perf_counter() < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise RuntimeError(f"{path} was not answered with 200")
            await reader.readexactly(int(length[1]))
            answered += 1
        writer.close()
        await writer.wait_closed()
        return answered

    counts = await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - began)


def _both(ours: ASGIApp) -> ASGIApp:
    empty = FastAPI(openapi_url=None)

    async def nothing() -> dict[str, bool]:
        return {"success": True}

    empty.add_api_route(_EMPTY, nothing)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        await (empty if scope["path"] == _EMPTY else ours)(scope, receive, send)

    return dispatch


async def _serve(descriptor: int, root: Path, stop: asyncio.Event) -> None:
    async with open_deps(root) as deps:
        await add_song(deps, "k2qgadSvNyU", _TITLE)
        # `serve` asks no more of an application than that it speaks ASGI.
        app = cast("FastAPI", _both(create_app(deps)))
        with socket.socket(fileno=descriptor) as listener:
            await serve(app, listener, stop)


def _main() -> int:
    configure_logging("warning", "json")
    descriptor, root = int(sys.argv[1]), Path(sys.argv[2])
    # The service's own way to run: its loop and what else it sets for the process are part of what is measured.
    return run(lambda stop: _serve(descriptor, root, stop), drain=timedelta(seconds=5))


if __name__ == "__main__":
    sys.exit(_main())
