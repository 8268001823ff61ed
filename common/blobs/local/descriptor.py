"""A file descriptor that a coroutine owns and worker threads use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


class OwnedDescriptor:
    """One descriptor. It is closed only after running work has ended, even if the work's caller was cancelled: else the
    thread could use a descriptor number that was reused for another file.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._running: asyncio.Future[object] | None = None

    def own(self, descriptor: int) -> None:
        """Take ownership of an open descriptor."""
        self._descriptor = descriptor

    def require(self) -> int:
        """Return the descriptor. Raises ValueError before `own` and after `close`."""
        if self._descriptor is None:
            raise ValueError("used before it was opened, or after it was closed")
        return self._descriptor

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread; one call at a time."""
        running = asyncio.get_running_loop().run_in_executor(None, work)
        self._running = cast("asyncio.Future[object]", running)
        return await asyncio.shield(running)

    def close(self, then: Callable[[], None] | None = None) -> None:
        """Close now, or when the running work has ended; call `then` afterwards."""
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
