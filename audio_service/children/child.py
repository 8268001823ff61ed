"""One warm child process: jobs go down its pipe, progress and results come back. It is killed as a process group.

What a job means is known to the program at the other end of the pipe alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import asdict

from audio_service.children.jobs import (
    HEADER,
    ChildJob,
    ChildProgress,
    ChildSettings,
    JsonObject,
    OnProgress,
    body_length,
    pack,
    unpack,
)
from common.errors import (
    AppError,
    MediaTooLarge,
    ProcessingCrashed,
    ProcessingLimitExceeded,
    error_for_code,
)
from common.tasks import time_limit

MAX_JOBS = 200
MAX_RESIDENT_BYTES = 400 * 1024 * 1024
_START_SECONDS = 60.0
_LOG_LINES = 50
_LOG_LINE_CHARACTERS = 500
_PASSED_ON = ("AWS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ")


class Child:
    """One process, and its pipe.

    Attributes:
        usable: whether it may get another job.
        holds: whether its last job left something for the one that follows up on it.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._jobs = 0
        self._lines = 0
        self._busy = True
        self._spent = False
        self.holds = False

    @property
    def pid(self) -> int:
        """The process, which is also its process group."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Alive, idle, not spent, and below MAX_JOBS or with a job to follow up on."""
        worn = self._jobs >= MAX_JOBS and not self.holds
        return not (self._busy or self._spent or worn or self._process.returncode is not None)

    async def get_ready(self, settings: ChildSettings) -> None:
        """Send its settings and wait until it is ready. Raises AppError when it fails to start."""
        try:
            async with time_limit(_START_SECONDS):
                await self._send(asdict(settings))
                message = await self._receive()
        except TimeoutError as exc:
            raise ProcessingCrashed("a child process did not get ready") from exc
        if "error" in message:
            raise _error(message["error"])
        self._busy = False

    async def run(self, job: ChildJob, on_progress: OnProgress) -> JsonObject:
        """Run a job and return its result.

        Raises:
            AppError: the job's own failure.
            ProcessingCrashed: the process died, or broke the protocol.
            ProcessingLimitExceeded: it exceeded its CPU time.
        """
        self._busy = True
        self._jobs += 1
        self._lines = 0
        self.holds = False
        await self._send({"kind": job.kind, "arguments": job.arguments})
        while "progress" in (message := await self._receive()):
            on_progress(ChildProgress(**message["progress"]))
        self._busy = False
        self._spent = bool(message.get("spent")) or message.get("resident_bytes", 0) > MAX_RESIDENT_BYTES
        self.holds = bool(message.get("holds"))
        if "error" in message:
            raise _error(message["error"])
        return message["result"]

    async def kill(self) -> None:
        """Kill its process group and wait for its end."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()

    async def lines(self) -> AsyncGenerator[str]:
        """Yield its stderr until it ends: at most _LOG_LINES a job, each cut to _LOG_LINE_CHARACTERS."""
        stderr, rest = self._process.stderr, b""
        while stderr is not None and (data := await stderr.read(16 * 1024)):
            *complete, rest = (rest + data).split(b"\n")
            rest = rest[:_LOG_LINE_CHARACTERS]
            for line in complete[: _LOG_LINES - self._lines]:
                self._lines += 1
                if text := line[:_LOG_LINE_CHARACTERS].decode(errors="replace").strip():
                    yield text

    async def _send(self, message: JsonObject) -> None:
        if self._process.stdin is None:
            raise ProcessingCrashed("no pipe")
        try:
            self._process.stdin.write(pack(message))
            await self._process.stdin.drain()
        except ConnectionError as exc:
            raise await self._death() from exc

    async def _receive(self) -> JsonObject:
        stdout = self._process.stdout
        if stdout is None:
            raise ProcessingCrashed("no pipe")
        try:
            header = await stdout.readexactly(HEADER.size)
            return unpack(await stdout.readexactly(body_length(header)))
        except asyncio.IncompleteReadError as exc:
            raise await self._death() from exc
        except ValueError as exc:
            raise ProcessingCrashed(f"a child process sent a malformed message: {exc}") from exc

    async def _death(self) -> AppError:
        await self.kill()
        code = self._process.returncode or 0
        if code == -signal.SIGXCPU:
            return ProcessingLimitExceeded("the job used up its CPU time")
        if code == -signal.SIGXFSZ:
            return MediaTooLarge("a file grew over its limit")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ProcessingCrashed(f"the child process died: {how}")


def _error(told: JsonObject) -> AppError:
    return error_for_code(told["code"], told["detail"], retryable=told.get("retryable"))


async def start_child(module: str) -> Child:
    """Start a process that runs `module`. Raises OSError."""
    # -P: nothing is imported from the working directory.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_environment(),
    )
    return Child(process)


def _environment() -> dict[str, str]:
    """Return a child's environment: no secrets, no proxies (the guard must see real peers), no writable directory.

    HOME names a directory that does not exist; some programs refuse a HOME that is no directory path.
    """
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "PATH": os.devnull,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
    }
