"""The Kafka adapter beyond the contract: rebalances, commits, topics."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from common.broker import open_broker
from common.broker.base import Broker, Delivery
from common.broker.kafka.cluster import Cluster, TopicSettings, open_cluster
from common.broker.kafka.connection import connection_options
from common.broker.kafka.progress import WINDOW, CommittedOffset
from common.errors import MessageTooLarge
from common.settings import SharedSettings
from tests.contract.test_broker import Backend, read_line
from tests.servers.kafka import Kafka
from tests.servers.kafka_topics import (
    add_partitions,
    config_of,
    create_topic,
    delete_topic,
    partitions_of,
    publish_raw,
)
from tests.waiting import patience

SESSION_SECONDS = 30.0
"""A process that stands still for longer loses what it holds."""
SHORT_SESSION_SECONDS = 1.0
HOUR = timedelta(hours=1)


def settings(kafka: Kafka, **overrides: str) -> SharedSettings:
    environment = kafka.environment(
        **{"KAFKA_TIMEOUT_SECONDS": "5", "BROKER_LEASE_SECONDS": str(SESSION_SECONDS), "KAFKA_PARTITIONS": "1"}
        | overrides
    )
    return SharedSettings.model_validate({name.lower(): value for name, value in environment.items()})


def opened(kafka: Kafka, **overrides: str) -> AbstractAsyncContextManager[Broker]:
    return open_broker(settings(kafka, **overrides))


@asynccontextmanager
async def cluster_of(kafka: Kafka) -> AsyncGenerator[Cluster]:
    async with open_cluster(
        connection_options(settings(kafka)), TopicSettings(1, 1, {}), timeout_seconds=10
    ) as cluster:
        yield cluster


@pytest.fixture
def topic() -> str:
    return f"test.{uuid.uuid4().hex}"


async def put(broker: Broker, topic: str, *values: str) -> None:
    for value in values:
        await broker.publish(topic, "", value.encode(), {})


async def take(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(patience()):
        return await anext(deliveries)


def text(delivery: Delivery) -> str:
    return delivery.message.value.decode()


async def committed(kafka: Kafka, topic: str, partition: int = 0) -> CommittedOffset:
    async with cluster_of(kafka) as cluster:
        return (await cluster.committed(f"g.{topic}", topic, [partition]))[partition]


async def test_a_commit_never_passes_an_unfinished_offset(kafka: Kafka, topic: str) -> None:
    async with opened(kafka) as broker:
        await put(broker, topic, "a", "b", "c")
        async with broker.consume(topic, "g", prefetch=3) as deliveries:
            a, b, c = [await take(deliveries) for _ in range(3)]
            await c.ack()
            assert (await committed(kafka, topic)).offset == 0
            await a.ack()
            assert (await committed(kafka, topic)).offset == 1
            await b.ack()
            assert (await committed(kafka, topic)).offset == 3


async def test_what_was_finished_ahead_of_a_poison_message_is_not_delivered_again(kafka: Kafka, topic: str) -> None:
    async with opened(kafka) as broker:
        await put(broker, topic, "poison", *map(str, range(150)))
        async with broker.consume(topic, "g") as deliveries:
            poison = await take(deliveries)
            await poison.retry(HOUR)
            for number in range(150):
                delivery = await take(deliveries)
                assert text(delivery) == str(number)
                await delivery.ack()
        assert await broker.lag(topic, "g") == 1
        async with broker.consume(topic, "g") as deliveries:
            again = await take(deliveries)
            assert (text(again), again.attempt) == ("poison", 2)
            await put(broker, topic, "next")
            await again.ack()
            assert text(await take(deliveries)) == "next"


async def test_a_backlog_beyond_the_window_is_read_to_its_end(kafka: Kafka, topic: str) -> None:
    count = WINDOW + 800
    async with opened(kafka) as broker:
        await asyncio.gather(*(put(broker, topic, str(number)) for number in range(count)))
        async with broker.consume(topic, "g", prefetch=100) as deliveries, asyncio.TaskGroup() as tasks:
            first = await take(deliveries)
            finished = 0
            stuck = asyncio.Event()

            async def finish() -> None:
                nonlocal finished
                async for delivery in deliveries:
                    await delivery.ack()
                    finished += 1
                    if finished == WINDOW - 1:
                        stuck.set()
                    if finished == count - 1:
                        break

            working = [tasks.create_task(finish()) for _ in range(50)]
            async with asyncio.timeout(patience()):
                await stuck.wait()
                assert (await committed(kafka, topic)).offset == 0
                await first.ack()
                await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            for task in working:
                task.cancel()
        assert await broker.lag(topic, "g") == 0


async def test_a_second_member_leaves_the_first_one_what_it_holds(kafka: Kafka, topic: str) -> None:
    """Half of the partitions move, with the work in hand; where they stay, that work counts."""
    async with (
        opened(kafka, KAFKA_PARTITIONS="4") as one,
        opened(kafka) as two,
        one.consume(topic, "g", prefetch=100) as deliveries,
    ):
        await put(one, topic, *map(str, range(40)))
        held = [await take(deliveries) for _ in range(40)]
        async with two.consume(topic, "g", prefetch=100) as other:
            with capture_logs() as logs:
                for delivery in held:
                    await delivery.ack()
            lost = {log["position"] for log in logs if log["event"] == "broker.lease_lost"}
            assert 0 < len(lost) < 40
            assert await one.lag(topic, "g") == len(lost)
            moved = [await take(other) for _ in lost]
            assert {delivery.message.position for delivery in moved} == lost
            assert {delivery.attempt for delivery in moved} == {1}
            for delivery in moved:
                await delivery.ack()
        assert await one.lag(topic, "g") == 0


async def test_a_consumer_that_hung_past_its_session_ends_nothing(kafka: Kafka, topic: str) -> None:
    backend = Backend(kafka.environment(BROKER_LEASE_SECONDS=str(SHORT_SESSION_SECONDS), KAFKA_PARTITIONS="1"), topic)
    async with backend.open() as broker, broker.consume(topic, "g") as deliveries:
        await put(broker, topic, "a")
        stale = await take(deliveries)
        async with backend.process("hold", topic, "g") as rival:
            line = asyncio.ensure_future(read_line(rival))
            while not line.done():
                time.sleep(2 * SHORT_SESSION_SECONDS)  # noqa: ASYNC251 - the loop must hang, heartbeats with it
                await asyncio.wait({line}, timeout=SHORT_SESSION_SECONDS / 10)
            value, attempt = line.result().split()
            assert (value, int(attempt) >= 2) == ("a", True)
            with capture_logs() as logs:
                await stale.ack()
            assert [log["event"] for log in logs].count("broker.lease_lost") == 1
            assert await broker.lag(topic, "g") == 1


async def test_a_job_longer_than_the_poll_interval_runs_once(kafka: Kafka, topic: str) -> None:
    # Heartbeats, by which a member learns that another joins, come once a second.
    interval = {"KAFKA_MAX_POLL_INTERVAL_SECONDS": "2"}
    async with (
        opened(kafka, **interval) as one,
        opened(kafka, **interval) as two,
        one.consume(topic, "g") as first,
        two.consume(topic, "g") as second,
        asyncio.TaskGroup() as tasks,
    ):
        takers = {tasks.create_task(take(member)) for member in (first, second)}
        await put(one, topic, "long")
        (holder,), rivals = await asyncio.wait(takers, return_when=asyncio.FIRST_COMPLETED)
        assert not (await asyncio.wait(rivals, timeout=3))[0], "the job outlasts the interval"
        await holder.result().ack()
        assert await one.lag(topic, "g") == 0
        for rival in rivals:
            rival.cancel()


async def test_attempts_survive_a_crash(kafka: Kafka, topic: str) -> None:
    backend = Backend(kafka.environment(BROKER_LEASE_SECONDS=str(SHORT_SESSION_SECONDS)), topic)
    async with backend.open() as broker:
        await put(broker, topic, "a")
        async with broker.consume(topic, "g") as deliveries:
            await (await take(deliveries)).retry(timedelta(0))
            await (await take(deliveries)).retry(timedelta(0))
        async with backend.process("hold", topic, "g") as holder:
            value, held = (await read_line(holder)).split()
            assert (value, int(held) >= 3) == ("a", True), "more, if a member stood still for longer than its session"
            holder.kill()
            async with broker.consume(topic, "g") as deliveries:
                assert (await take(deliveries)).attempt > int(held)


async def test_a_group_that_is_known_misses_nothing_in_new_partitions(kafka: Kafka, topic: str) -> None:
    async with opened(kafka) as broker:
        async with broker.consume(topic, "g", start="latest"):
            pass
        await add_partitions(kafka.bootstrap, topic, 2)
        await put(broker, topic, *map(str, range(20)))
        async with broker.consume(topic, "g", start="latest") as deliveries:
            taken = [await take(deliveries) for _ in range(1)]
            for delivery in taken:
                await delivery.ack()
            for _ in range(19):
                delivery = await take(deliveries)
                taken.append(delivery)
                await delivery.ack()
    assert sorted(map(text, taken)) == sorted(map(str, range(20)))
    assert {delivery.message.position.partition(":")[0] for delivery in taken} == {"0", "1"}


async def test_a_topic_is_made_as_configured_and_an_existing_one_left_alone(kafka: Kafka, topic: str) -> None:
    for partitions, hours in ("5", "3"), ("7", "9"):
        async with opened(kafka, KAFKA_PARTITIONS=partitions, KAFKA_RETENTION_HOURS=hours) as broker:
            await put(broker, topic, "a")
        assert await partitions_of(kafka.bootstrap, topic) == 5
        assert (await config_of(kafka.bootstrap, topic))["retention.ms"] == str(3 * 3_600_000)


async def test_a_topic_that_takes_less_refuses_a_larger_message(kafka: Kafka, topic: str) -> None:
    await create_topic(kafka.bootstrap, topic, max_message_bytes="2000")
    async with opened(kafka) as broker:
        with pytest.raises(MessageTooLarge, match=topic):
            await put(broker, topic, "x" * 4000)
        await put(broker, topic, "small")
        assert [message.value for message in await broker.peek(topic)] == [b"small"]


async def test_a_dead_letter_that_does_not_fit_is_published_without_its_body(kafka: Kafka, topic: str) -> None:
    await create_topic(kafka.bootstrap, f"{topic}.dlq", max_message_bytes="1000")
    async with opened(kafka) as broker, broker.consume(topic, "g") as deliveries:
        await put(broker, topic, "x" * 4000)
        await (await take(deliveries)).reject("invalid_message", "large")
        (letter,) = await broker.peek(f"{topic}.dlq")
        assert (letter.value, letter.headers["error_code"], letter.headers["origin_offset"]) == (
            b"",
            "invalid_message",
            "0",
        )
        assert await broker.lag(topic, "g") == 0


async def test_what_others_publish_is_read_whatever_it_is(kafka: Kafka, topic: str) -> None:
    await create_topic(kafka.bootstrap, topic)
    await publish_raw(
        kafka.bootstrap, topic, b"\xff", None, [("none", None), ("bytes", b"\xff"), ("twice", b"1"), ("twice", b"2")]
    )
    async with opened(kafka) as broker, broker.consume(topic, "g") as deliveries:
        message = (await take(deliveries)).message
    assert (message.key, message.value) == ("\ufffd", b"")
    assert dict(message.headers) == {"none": "", "bytes": "\ufffd", "twice": "2"}


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(kafka: Kafka, topic: str) -> None:
    async with opened(kafka) as broker, broker.consume(topic, "g") as deliveries:
        await put(broker, topic, "a", "b", "c")
        for _ in range(3):
            await (await take(deliveries)).ack()
        await delete_topic(kafka.bootstrap, topic)
        await create_topic(kafka.bootstrap, topic)
        async with opened(kafka) as other:
            await put(other, topic, "new")
        delivery = await take(deliveries)
        assert text(delivery) == "new"
        await delivery.ack()
        assert await broker.lag(topic, "g") == 0


async def test_health_names_the_brokers_and_the_controller(kafka: Kafka) -> None:
    async with opened(kafka) as broker:
        health = await broker.health()
    assert (health.name, health.ok) == ("kafka", True)
    assert health.metadata == {"kafka": {"brokers": [{"address": kafka.bootstrap, "is_leader": True}]}}


async def test_a_topic_exists_once_it_was_ensured_and_before_any_message(kafka: Kafka, topic: str) -> None:
    """Consumers of other programs look for it once, at their start."""
    async with opened(kafka) as broker, cluster_of(kafka) as cluster:
        assert await cluster.partitions(topic) is None
        await broker.ensure_topic(topic)
        assert await cluster.partitions(topic) == [0]
        await broker.ensure_topic(topic)
