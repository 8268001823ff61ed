"""Metrics that both services sample in the background: event loop lag, and what waits in the queue.

Each watcher runs until `stop` and owns its metric. It only measures; alerts act on the metrics.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry, Gauge, Histogram

from common.errors import BrokerError
from common.observability.telemetry import get_logger
from common.tasks import pause

log = get_logger(__name__)

LOOP_EVERY = timedelta(milliseconds=250)
LAG_EVERY = timedelta(seconds=10)
_LATENESS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


@dataclass(frozen=True, slots=True)
class Backlog:
    """A group's unfinished messages of a topic: calls of `Broker.lag` and `Broker.oldest_age`."""

    lag: Callable[[], Awaitable[int]]
    oldest_age: Callable[[], Awaitable[timedelta]]


def loop_lateness(registry: CollectorRegistry) -> Histogram:
    """Make the metric of `watch_loop`."""
    return Histogram(
        "butakero_event_loop_lag_seconds",
        "How late the event loop woke a task that slept.",
        buckets=_LATENESS,
        registry=registry,
    )


def queue_lag(registry: CollectorRegistry) -> Gauge:
    """Make one metric of `watch_backlogs`."""
    return Gauge("butakero_queue_lag", "Messages that the consumers have not finished.", ["topic"], registry=registry)


def queue_oldest(registry: CollectorRegistry) -> Gauge:
    """Make the other metric of `watch_backlogs`."""
    return Gauge(
        "butakero_queue_oldest_seconds",
        "Age of the oldest message that the consumers have not finished; 0 without one.",
        ["topic"],
        registry=registry,
    )


async def watch_loop(registry: CollectorRegistry, stop: asyncio.Event, *, every: timedelta = LOOP_EVERY) -> None:
    """Observe how much later than scheduled a sleeping task is woken: a delay added to every packet and answer."""
    lateness = loop_lateness(registry)
    while not stop.is_set():
        due = time.monotonic() + every.total_seconds()
        await pause(stop, every)
        if not stop.is_set():
            lateness.observe(max(0.0, time.monotonic() - due))


async def watch_backlogs(
    registry: CollectorRegistry,
    backlogs: Mapping[str, Backlog],
    stop: asyncio.Event,
    *,
    every: timedelta = LAG_EVERY,
) -> None:
    """Set the lag and the oldest age of each topic; NaN while the broker is unavailable."""
    lag, oldest = queue_lag(registry), queue_oldest(registry)
    for topic in backlogs:
        lag.labels(topic).set(math.nan)
        oldest.labels(topic).set(math.nan)
    while not stop.is_set():
        for topic, backlog in backlogs.items():
            try:
                count, age = await backlog.lag(), (await backlog.oldest_age()).total_seconds()
            except BrokerError as exc:
                log.debug("lag.unknown", topic=topic, code=exc.code)
                count, age = math.nan, math.nan
            lag.labels(topic).set(count)
            oldest.labels(topic).set(age)
        await pause(stop, every)
