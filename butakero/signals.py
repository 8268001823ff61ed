"""Signals that ask a command to end: the first politely, the second at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass


class StopAsked(Exception):
    """The user, or whoever manages this process, wants it to end."""


@dataclass(frozen=True, slots=True)
class Signals:
    """`stop` is set by the first signal, `hurry` by the second."""

    stop: asyncio.Event
    hurry: asyncio.Event

    async def watch(self) -> None:
        """Raise StopAsked when the first signal comes."""
        await self.stop.wait()
        raise StopAsked


@contextmanager
def open_signals() -> Generator[Signals]:
    """SIGINT, SIGTERM and a closed terminal (SIGHUP) ask for the end; asked twice, it comes at once."""
    signals = Signals(asyncio.Event(), asyncio.Event())
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (signals.hurry if signals.stop.is_set() else signals.stop).set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield signals
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
