"""Metrics of what a service depends on: whether each dependency works, and how much room its disk has.

Prometheus' `up` says that the process answers, which it does while Kafka or MongoDB is down. Compose does not
ask /readyz.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from common.errors import AppError
from common.health import Health
from common.observability.telemetry import get_logger
from common.tasks import pause, time_limit

log = get_logger(__name__)

CHECK_EVERY = timedelta(seconds=15)
LIMIT_SECONDS = 5.0


def dependency_up(registry: CollectorRegistry) -> Gauge:
    """Make the metric of each dependency."""
    return Gauge("butakero_dependency_up", "1 while the dependency works, else 0.", ["dependency"], registry=registry)


def disk_free_ratio(registry: CollectorRegistry) -> Gauge:
    """Make the metric of the disk."""
    return Gauge(
        "butakero_disk_free_ratio", "Free part of the disk that the songs are on; NaN: unknown.", registry=registry
    )


async def watch_dependencies(
    registry: CollectorRegistry,
    checks: Mapping[str, Callable[[], Awaitable[Health]]],
    disk: Path,
    stop: asyncio.Event,
    *,
    every: timedelta = CHECK_EVERY,
) -> None:
    """Check each dependency, and the disk of `disk`, until `stop`."""
    up, free = dependency_up(registry), disk_free_ratio(registry)
    while not stop.is_set():
        async with asyncio.TaskGroup() as tasks:
            for name, check in checks.items():
                tasks.create_task(_observe(up, name, check))
            free.set(await asyncio.to_thread(_free, disk))
        await pause(stop, every)


async def _observe(up: Gauge, name: str, check: Callable[[], Awaitable[Health]]) -> None:
    try:
        async with time_limit(LIMIT_SECONDS):
            ok = (await check()).ok
    except (AppError, TimeoutError) as exc:
        log.debug("dependency.unknown", dependency=name, error=type(exc).__name__)
        ok = False
    up.labels(name).set(ok)


def _free(disk: Path) -> float:
    try:
        usage = shutil.disk_usage(disk)
    except OSError:
        return math.nan
    return usage.free / usage.total if usage.total else math.nan
