"""The audio service (or the bot) as a child process: start, readiness, exit, stop.

It runs in a new session, so that Ctrl-C at the terminal signals `butakero` alone, which sends one SIGTERM: a second
signal would abort the drain. Its standard input is a pipe that `butakero` holds open, so that it also stops when
`butakero` is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import httpx

from common.launch import Launch, listen_on
from common.tasks import running_alongside, time_limit

SERVICE_COMMAND = (sys.executable, "-m", "audio_service")
LOG_PATH = Path("data/logs/audio_service.log")
BOT_COMMAND = (sys.executable, "-m", "bot_service")
BOT_LOG_PATH = Path("data/logs/bot_service.log")
STOP_MARGIN_SECONDS = 10.0
_LOG_KEEP_BYTES = 10 * 1024 * 1024
_LAST_BYTES = 16 * 1024
_POLL_SECONDS = 0.1
_IN_USE = frozenset({errno.EADDRINUSE})


class ServiceDied(Exception):
    """The service exited without being stopped. `code` is `butakero`'s exit code, never 0."""

    def __init__(self, returncode: int) -> None:
        super().__init__(returncode)
        self.code = 128 - returncode if returncode < 0 else returncode or 1


class PortTaken(Exception):
    """Another process listens on the port."""


class Service:
    """A running audio service. `log_path` has its whole output."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path, log_start: int) -> None:
        self._process = process
        self._log_start = log_start
        self.log_path = log_path

    @property
    def pid(self) -> int:
        """Its process id, which is also its session and process group id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.returncode is None

    async def watch(self) -> None:
        """Wait for its exit. Raises ServiceDied."""
        raise ServiceDied(await self._process.wait())

    async def ready(self, url: str) -> None:
        """Return when `url` answers with a success. No time-out."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(url)).is_success:
                        return
                await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, grace_seconds: float, forced: asyncio.Event) -> bool:
        """Send SIGTERM and wait for its exit: `grace_seconds`, or until `forced`. False: it still runs."""
        if self._process.returncode is None:
            self._process.terminate()
        ended = asyncio.ensure_future(self._process.wait())
        interrupted = asyncio.ensure_future(forced.wait())
        try:
            await asyncio.wait({ended, interrupted}, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
            return ended.done()
        finally:
            for waiting in (ended, interrupted):
                waiting.cancel()
            await asyncio.wait({ended, interrupted})

    async def kill(self) -> None:
        """Kill the service and its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def last_log_lines(self, lines: int = 12) -> list[str]:
        """Return the last log lines of this run, JSON objects as text."""
        with self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _LAST_BYTES))
            tail = log.read().decode(errors="replace").splitlines()
        return [_readable(line) for line in tail if line.strip()][-lines:]


@asynccontextmanager
async def run_service(
    environment: Mapping[str, str],
    *,
    log_path: Path = LOG_PATH,
    command: Sequence[str] = SERVICE_COMMAND,
    listener: socket.socket | None = None,
) -> AsyncGenerator[Service]:
    """Start the service with `environment` over ours; its process group is killed on leaving.

    It serves on `listener`, which is closed here: from then on the port is in use exactly as long as the service runs.

    Raises:
        OSError: the log cannot be written, or the program cannot be started.
    """
    with _open_log(log_path) as log, listener or contextlib.nullcontext():
        descriptors = [listener.fileno()] if listener is not None else []
        launch = Launch(lifeline=0, listener=descriptors[0] if descriptors else None)
        log_start = log.tell()
        process = await asyncio.create_subprocess_exec(
            *command,
            *launch.arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            pass_fds=descriptors,
            start_new_session=True,
        )
    service = Service(process, log_path, log_start)
    try:
        yield service
    finally:
        await service.kill()


async def wait_until_ready(service: Service, url: str, limit_seconds: float) -> None:
    """Wait until the service is ready.

    Raises:
        ServiceDied: it exited first.
        TimeoutError: it was not ready within the limit.
    """
    async with time_limit(limit_seconds), running_alongside(service.watch()):
        await service.ready(url)


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `port`, or on a free one for 0: `run_service` hands it to the service.

    It is opened before the service starts: another server on the port could answer the readiness check in its place.

    Raises:
        PortTaken: in use.
        OSError: the host is not an address of this machine, or the port is not permitted.
    """
    try:
        return listen_on(host, port)
    except OSError as exc:
        if exc.errno in _IN_USE:
            raise PortTaken(os.strerror(errno.EADDRINUSE)) from exc
        raise


def base_url(host: str, port: int) -> str:
    """Return the URL, reachable from this machine, of a server that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _open_log(path: Path) -> BinaryIO:
    """Open the log for appending, after rotating it once if it exceeds _LOG_KEEP_BYTES."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_KEEP_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def _readable(line: str) -> str:
    try:
        loaded: Any = json.loads(line)
    except ValueError:
        return line
    if not isinstance(loaded, dict):
        return line
    entry = cast("dict[str, Any]", loaded)
    first = f"{entry.pop('level', 'info')}: {entry.pop('event', '')}"
    exception = str(entry.pop("exception", "")).strip().splitlines()
    rest = [f"{key}={value}" for key, value in entry.items() if key not in {"timestamp", "logger"}]
    return " ".join([first, *rest, *exception[-1:]])
