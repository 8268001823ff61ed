"""Termination signals: the first requests a graceful stop, the second forces it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass


class StopRequested(Exception):
    """A termination signal arrived."""


@dataclass(frozen=True, slots=True)
class Signals:
    """`stop` is set by the first signal, `forced` by the second."""

    stop: asyncio.Event
    forced: asyncio.Event

    async def watch(self) -> None:
        """Raise StopRequested at the first signal."""
        await self.stop.wait()
        raise StopRequested


@contextmanager
def open_signals() -> Generator[Signals]:
    """Handle SIGINT, SIGTERM and SIGHUP (the terminal was closed) until the context is left."""
    signals = Signals(asyncio.Event(), asyncio.Event())
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (signals.forced if signals.stop.is_set() else signals.stop).set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield signals
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
