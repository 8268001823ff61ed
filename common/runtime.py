"""Runs a program: signals become a stop event, draining has a deadline, a crash of any task ends everything.

- SIGTERM or SIGINT sets `stop`; the program's tasks finish what they hold and return. Exit 0.
- What is not done `drain` later is cancelled, which hands work back; a second signal does so at once. Exit 0.
- A task under `until_stopped` that raises, or returns before it was told to, ends the program at once, non-zero: a
  process that is half alive answers probes and does no work.

Programs open their resources in `main` and hold a TaskGroup inside them, so that tasks end before what they use.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta

import uvloop

from common.errors import AppError
from common.observability.telemetry import get_logger
from common.settings import EX_CONFIG

log = get_logger(__name__)

_CLEAN_UP_SECONDS = 10.0


class TaskEndedError(Exception):
    """A task that should run until `stop` returned on its own."""


async def until_stopped(stop: asyncio.Event, name: str, work: Awaitable[None]) -> None:
    """Await `work`, which lasts until `stop`; let it end earlier only as a failure of the program.

    Raises:
        TaskEndedError: it returned although `stop` is not set.
    """
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException:
        log.exception("task.crashed", task=name)
        _exit_unless_cleaned_up()
        raise
    if not stop.is_set():
        log.error("task.ended", task=name)
        _exit_unless_cleaned_up()
        raise TaskEndedError(name)


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, drain: timedelta) -> int:
    """Run `main(stop)` on uvloop and return the process's exit code: EX_CONFIG for what an operator must mend."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_supervise(main, drain))
    except AppError as exc:
        log.critical("program.failed", code=exc.code, detail=exc.detail)
        return EX_CONFIG if exc.needs_operator else 1
    except BaseExceptionGroup as exc:
        log.critical("program.failed", errors=[repr(leaf) for leaf in exc.exceptions])
        return 1
    return 0


async def _supervise(main: Callable[[asyncio.Event], Awaitable[None]], drain: timedelta) -> None:
    stop = asyncio.Event()
    again = asyncio.Event()

    def on_signal() -> None:
        (again if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    program = asyncio.ensure_future(main(stop))
    deadline = asyncio.ensure_future(_drain_deadline(stop, again, drain))
    try:
        await asyncio.wait({program, deadline}, return_when=asyncio.FIRST_COMPLETED)
        if not program.done():
            log.warning("program.drain_deadline", seconds=drain.total_seconds())
            program.cancel()
        await asyncio.wait({program})
    finally:
        deadline.cancel()
        await asyncio.wait({deadline})
    if not program.cancelled():
        program.result()


async def _drain_deadline(stop: asyncio.Event, again: asyncio.Event, drain: timedelta) -> None:
    await stop.wait()
    log.info("program.draining", seconds=drain.total_seconds())
    try:
        async with asyncio.timeout(drain.total_seconds()):
            await again.wait()
    except TimeoutError:
        return


def _exit_unless_cleaned_up() -> None:
    """Leave for good when cleaning up after a crash hangs; the daemon thread dies with a process that got through."""
    timer = threading.Timer(_CLEAN_UP_SECONDS, lambda: os._exit(1))
    timer.daemon = True
    timer.start()
