"""The audio service as a child process: start it, know when it is ready, hear of its end, stop it.

It runs in a session of its own, so that Ctrl-C at the terminal reaches `butakero` alone, which asks the service to
drain once; two signals would cut its drain short.
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

from common.tasks import running_alongside

SERVICE_COMMAND = (sys.executable, "-m", "audio_service")
LOG_PATH = Path("data/logs/audio_service.log")
BOT_COMMAND = (sys.executable, "-m", "bot_service")
BOT_LOG_PATH = Path("data/logs/bot_service.log")
_LOG_KEEP_BYTES = 10 * 1024 * 1024
_LAST_BYTES = 16 * 1024
_POLL_SECONDS = 0.1
_IN_USE = frozenset({errno.EADDRINUSE})


class ServiceDied(Exception):
    """The service ended although nobody asked it to. `code` is what `butakero` exits with, never 0."""

    def __init__(self, returncode: int) -> None:
        super().__init__(returncode)
        self.code = 128 - returncode if returncode < 0 else returncode or 1


class PortTaken(Exception):
    """Somebody else listens there."""


class Service:
    """A running audio service. `log_path` holds everything it says."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path, log_start: int) -> None:
        self._process = process
        self._log_start = log_start
        self.log_path = log_path

    @property
    def pid(self) -> int:
        """Its process id, which is its session's and group's too."""
        return self._process.pid

    async def watch(self) -> None:
        """Wait for the end that nobody asked for. Raises ServiceDied."""
        raise ServiceDied(await self._process.wait())

    async def ready(self, url: str) -> None:
        """Return when `url` answers 200, however long that takes."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(url)).is_success:
                        return
                await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, patience: float, hurry: asyncio.Event) -> bool:
        """Ask it to drain and wait for its end: `patience` seconds, or until `hurry`. False: it had to be killed."""
        if self._process.returncode is None:
            self._process.terminate()
        ended = asyncio.ensure_future(self._process.wait())
        hurried = asyncio.ensure_future(hurry.wait())
        try:
            await asyncio.wait({ended, hurried}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            return ended.done()
        finally:
            for waiting in (ended, hurried):
                waiting.cancel()
            await asyncio.wait({ended, hurried})

    async def kill(self) -> None:
        """End the service, and what is left of its process group, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def last_words(self, lines: int = 12) -> list[str]:
        """Return the last lines of this run, log objects made readable."""
        with self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _LAST_BYTES))
            said = log.read().decode(errors="replace").splitlines()
        return [_readable(line) for line in said if line.strip()][-lines:]


@asynccontextmanager
async def run_service(
    environment: Mapping[str, str], *, log_path: Path = LOG_PATH, command: Sequence[str] = SERVICE_COMMAND
) -> AsyncGenerator[Service]:
    """Start the service with `environment` over our own; whatever is left of it is killed on leaving.

    Raises:
        OSError: the log cannot be written, or the program not be started.
    """
    with _open_log(log_path) as log:
        log_start = log.tell()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    service = Service(process, log_path, log_start)
    try:
        yield service
    finally:
        await service.kill()


async def wait_until_ready(service: Service, url: str, limit_seconds: float) -> None:
    """Wait for the service's first 200.

    Raises:
        ServiceDied: it ended instead.
        TimeoutError: neither happened within the limit.
    """
    async with asyncio.timeout(limit_seconds), running_alongside(service.watch()):
        await service.ready(url)


def reserve_port(host: str, port: int) -> int:
    """Return a port that can be listened on: `port`, or a free one for 0.

    Looked at before the service starts: otherwise somebody else's answer there would pass for the service's.

    Raises:
        PortTaken: in use.
        OSError: the host is not ours, or the port not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as listener:
            return cast("int", listener.getsockname()[1])
    except OSError as exc:
        if exc.errno in _IN_USE:
            raise PortTaken(port) from exc
        raise


def base_url(host: str, port: int) -> str:
    """Return where a person on this machine finds a server that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _open_log(path: Path) -> BinaryIO:
    """Open the log for appending; one that has grown large is put aside first, in the place of its predecessor."""
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
