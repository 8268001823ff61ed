"""Unreachable brokers: at the start, for a while, and with messages in flight."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest
import pytest_asyncio

from common.broker import open_broker
from common.broker.base import Broker, Delivery
from common.errors import BrokerUnavailable
from common.settings import SharedSettings
from tests.servers.kafka import Kafka, open_kafka
from tests.waiting import patience, until


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncGenerator[Kafka]:
    async with open_kafka() as kafka:
        yield kafka


@pytest.fixture
async def mortal(running: Kafka) -> Kafka:
    """A broker that these tests have for themselves; the last one may have left it dead."""
    await running.revive()
    return running


@pytest.fixture
def topic() -> str:
    return f"test.{uuid.uuid4().hex}"


def opened(kafka: Kafka) -> AbstractAsyncContextManager[Broker]:
    environment = kafka.environment(KAFKA_TIMEOUT_SECONDS="1.5", BROKER_LEASE_SECONDS="1", KAFKA_PARTITIONS="2")
    return open_broker(SharedSettings.model_validate({name.lower(): value for name, value in environment.items()}))


async def put(broker: Broker, topic: str, *values: str) -> None:
    for value in values:
        await broker.publish(topic, value, value.encode(), {})


async def persist(broker: Broker, topic: str, value: str) -> None:
    """Publish, and try again after each BrokerUnavailable."""
    async with asyncio.timeout(patience()):
        while True:
            try:
                await put(broker, topic, value)
            except BrokerUnavailable:
                continue
            return


async def take(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(patience()):
        return await anext(deliveries)


def text(delivery: Delivery) -> str:
    return delivery.message.value.decode()


async def test_brokers_that_are_down_at_the_start_are_waited_for(mortal: Kafka, topic: str) -> None:
    await mortal.kill()
    async with opened(mortal) as broker:
        health = await broker.health()
        assert (health.ok, health.error.count("KAFKA_BROKERS")) == (False, 1)
        with pytest.raises(BrokerUnavailable, match="KAFKA_BROKERS"):
            await put(broker, topic, "refused")
        with pytest.raises(BrokerUnavailable, match="KAFKA_BROKERS"):
            async with broker.consume(topic, "g"):
                pass
        await mortal.start()
        await persist(broker, topic, "a")
        assert (await broker.health()).ok
        async with broker.consume(topic, "g") as deliveries:
            delivery = await take(deliveries)
            assert text(delivery) == "a"
            await delivery.ack()
        assert await broker.lag(topic, "g") == 0


async def test_a_broker_that_dies_and_comes_back_loses_nothing_that_it_took(mortal: Kafka, topic: str) -> None:
    async with opened(mortal) as broker:
        await put(broker, topic, "before", "held", "waiting")
        async with broker.consume(topic, "g", prefetch=2) as deliveries:
            first, second = await take(deliveries), await take(deliveries)
            await first.ack()
            await mortal.kill()
            assert not (await broker.health()).ok
            with pytest.raises(BrokerUnavailable):
                await put(broker, topic, "refused")
            with pytest.raises(BrokerUnavailable):
                await second.ack()
            await second.release(timedelta(seconds=0.1))
            await mortal.start()
            await persist(broker, topic, "after")
            seen = {text(first)}
            while len(seen) < 4:
                delivery = await take(deliveries)
                assert (text(delivery) in seen, delivery.attempt) == (False, 1)
                seen.add(text(delivery))
                await delivery.ack()
            assert seen == {"before", "held", "waiting", "after"}
            assert await broker.lag(topic, "g") == 0
        assert [message.value for message in await broker.peek(topic)].count(b"refused") == 0


async def test_an_ack_that_was_refused_can_be_repeated(mortal: Kafka, topic: str) -> None:
    async with opened(mortal) as broker:
        await put(broker, topic, "a")
        async with broker.consume(topic, "g") as deliveries:
            delivery = await take(deliveries)
            await mortal.kill()
            with pytest.raises(BrokerUnavailable):
                await delivery.ack()
            await mortal.start()
            await persist(broker, topic, "b")
            async with asyncio.timeout(patience()):
                while True:
                    try:
                        await delivery.ack()
                    except BrokerUnavailable:
                        continue
                    break
            following = await take(deliveries)
            assert text(following) == "b"
            await following.ack()
            assert await broker.lag(topic, "g") == 0


async def test_leaving_and_closing_do_not_wait_for_a_broker_that_is_gone(mortal: Kafka, topic: str) -> None:
    async with asyncio.timeout(patience()), opened(mortal) as broker:
        await put(broker, topic, "a")
        async with broker.consume(topic, "g") as deliveries:
            await take(deliveries)
            await mortal.kill()
            with pytest.raises(BrokerUnavailable):
                await put(broker, topic, "refused")
    assert not (await broker.health()).ok


async def test_a_broker_that_is_silent_is_left_in_time_and_nothing_runs_on(mortal: Kafka, topic: str) -> None:
    """A consumer that kept sending heartbeats would hold partitions that it does not read."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(patience()):
        async with opened(mortal) as broker:
            await put(broker, topic, "a")
            async with broker.consume(topic, "g") as deliveries:
                delivery = await take(deliveries)
                with mortal.frozen():
                    assert not (await broker.health()).ok
                    with pytest.raises(BrokerUnavailable):
                        await put(broker, topic, "refused")
                    with pytest.raises(BrokerUnavailable):
                        await delivery.ack()
        with mortal.frozen():
            async with opened(mortal) as broker:
                with pytest.raises(BrokerUnavailable):
                    await broker.lag(topic, "g")
    await until(lambda: asyncio.all_tasks() == before)


async def test_leaving_a_silent_broker_leaves_nothing_behind(mortal: Kafka, topic: str) -> None:
    async with asyncio.timeout(patience()), opened(mortal) as broker:
        await put(broker, topic, "a")
        before = asyncio.all_tasks()
        leaving = broker.consume(topic, "g")
        await take(await leaving.__aenter__())
        with mortal.frozen():
            await leaving.__aexit__(None, None, None)
            await until(lambda: asyncio.all_tasks() <= before)
        async with broker.consume(topic, "g") as deliveries:
            assert text(await take(deliveries)) == "a"
