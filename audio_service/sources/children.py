"""Warm child processes that do what the service itself must not: read untrusted pages and media.

A pool keeps NUM_WORKERS children started ahead, gives each job to one of them, and kills a child with all that it
started when the job's deadline passes, when the caller goes away, or when it answers nonsense. A dead, spent or grown
child is replaced while nobody waits for it. The pool knows nothing of media; the jobs are `fetcher`'s.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audio_service.settings import AudioSettings
from audio_service.sources.cookies import read_cookies, why_unusable
from audio_service.sources.jobs import (
    HEADER,
    ChildSettings,
    Job,
    JsonObject,
    Progress,
    body_length,
    pack,
    unpack,
)
from common.errors import (
    AppError,
    MediaTooLarge,
    ProcessingCrashed,
    ProcessingLimitExceeded,
    ProcessingTimeout,
    error_for_code,
)
from common.telemetry import get_logger

log = get_logger(__name__)

OnProgress = Callable[[Progress], None]

CHILD_MODULE = "audio_service.sources.fetcher"
MAX_JOBS = 200
MAX_RESIDENT_BYTES = 400 * 1024 * 1024
_START_SECONDS = 60.0
_LOG_LINES = 50
_LOG_LINE_CHARACTERS = 500
_PASSED_ON = ("SSL_CERT_DIR", "SSL_CERT_FILE", "TZ")


class Child:
    """One process, and its pipe. `usable` says whether it may get another job."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._jobs = 0
        self._said = 0
        self._busy = True
        self._spent = False

    @property
    def pid(self) -> int:
        """The process, which is also its process group."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Alive, idle, and not used up."""
        return not (self._busy or self._spent or self._jobs >= MAX_JOBS or self._process.returncode is not None)

    async def get_ready(self, settings: ChildSettings) -> None:
        """Tell it its settings and wait until it is warm. Raises AppError when it will not be."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._send(asdict(settings))
                message = await self._receive()
        except TimeoutError as exc:
            raise ProcessingCrashed("a child process did not get ready") from exc
        if "error" in message:
            raise error_for_code(message["error"]["code"], message["error"]["detail"])
        self._busy = False

    async def run(self, job: Job, on_progress: OnProgress) -> JsonObject:
        """Have it do a job.

        Raises:
            AppError: what the job failed with.
            ProcessingCrashed: it died.
            ProcessingLimitExceeded: it reached its CPU limit.
        """
        self._busy = True
        self._jobs += 1
        self._said = 0
        await self._send({"kind": job.kind, "arguments": job.arguments})
        while "progress" in (message := await self._receive()):
            on_progress(Progress(**message["progress"]))
        self._busy = False
        self._spent = bool(message.get("spent")) or message.get("resident_bytes", 0) > MAX_RESIDENT_BYTES
        if "error" in message:
            raise error_for_code(message["error"]["code"], message["error"]["detail"])
        return message["result"]

    async def kill(self) -> None:
        """End it and everything that it started, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()

    async def lines(self) -> AsyncGenerator[str]:
        """Yield what it writes to stderr, until it ends: so many lines a job, and they are cut."""
        stderr, rest = self._process.stderr, b""
        while stderr is not None and (data := await stderr.read(16 * 1024)):
            *complete, rest = (rest + data).split(b"\n")
            rest = rest[:_LOG_LINE_CHARACTERS]
            for line in complete[: _LOG_LINES - self._said]:
                self._said += 1
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
            raise ProcessingCrashed(f"a child process answered nonsense: {exc}") from exc

    async def _death(self) -> AppError:
        await self.kill()
        code = self._process.returncode or 0
        if code == -signal.SIGXCPU:
            return ProcessingLimitExceeded("the job used up its CPU time")
        if code == -signal.SIGXFSZ:
            return MediaTooLarge("a file grew over its limit")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ProcessingCrashed(f"the child process died: {how}")


