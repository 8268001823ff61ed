"""Runs a program: signals set a stop event, draining has a deadline, a crash of any task ends the process.

- SIGTERM, SIGINT or the end of `lifeline` sets `stop`; the program's tasks finish the jobs in progress and return. Exit
  code 0.
- Tasks still running after `drain` are cancelled, which releases their deliveries; a second signal does so at once.
  Exit code 0.
- A task under `until_stopped` that raises, or returns before `stop` is set, ends the program with a non-zero exit code:
  a process with a dead worker would still answer probes.

Programs open their resources in `main` with a TaskGroup inside them, so that tasks end before their resources close.
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
from common.settings_errors import EX_CONFIG
from common.tasks import time_limit

log = get_logger(__name__)

_CLEAN_UP_SECONDS = 10.0


class TaskEndedError(Exception):
    """A task that should run until `stop` is set has returned before."""


async def until_stopped(stop: asyncio.Event, name: str, work: Awaitable[None]) -> None:
    """Await `work`, which must run until `stop` is set; an earlier end is a failure of the program.

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


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, drain: timedelta, lifeline: int | None = None) -> int:
    """Run `main(stop)` on uvloop and return the exit code: EX_CONFIG for an error that needs an operator.

    `lifeline` is the reading end of a pipe that the parent process holds open: its end stops the program.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_supervise(main, drain, lifeline))
    except AppError as exc:
        log.critical("program.failed", code=exc.code, detail=exc.detail)
        return EX_CONFIG if exc.needs_operator else 1
    except BaseExceptionGroup as exc:
        log.critical("program.failed", errors=[repr(leaf) for leaf in exc.exceptions])
        return 1
    return 0


async def _supervise(main: Callable[[asyncio.Event], Awaitable[None]], drain: timedelta, lifeline: int | None) -> None:
    stop = asyncio.Event()
    again = asyncio.Event()

    def on_signal() -> None:
        (again if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if lifeline is not None:
        _stop_at_the_end_of(lifeline, stop)

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
        async with time_limit(drain.total_seconds()):
            await again.wait()
    except TimeoutError:
        return


def _stop_at_the_end_of(lifeline: int, stop: asyncio.Event) -> None:
    """Set `stop` once the other end of the pipe is closed: the kernel does so when the parent ends in any way."""
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        if not os.read(lifeline, 4096):
            loop.remove_reader(lifeline)
            log.warning("program.parent_ended")
            stop.set()

    loop.add_reader(lifeline, on_readable)


def _exit_unless_cleaned_up() -> None:
    """Kill the process if cleaning up after a crash hangs. The timer is a daemon thread: a normal exit ends it."""
    timer = threading.Timer(_CLEAN_UP_SECONDS, lambda: os._exit(1))
    timer.daemon = True
    timer.start()
