"""A file descriptor that threads use for tasks of the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


class HeldDescriptor:
    """One descriptor. Work whose caller was cancelled ends before the descriptor is closed: its number must not be
    somebody else's file by then.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._running: asyncio.Future[object] | None = None

    def hold(self, descriptor: int) -> None:
        """Own a descriptor that was just opened."""
        self._descriptor = descriptor

    def require(self) -> int:
        """Return the descriptor. Raises ValueError when none is held."""
        if self._descriptor is None:
            raise ValueError("used before it was opened, or after it was closed")
        return self._descriptor

    async def hop(self, work: Callable[[], T]) -> T:
        """Do blocking work in a thread. One at a time."""
        running = asyncio.get_running_loop().run_in_executor(None, work)
        self._running = cast("asyncio.Future[object]", running)
        return await asyncio.shield(running)

    def close(self, then: Callable[[], None] | None = None) -> None:
        """Close now, or as soon as the thread lets go of it; `then` is called afterwards."""
        if self._running is None or self._running.done():
            self._close(then)
        else:
            self._running.add_done_callback(lambda _: self._close(then))

    def _close(self, then: Callable[[], None] | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if then is not None:
            then()
