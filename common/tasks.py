"""Work that runs beside other work and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
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
