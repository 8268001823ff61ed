"""Waiting for a state that nothing announces: processes, sockets, files, counters, what a database shows.

The one place in the tests that looks again and again. Where there is an event, a condition or a bell, wait for that.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.02


async def until(condition: Callable[[], object], *, seconds: float | None = PATIENCE_SECONDS) -> None:
    """Look until `condition` returns, or its awaitable ends with, something true; `seconds` None: however long.

    Raises:
        TimeoutError: it was never so. What the condition itself raises comes out as it is.
    """
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return
            await asyncio.sleep(_PAUSE_SECONDS)  # nothing tells of what is waited for
