"""Warm child processes that do what the service itself must not: read untrusted pages and media.

A pool keeps its children started ahead, gives each job to one of them, and kills a child with its process group when
the job's deadline passes, when the caller is cancelled, or when the child breaks the protocol. A child that died, is
spent or has grown is replaced in the background. What a job means is known to the child's program alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

from audio_service.children.child import Child, start_child
from audio_service.children.jobs import (
    ChildJob,
    ChildSettings,
    JsonObject,
    OnProgress,
)
from audio_service.settings import AudioSettings
from common.errors import (
    AppError,
    ProcessingCrashed,
    ProcessingTimeout,
)
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

CHILD_MODULE = "audio_service.child_main"


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
        """The live processes, idle or not."""
        return frozenset(child.pid for child in self._children)

    async def call(
        self, job: ChildJob, *, on_progress: OnProgress, deadline_seconds: float, preferred: int | None = None
    ) -> JsonObject:
        """Run a job in the next free child. Cancelling kills that child.

        `preferred` is the process that an earlier job left something in; when it is free it gets this job.

        Raises:
            AppError: the job's own failure.
            ProcessingCrashed: the child died, or none could be started.
            ProcessingLimitExceeded: the child exceeded a limit.
            ProcessingTimeout: the deadline passed; the child is killed.
        """
        try:
            async with time_limit(deadline_seconds):
                child = await self._take(preferred)
                try:
                    return await child.run(job, on_progress)
                finally:
                    await self._give_back(child)
        except TimeoutError as exc:
            raise ProcessingTimeout(f"{job.kind} took longer than {deadline_seconds:g} s") from exc

    def start(self) -> None:
        """Start the children without waiting for them."""
        for _ in range(self._size):
            self._own(self._add())

    async def close(self) -> None:
        """Kill the children and end their tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.kill() for child in self._children))
        self._children.clear()

    async def _take(self, preferred: int | None) -> Child:
        while True:
            ready = self._best(await self._ready.get(), preferred)
            if isinstance(ready, Child) and ready.usable:
                return ready
            self._own(self._add())
            if isinstance(ready, AppError):
                raise ready
            await self._remove(ready)

    def _best(self, first: Child | AppError, preferred: int | None) -> Child | AppError:
        """Return `first` or a better one: the preferred child, else the first that keeps nothing for another job."""
        ready = [first]
        while not self._ready.empty():
            ready.append(self._ready.get_nowait())

        def rank(one: Child | AppError) -> tuple[bool, bool]:
            return (
                not (isinstance(one, Child) and one.pid == preferred),
                isinstance(one, Child) and one.holds,
            )

        best = min(ready, key=rank)
        ready.remove(best)
        for other in ready:
            self._ready.put_nowait(other)
        return best

    async def _give_back(self, child: Child) -> None:
        if child.usable:
            self._ready.put_nowait(child)
            return
        self._own(self._add())
        await self._remove(child)

    async def _add(self) -> None:
        """Start one child. A failure to start is raised by the next `call`."""
        try:
            child = await start_child(self._module)
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

    async def _remove(self, child: Child) -> None:
        await child.kill()
        self._children.discard(child)

    async def _log_lines(self, child: Child) -> None:
        async for line in child.lines():
            log.debug("child.says", pid=child.pid, text=line)
        log.debug("child.ended", pid=child.pid)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        # An empty context: log lines of a child must not carry the correlation id of the request that started it.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def open_children(
    settings: AudioSettings, *, size: int | None = None, start: bool = True, module: str = CHILD_MODULE
) -> AsyncGenerator[ChildPool]:
    """Open a pool of `size` children (default: NUM_WORKERS) and kill them when the block ends.

    Args:
        settings: the children's settings and limits.
        size: how many.
        start: start them now; else `ChildPool.start` does.
        module: the program that they run.
    """
    pool = ChildPool(_child_settings(settings), settings.num_workers if size is None else size, module)
    try:
        if start:
            pool.start()
        yield pool
    finally:
        await pool.close()


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
        language=settings.locale,
    )
