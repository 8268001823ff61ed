from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from common.broker.base import Broker
from common.broker.embedded.broker import open_embedded
from common.broker.embedded.retention import BacklogLimits
from common.observability.gauges import Backlog, watch_backlogs, watch_loop
from common.tasks import running_alongside
from tests.waiting import until

SOON = timedelta(milliseconds=10)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncGenerator[Broker]:
    async with open_embedded(tmp_path / "broker.db", BacklogLimits(1000, 10_000_000), lease_seconds=5) as broker:
        yield broker


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    found = registry.get_sample_value(name, labels)
    return math.nan if found is None else found


def backlog_of(broker: Broker) -> dict[str, Backlog]:
    return {"songs": Backlog(partial(broker.lag, "songs", "workers"), partial(broker.oldest_age, "songs", "workers"))}


def oldest_in(registry: CollectorRegistry) -> float:
    return value(registry, "butakero_queue_oldest_seconds", topic="songs")


def lag_of(registry: CollectorRegistry) -> float:
    return value(registry, "butakero_queue_lag", topic="songs")


async def test_a_loop_that_was_blocked_is_seen_to_be_late() -> None:
    registry, stop = CollectorRegistry(), asyncio.Event()

    def seen(what: str, **labels: str) -> float:
        return value(registry, f"butakero_event_loop_lag_seconds_{what}", **labels)

    async with running_alongside(watch_loop(registry, stop, every=SOON)):
        await until(lambda: seen("count") > 0)
        time.sleep(0.3)  # noqa: ASYNC251 - blocking the loop is what this test is about
        await until(lambda: seen("sum") > 0.2 and seen("count") > seen("bucket", le="0.1"))


async def test_the_lag_is_what_the_group_has_not_finished(broker: Broker) -> None:
    registry, stop = CollectorRegistry(), asyncio.Event()
    for _ in range(3):
        await broker.publish("songs", "key", b"{}", {})
    async with running_alongside(watch_backlogs(registry, backlog_of(broker), stop, every=SOON)):
        await until(lambda: lag_of(registry) == 3 and oldest_in(registry) > 0)
        async with broker.consume("songs", "workers") as deliveries:
            await (await anext(deliveries)).ack()
            await until(lambda: lag_of(registry) == 2)
            for _ in range(2):
                await (await anext(deliveries)).ack()
            await until(lambda: lag_of(registry) == 0 and oldest_in(registry) == 0)


async def test_the_lag_is_nan_while_the_broker_does_not_answer(tmp_path: Path) -> None:
    registry, stop = CollectorRegistry(), asyncio.Event()
    async with open_embedded(tmp_path / "closed.db", BacklogLimits(1000, 10_000_000), lease_seconds=5) as closed:
        await closed.publish("songs", "key", b"{}", {})
        watching = asyncio.ensure_future(watch_backlogs(registry, backlog_of(closed), stop, every=SOON))
        await until(lambda: lag_of(registry) == 1)
    await until(lambda: math.isnan(lag_of(registry)) and math.isnan(oldest_in(registry)))
    stop.set()
    await watching


async def test_watching_ends_with_the_program(broker: Broker) -> None:
    stop = asyncio.Event()
    stop.set()
    await watch_loop(CollectorRegistry(), stop)
    await watch_backlogs(CollectorRegistry(), backlog_of(broker), stop)
