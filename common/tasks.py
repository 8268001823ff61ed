"""Tasks that run alongside others, and waiting that a stop event ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any


@asynccontextmanager
async def running_alongside(companion: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run `companion` while the body runs; cancel it when the body ends.

    Raises:
        Exception: what the body raised, or what the companion raised, which cancels the body. Neither is wrapped in
            an exception group, so that callers can catch it by its type.
    """
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(companion)
            yield
            task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def pause(stop: asyncio.Event, duration: timedelta) -> None:
    """Sleep for `duration`, or until `stop` is set."""
    try:
        async with asyncio.timeout(duration.total_seconds()):
            await stop.wait()
    except TimeoutError:
        return


class TimeLimit:
    """A time limit for one body at a time that another task can make pass early.

    Args:
        seconds: how long the body may run.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope: asyncio.Timeout | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Limit the body.

        Raises:
            TimeoutError: the time is up, or `expire` was called.
        """
        try:
            async with asyncio.timeout(self._seconds) as self._scope:
                yield
        finally:
            self._scope = None

    def expire(self) -> None:
        """Let the time be up now. Has no effect while no body runs, or when its time is up already."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
