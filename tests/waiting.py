"""Waiting for a state that nothing announces: processes, sockets, files, counters, what a database shows.

The one place in the tests that polls. Where there is an event or a condition, wait for that.

How long a wait may last is written for an idle machine and multiplied by `time_factor`, so that a slow or busy machine
runs into no limit that a defect alone should reach.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Callable
from functools import cache

PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.02

_MOST = 30.0
_PROBE_STEPS = 400_000
_PROBE_SECONDS = 0.03
"""What the probe takes on a core of the machines that the limits were written on."""


def time_factor() -> float:
    """Return what limits are multiplied by: TEST_TIME_FACTOR or, without it, what this machine needs now.

    That is how slow a core is or, if larger, how many runnable processes share one (the load average); at least 1.
    """
    if setting := os.environ.get("TEST_TIME_FACTOR"):
        return float(setting)
    cores = os.cpu_count() or 1
    return min(_MOST, max(1.0, _slowness(), os.getloadavg()[0] / cores))


def patience(seconds: float = PATIENCE_SECONDS) -> float:
    """Return a limit for this machine, in seconds, from one for an idle machine."""
    return seconds * time_factor()


@cache
def _slowness() -> float:
    """Time a loop, once per process: the best of three, as what else runs is in the load average."""
    return min(_loop_seconds() for _ in range(3)) / _PROBE_SECONDS


def _loop_seconds() -> float:
    began = time.perf_counter()
    for _ in range(_PROBE_STEPS):
        pass
    return time.perf_counter() - began


async def until(condition: Callable[[], object], *, seconds: float | None = PATIENCE_SECONDS) -> None:
    """Poll until `condition` returns, or its awaitable ends with, something true.

    `seconds` is the limit on an idle machine, None for no limit.

    Raises:
        TimeoutError: it was never so; says what was waited for. What the condition itself raises is not caught.
    """
    limit = None if seconds is None else patience(seconds)
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            while True:
                found = condition()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(_PAUSE_SECONDS)  # nothing announces the state
    except TimeoutError as exc:
        if scope.expired():
            raise TimeoutError(f"not within {limit:.0f} s: {_name(condition)}") from exc
        raise


def _name(condition: Callable[[], object]) -> str:
    code = getattr(condition, "__code__", None)
    name = getattr(condition, "__qualname__", repr(condition))
    return f"{name} ({os.path.relpath(code.co_filename)}:{code.co_firstlineno})" if code else name
