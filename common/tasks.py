"""Tasks that run alongside others, and waiting that a stop event ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any


@asynccontextmanager
async def time_limit(seconds: float | None) -> AsyncGenerator[asyncio.Timeout]:
    """Limit the body as `asyncio.timeout` does, also while a cancelled task cleans up.

    Before Python 3.11.3 (Debian 12 has 3.11.2) `asyncio.timeout` raises CancelledError in place of TimeoutError in a
    task that was cancelled earlier: an `except TimeoutError` is passed over, and the rest of the cleanup is skipped.
    Source: https://github.com/python/cpython/issues/102780.

    Raises:
        TimeoutError: the body took longer.
    """
    earlier = _cancel_requests()
    scope = asyncio.timeout(seconds)  # noqa: TID251 - see above
    try:
        async with scope:
            yield scope
    except asyncio.CancelledError as exc:
        if scope.expired() and _cancel_requests() <= earlier:
            raise TimeoutError from exc
        raise


def _cancel_requests() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


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
        async with time_limit(duration.total_seconds()):
            await stop.wait()
    except TimeoutError:
        return


class RevocableTimeLimit:
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
            async with time_limit(self._seconds) as self._scope:
                yield
        finally:
            self._scope = None

    def expire(self) -> None:
        """Let the time be up now. Has no effect while no body runs, or when its time is up already."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