class ChildPool:
    """The children. Use `open_children`."""

    def __init__(self, settings: ChildSettings, size: int, module: str) -> None:
        self._settings = settings
        self._size = size
        self._module = module
        self._children: set[Child] = set()
        self._ready: asyncio.Queue[Child | AppError] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> frozenset[int]:
        """The processes that live now, idle or not."""
        return frozenset(child.pid for child in self._children)

    async def call(self, job: Job, *, on_progress: OnProgress, deadline_seconds: float) -> JsonObject:
        """Have a job done, waiting for a free child if need be. Cancelling kills the child that does it.

        Raises:
            AppError: what the job failed with.
            ProcessingCrashed: the child died, or none could be started.
            ProcessingLimitExceeded: the child reached a limit.
            ProcessingTimeout: the deadline passed; the job does not go on.
        """
        try:
            async with asyncio.timeout(deadline_seconds):
                child = await self._take()
                try:
                    return await child.run(job, on_progress)
                finally:
                    await self._give_back(child)
        except TimeoutError as exc:
            raise ProcessingTimeout(f"{job.kind} took longer than {deadline_seconds:g} s") from exc

    def start(self) -> None:
        """Start the children, and wait for none of them."""
        for _ in range(self._size):
            self._own(self._add())

    async def close(self) -> None:
        """Kill the children and end the tasks that looked after them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.kill() for child in self._children))
        self._children.clear()

    async def _take(self) -> Child:
        while True:
            ready = await self._ready.get()
            if isinstance(ready, Child) and ready.usable:
                return ready
            self._own(self._add())
            if isinstance(ready, AppError):
                raise ready
            await self._remove(ready)

    async def _give_back(self, child: Child) -> None:
        if child.usable:
            self._ready.put_nowait(child)
            return
        self._own(self._add())
        await self._remove(child)

    async def _add(self) -> None:
        """Start one child. A failure goes to the next caller, who has a job that fails with it."""
        try:
            child = await self._start_child()
        except OSError as exc:
            self._ready.put_nowait(ProcessingCrashed(f"a child process could not be started: {exc.strerror}"))
            return
        self._children.add(child)
        self._own(self._log_lines(child))
        try:
            await child.get_ready(self._settings)
        except AppError as exc:
            log.warning("child.not_ready", detail=exc.detail)
            self._ready.put_nowait(exc)
            await self._remove(child)
            return
        self._ready.put_nowait(child)

    async def _start_child(self) -> Child:
        # -P: the working directory is no place to import from; it need not be ours.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )
        return Child(process)

    async def _remove(self, child: Child) -> None:
        await child.kill()
        self._children.discard(child)

    async def _log_lines(self, child: Child) -> None:
        async for line in child.lines():
            log.debug("child.says", pid=child.pid, text=line)
        log.debug("child.ended", pid=child.pid)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        # A context of its own: what a child says later belongs to no request that happened to start it.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def open_children(settings: AudioSettings, *, module: str = CHILD_MODULE) -> AsyncGenerator[ChildPool]:
    """Start the children of a service and end them with the block. `module` is the program that they run."""
    await asyncio.to_thread(_say_cookies, settings.cookies_youtube)
    async with open_resting_children(settings, settings.num_workers, module=module) as pool:
        pool.start()
        yield pool


@asynccontextmanager
async def open_resting_children(
    settings: AudioSettings, size: int, *, module: str = CHILD_MODULE
) -> AsyncGenerator[ChildPool]:
    """Open a pool of `size` children that starts none until `start`, and ends them with the block."""
    pool = ChildPool(_child_settings(settings), size, module)
    try:
        yield pool
    finally:
        await pool.close()


def _say_cookies(path: Path | None) -> None:
    """Tell the operator once what the children find; it may come and change later, and they will notice."""
    if path is None:
        return
    try:
        log.info("cookies.found", count=len(read_cookies(path)))
    except FileNotFoundError:
        log.info("cookies.absent")
    except (OSError, ValueError) as exc:
        log.warning("cookies.unusable", reason=why_unusable(exc))


def _child_settings(settings: AudioSettings) -> ChildSettings:
    return ChildSettings(
        network_allow=settings.network_allow,
        network_timeout=settings.network_timeout_seconds,
        max_redirects=settings.max_redirects,
        max_duration=settings.max_duration_seconds,
        max_download_bytes=settings.max_download_bytes,
        memory_bytes=settings.child_memory_bytes,
        cpu_seconds=settings.child_cpu_seconds,
        opus_bitrate=settings.opus_bitrate,
        opus_complexity=settings.opus_complexity,
        cookies=str(settings.cookies_youtube.resolve()) if settings.cookies_youtube else "",
    )


def _environment() -> dict[str, str]:
    """Return what a child may know: no secrets, no proxies (the guard must see real peers), no place to write.

    HOME is a folder that is not there (the JavaScript runtime refuses one that is not a folder at all).
    """
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "DENO_DIR": f"{os.devnull}/deno",
        "DENO_NO_UPDATE_CHECK": "1",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "PATH": os.devnull,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        "YTDLP_NO_PLUGINS": "1",
    }
