"""Runs a program: signals become a stop event, all tasks live in one group, draining has a deadline.

- SIGTERM or SIGINT sets `stop`; the program's tasks finish what they hold and return.
- What is not done `drain` later is cancelled, which hands work back; a second signal does so at once. Exit 0.
- A task that raises, or returns before it was told to stop, ends the program at once, non-zero: a process that is
  half alive answers probes and does no work.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import uvloop

from common.telemetry import get_logger

log = get_logger(__name__)

_CLEAN_UP_SECONDS = 10.0


class TaskEndedError(Exception):
    """A task that should run until `stop` returned on its own."""


class Runtime:
    """What a program's main function gets: `stop` to wait for, and `spawn` for its tasks."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.stop = asyncio.Event()
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that lasts until `stop`; if it ends earlier, so does the program."""
        task = self._group.create_task(self._guard(name, work), name=name)
        self._tasks.append(task)
        return task

    def cancel(self) -> None:
        """Cancel every spawned task."""
        for task in self._tasks:
            task.cancel()

    async def _guard(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException:
            log.exception("task.crashed", task=name)
            raise
        if not self.stop.is_set():
            log.error("task.ended", task=name)
            raise TaskEndedError(name)


def run(main: Callable[[Runtime], Awaitable[None]], *, drain: timedelta) -> int:
    """Run `main` on uvloop until it returns or a task fails; return the exit code."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_supervise(main, drain))
    except BaseExceptionGroup as failures:
        for failure in failures.exceptions:
            log.error("program.failed", error=repr(failure))
        return 1
    return 0


async def _supervise(main: Callable[[Runtime], Awaitable[None]], drain: timedelta) -> None:
    finished = False
    try:
        async with asyncio.TaskGroup() as group:
            runtime = Runtime(group)
            watcher = group.create_task(_watch_signals(runtime, drain), name="signals")
            await main(runtime)
            finished = True
            watcher.cancel()
    finally:
        if not finished:
            _exit_unless_cleaned_up()


async def _watch_signals(runtime: Runtime, drain: timedelta) -> None:
    loop = asyncio.get_running_loop()
    again = asyncio.Event()

    def on_signal() -> None:
        (again if runtime.stop.is_set() else runtime.stop).set()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, on_signal)
    await runtime.stop.wait()
    log.info("program.draining", deadline_seconds=drain.total_seconds())
    try:
        async with asyncio.timeout(drain.total_seconds()):
            await again.wait()
    except TimeoutError:
        log.warning("program.drain_deadline")
    runtime.cancel()


def _exit_unless_cleaned_up() -> None:
    """Leave for good when cleaning up after a crash hangs; the daemon thread dies with a process that got through."""
    timer = threading.Timer(_CLEAN_UP_SECONDS, lambda: os._exit(1))
    timer.daemon = True
    timer.start()
