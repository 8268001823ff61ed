"""The contract of every broker. A new adapter adds an entry to ADAPTERS, and no test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from common.broker import open_broker
from common.broker.base import Broker, Delivery
from common.errors import BrokerUnavailable, MessageTooLarge
from common.settings import SharedSettings
from tests.servers.emulators import Emulator
from tests.servers.kafka import Kafka
from tests.servers.reaper import child_environment
from tests.waiting import patience, until

REPOSITORY = Path(__file__).parents[2]
LEASE_SECONDS = 30.0
"""A process that stands still for longer loses what it holds, and most tests are not about that."""
RUN = uuid.uuid4()


def embedded(request: pytest.FixtureRequest) -> dict[str, str]:
    directory: Path = request.getfixturevalue("tmp_path")
    return {"MESSAGING_BACKEND": "embedded", "EMBEDDED_BROKER_PATH": str(directory / "broker.db")}


def kafka(request: pytest.FixtureRequest) -> dict[str, str]:
    running: Kafka = request.getfixturevalue("kafka")
    return running.environment(KAFKA_PARTITIONS="3")


def sqs_fan_out(request: pytest.FixtureRequest) -> dict[str, str]:
    """An SNS topic with a queue for each group, as statuses have; all queues are this test's own."""
    running: Emulator = request.getfixturevalue("ministack")
    return {
        "MESSAGING_BACKEND": "sqs",
        "AWS_ENDPOINT_URL": running.url,
        "SQS_WAIT_TIME_SECONDS": "1",
        "TOPIC_DOWNLOAD_REQUESTS": f"test.{uuid.uuid4().hex}.requests",
    }


def sqs_work_queue(request: pytest.FixtureRequest) -> dict[str, str]:
    """One queue that all groups share, as requests have."""
    return {**sqs_fan_out(request), "TOPIC_DOWNLOAD_REQUESTS": topic_of(request)}


ADAPTERS: dict[str, Callable[[pytest.FixtureRequest], dict[str, str]]] = {
    "embedded": embedded,
    "kafka": kafka,
    "sqs-fan-out": sqs_fan_out,
    "sqs-work-queue": sqs_work_queue,
}


@dataclass(frozen=True)
class Backend:
    """One broker's place, named by the environment that leads to it, and a topic of this test alone."""

    environment: dict[str, str]
    topic: str

    def open(self) -> AbstractAsyncContextManager[Broker]:
        return open_broker(SharedSettings.model_validate({k.lower(): v for k, v in self.environment.items()}))

    @asynccontextmanager
    async def process(self, *arguments: str) -> AsyncGenerator[Process]:
        """Run `broker_process` as another process on the same broker; it is killed when the context is left."""
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.contract.broker_process",
            *arguments,
            cwd=REPOSITORY,
            env=child_environment({**os.environ, **self.environment}),
            stdout=PIPE,
        )
        try:
            yield running
        finally:
            if running.returncode is None:
                running.kill()
            await running.communicate()


def topic_of(request: pytest.FixtureRequest) -> str:
    """The topic of this test alone, the same each time it is asked for."""
    return f"test.{uuid.uuid5(RUN, request.node.nodeid).hex}"


@pytest.fixture
def lease_seconds() -> float:
    """Tests that wait for the end of a lease set a shorter one."""
    return LEASE_SECONDS


@pytest.fixture(params=sorted(ADAPTERS))
def backend(request: pytest.FixtureRequest, lease_seconds: float) -> Backend:
    environment = ADAPTERS[str(request.param)](request)
    return Backend({**environment, "BROKER_LEASE_SECONDS": str(lease_seconds)}, topic_of(request))


@pytest.fixture
async def broker(backend: Backend) -> AsyncGenerator[Broker]:
    async with backend.open() as opened:
        await let_join(opened, backend.topic, "g")
        yield opened


async def let_join(broker: Broker, topic: str, group: str) -> None:
    """Let a group exist before messages do, where nothing is kept for groups that join later."""
    if not broker.guarantees(topic).retained:
        async with broker.consume(topic, group):
            pass


async def put(broker: Broker, topic: str, *values: str) -> None:
    for value in values:
        await broker.publish(topic, "key", value.encode(), {})


async def take(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(patience()):
        return await anext(deliveries)


async def take_values(deliveries: AsyncIterator[Delivery], count: int) -> list[str]:
    """Take and ack `count` deliveries."""
    values: list[str] = []
    for _ in range(count):
        delivery = await take(deliveries)
        values.append(text(delivery))
        await delivery.ack()
    return values


async def read_line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(patience()):
        return (await process.stdout.readline()).decode().strip()


def text(delivery: Delivery) -> str:
    return delivery.message.value.decode()


async def test_a_key_and_a_header_of_any_text_are_taken(backend: Backend, broker: Broker) -> None:
    await broker.publish(backend.topic, "a\ud83c", b"v", {"name": "b\udfb5"})
    async with broker.consume(backend.topic, "g") as deliveries:
        message = (await take(deliveries)).message
    assert (message.key, message.headers["name"]) == ("a?", "b?")


async def test_a_message_arrives_as_it_was_published(broker: Broker, backend: Backend) -> None:
    value = bytes(range(256))
    headers = {"correlation_id": "á\n\0 😀", "empty": ""}
    await broker.publish(backend.topic, "canción — 🎵", value, headers)
    async with broker.consume(backend.topic, "g") as deliveries:
        delivery = await take(deliveries)
        message = delivery.message
        await delivery.ack()
    assert (message.topic, message.key, message.value) == (backend.topic, "canción — 🎵", value)
    assert dict(message.headers) == headers
    assert delivery.attempt == 1
    assert message.position


async def test_a_waiting_consumer_gets_what_is_published_later(broker: Broker, backend: Backend) -> None:
    async with broker.consume(backend.topic, "g") as deliveries, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(take(deliveries))
        await put(broker, backend.topic, "a")
        await (await waiting).ack()
    assert await broker.lag(backend.topic, "g") == 0


async def test_a_waiting_consumer_gets_what_another_opener_publishes(broker: Broker, backend: Backend) -> None:
    async with backend.open() as other, broker.consume(backend.topic, "g") as deliveries, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(take(deliveries))
        await put(other, backend.topic, "a")
        await (await waiting).ack()
    assert await broker.lag(backend.topic, "g") == 0


async def test_each_group_sees_every_message(broker: Broker, backend: Backend) -> None:
    async with broker.consume(backend.topic, "one") as one, broker.consume(backend.topic, "two") as two:
        await put(broker, backend.topic, "a", "b")
        if not broker.guarantees(backend.topic).separate_groups:
            assert sorted(await take_values(one, 1) + await take_values(two, 1)) == ["a", "b"]
            return
        assert sorted(await take_values(one, 2)) == ["a", "b"]
        assert sorted(await take_values(two, 2)) == ["a", "b"]


async def test_the_members_of_a_group_share_its_messages(broker: Broker, backend: Backend) -> None:
    values = [str(number) for number in range(12)]
    await put(broker, backend.topic, *values)
    seen: list[str] = []
    done = asyncio.Event()

    async def work(member: Broker) -> None:
        async with member.consume(backend.topic, "g") as deliveries:
            async for delivery in deliveries:
                seen.append(text(delivery))
                await delivery.ack()
                if len(seen) == len(values):
                    done.set()

    async with backend.open() as other, asyncio.timeout(patience()), asyncio.TaskGroup() as tasks:
        members = [tasks.create_task(work(member)) for member in (broker, other, broker)]
        await done.wait()
        for member in members:
            member.cancel()
    assert sorted(seen) == sorted(values)


async def test_a_new_group_begins_where_it_was_told(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "before")
    async with (
        broker.consume(backend.topic, "late", start="latest") as late,
        broker.consume(backend.topic, "early", start="earliest") as early,
    ):
        await put(broker, backend.topic, "after")
        guarantees = broker.guarantees(backend.topic)
        if not guarantees.separate_groups:
            assert sorted(await take_values(late, 1) + await take_values(early, 1)) == ["after", "before"]
            return
        assert await take_values(late, 1) == ["after"]
        expected = ["after", "before"] if guarantees.retained else ["after"]
        assert sorted(await take_values(early, len(expected))) == expected


async def test_a_known_group_goes_on_where_it_was_whatever_start_says(broker: Broker, backend: Backend) -> None:
    async with broker.consume(backend.topic, "g"):
        pass
    await put(broker, backend.topic, "while away")
    async with broker.consume(backend.topic, "g", start="latest") as deliveries:
        assert await take_values(deliveries, 1) == ["while away"]


async def test_a_forgotten_group_begins_anew(broker: Broker, backend: Backend) -> None:
    async with broker.consume(backend.topic, "group"), broker.consume(backend.topic, "other"):
        await put(broker, backend.topic, "before")
    await broker.forget(backend.topic, "group")
    await broker.forget(backend.topic, "group")
    if not broker.guarantees(backend.topic).separate_groups:
        assert await broker.lag(backend.topic, "other") == 1, "it stays for all"
        return
    async with broker.consume(backend.topic, "group", start="latest") as deliveries:
        await put(broker, backend.topic, "after")
        assert await take_values(deliveries, 1) == ["after"]
    assert await broker.lag(backend.topic, "other") == 2


async def test_no_more_than_prefetch_are_unfinished(broker: Broker, backend: Backend) -> None:
    await let_join(broker, backend.topic, "others")
    await put(broker, backend.topic, "a", "b", "c")
    async with broker.consume(backend.topic, "g", prefetch=2) as deliveries, asyncio.TaskGroup() as tasks:
        first, second = await take(deliveries), await take(deliveries)
        third = tasks.create_task(take(deliveries))
        separate = broker.guarantees(backend.topic).separate_groups
        async with broker.consume(backend.topic, "others") as theirs:
            await take_values(theirs, 3 if separate else 1)
        assert not third.done(), "while others have had all the rest"
        if not separate:
            await put(broker, backend.topic, "d")
        await first.ack()
        await (await third).ack()
        await second.ack()
    assert await broker.lag(backend.topic, "g") == 0


async def test_prefetch_of_none_is_refused(broker: Broker, backend: Backend) -> None:
    with pytest.raises(ValueError, match="prefetch"):
        async with broker.consume(backend.topic, "g", prefetch=0):
            pass


async def test_what_was_acked_is_not_delivered_after_reopening(backend: Backend) -> None:
    async with backend.open() as broker:
        await let_join(broker, backend.topic, "g")
        await put(broker, backend.topic, "a", "b")
        async with broker.consume(backend.topic, "g") as deliveries:
            first = await take_values(deliveries, 1)
    async with backend.open() as broker, broker.consume(backend.topic, "g") as deliveries:
        assert sorted(first + await take_values(deliveries, 1)) == ["a", "b"]
        await put(broker, backend.topic, "c")
        assert await take_values(deliveries, 1) == ["c"]


async def test_retry_delivers_again_after_the_delay_as_the_next_attempt(broker: Broker, backend: Backend) -> None:
    delay = timedelta(seconds=1)
    await put(broker, backend.topic, "a")
    async with broker.consume(backend.topic, "g") as deliveries:
        first = await take(deliveries)
        retried_at = time.time()
        await first.retry(delay)
        again = await take(deliveries)
        assert time.time() - retried_at >= delay.total_seconds()
        assert (text(again), first.attempt, again.attempt) == ("a", 1, 2)
        await again.retry(timedelta(0))
        third = await take(deliveries)
        assert third.attempt == 3
        await third.ack()


async def test_what_waits_for_its_retry_holds_nothing_up(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a", "b")
    async with broker.consume(backend.topic, "g") as deliveries:
        first = await take(deliveries)
        await first.retry(timedelta(hours=1))
        assert sorted([text(first), *await take_values(deliveries, 1)]) == ["a", "b"]


async def test_release_delivers_again_as_the_same_attempt(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a")
    async with broker.consume(backend.topic, "g") as deliveries:
        await (await take(deliveries)).retry(timedelta(0))
        await (await take(deliveries)).release()
        await (await take(deliveries)).release(timedelta(seconds=0.2))
        delivery = await take(deliveries)
        assert (text(delivery), delivery.attempt) == ("a", 2)
        await delivery.ack()


async def test_reject_moves_the_message_to_the_dead_letters(broker: Broker, backend: Backend) -> None:
    await broker.publish(backend.topic, "k", b"poison", {"correlation_id": "c"})
    async with broker.consume(backend.topic, "g") as deliveries:
        await (await take(deliveries)).retry(timedelta(0))
        delivery = await take(deliveries)
        await delivery.reject("invalid_message", "ñ is not JSON")
        await put(broker, backend.topic, "next")
        assert await take_values(deliveries, 1) == ["next"]
    (letter,) = await broker.peek(f"{backend.topic}.dlq")
    partition, _, offset = delivery.message.position.partition(":")
    assert (letter.key, letter.value) == ("k", b"poison")
    assert dict(letter.headers) == {
        "correlation_id": "c",
        "error_code": "invalid_message",
        "error_message": "ñ is not JSON",
        "origin_topic": backend.topic,
        "origin_partition": partition,
        "origin_offset": offset,
        "attempt": "2",
    }


async def test_dead_letters_can_be_consumed(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a")
    async with broker.consume(f"{backend.topic}.dlq", "replay") as letters:
        async with broker.consume(backend.topic, "g") as deliveries:
            await (await take(deliveries)).reject("invalid_message", "")
        assert await take_values(letters, 1) == ["a"]


async def test_a_delivery_is_settled_once(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a")
    async with broker.consume(backend.topic, "g") as deliveries:
        delivery = await take(deliveries)
        await delivery.ack()
        with pytest.raises(RuntimeError):
            await delivery.retry(timedelta(0))
    assert await broker.lag(backend.topic, "g") == 0


async def test_leaving_hands_back_at_once_what_is_unfinished(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a", "b")
    async with broker.consume(backend.topic, "g", prefetch=2) as deliveries:
        left = [text(await take(deliveries)), text(await take(deliveries))]
    async with broker.consume(backend.topic, "g", prefetch=2) as deliveries:
        again = [await take(deliveries), await take(deliveries)]
        assert sorted(map(text, again)) == sorted(left) == ["a", "b"]
        assert [delivery.attempt for delivery in again] == [1, 1]


async def test_settling_after_the_lease_was_lost_has_no_effect(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a")
    async with broker.consume(backend.topic, "g") as deliveries:
        stale = await take(deliveries)
    async with broker.consume(backend.topic, "g") as deliveries:
        holder = await take(deliveries)
        await stale.ack()
        assert await broker.lag(backend.topic, "g") == 1
        await holder.release()
        assert text(await take(deliveries)) == "a"


@pytest.mark.parametrize("lease_seconds", [4.0])
async def test_a_job_longer_than_the_lease_is_delivered_once(
    broker: Broker, backend: Backend, lease_seconds: float
) -> None:
    async with (
        backend.open() as other,
        broker.consume(backend.topic, "g") as one,
        other.consume(backend.topic, "g") as two,
        asyncio.TaskGroup() as tasks,
    ):
        takers = {tasks.create_task(take(member)): member for member in (one, two)}
        await put(broker, backend.topic, "long")
        (holder,), rivals = await asyncio.wait(takers, return_when=asyncio.FIRST_COMPLETED)
        waiting = {*rivals, tasks.create_task(take(takers[holder]))}
        assert not (await asyncio.wait(waiting, timeout=1.5 * lease_seconds))[0], "the job outlasts the lease"
        await holder.result().ack()
        await put(broker, backend.topic, "next")
        (taker,), idle = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        following = taker.result()
        assert (text(following), following.attempt) == ("next", 1)
        await following.ack()
        for task in idle:
            task.cancel()


@pytest.mark.parametrize("lease_seconds", [2.0])
async def test_a_killed_consumer_loses_its_delivery_to_another(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a")
    async with backend.process("hold", backend.topic, "g") as holder:
        assert await read_line(holder) == "a 1"
        os.kill(holder.pid, signal.SIGKILL)
        async with broker.consume(backend.topic, "g") as deliveries:
            delivery = await take(deliveries)
            assert text(delivery) == "a"
            # A holder that stood still before it was killed had lost its lease and taken it again: more were counted.
            assert delivery.attempt >= 2
            await delivery.ack()


async def test_publishers_in_several_processes_lose_nothing(broker: Broker, backend: Backend) -> None:
    count = 40
    async with (
        backend.process("publish", backend.topic, "x", str(count)) as x,
        backend.process("publish", backend.topic, "y", str(count)) as y,
        broker.consume(backend.topic, "g") as deliveries,
    ):
        values = await take_values(deliveries, 2 * count)
        async with asyncio.timeout(patience()):
            assert (await x.wait(), await y.wait()) == (0, 0)
    assert sorted(values) == sorted(f"{prefix}-{number}" for prefix in "xy" for number in range(count))


async def test_a_message_over_the_limit_is_refused(broker: Broker, backend: Backend) -> None:
    limit = broker.guarantees(backend.topic).max_message_bytes
    half = "h" * (limit // 2)
    with pytest.raises(MessageTooLarge):
        await broker.publish(backend.topic, "k", half.encode(), {"header": half})
    await broker.publish(backend.topic, "k", b"v" * (limit - 64), {})
    async with broker.consume(backend.topic, "g") as deliveries:
        assert len((await take(deliveries)).message.value) == limit - 64


async def test_lag_counts_what_a_group_has_not_finished(broker: Broker, backend: Backend) -> None:
    async with broker.consume(backend.topic, "g", prefetch=3) as deliveries:
        assert await broker.lag(backend.topic, "g") == 0
        await put(broker, backend.topic, "a", "b", "c", "d")
        assert await broker.lag(backend.topic, "g") == 4
        await (await take(deliveries)).ack()
        await (await take(deliveries)).retry(timedelta(hours=1))
        held = await take(deliveries)
        assert await broker.lag(backend.topic, "g") == 3
        await held.ack()
        assert await broker.lag(backend.topic, "g") == 2


async def test_the_oldest_age_is_that_of_the_first_message_which_a_group_has_not_finished(
    broker: Broker, backend: Backend
) -> None:
    assert await broker.oldest_age(backend.topic, "g") == timedelta(0)
    async with broker.consume(backend.topic, "g", prefetch=3) as deliveries:
        before = time.time()
        await broker.publish(backend.topic, "key", b"a", {})
        published = time.time()
        first = await take(deliveries)
        await until(lambda: time.time() > published + 0.2)
        between = time.time()
        await broker.publish(backend.topic, "key", b"b", {})
        second = await take(deliveries)
        # Kafka's timestamps are whole milliseconds.
        asked = time.time()
        age = (await broker.oldest_age(backend.topic, "g")).total_seconds()
        assert asked - published <= age <= time.time() - before + 0.001
        # One that waits for its next attempt is not finished.
        await second.retry(timedelta(hours=1))
        assert (await broker.oldest_age(backend.topic, "g")).total_seconds() >= age
        await first.ack()
        age = (await broker.oldest_age(backend.topic, "g")).total_seconds()
        assert 0 <= age <= time.time() - between + 0.001
        assert await broker.lag(backend.topic, "g") == 1
    if broker.guarantees(backend.topic).ages_known:
        assert await broker.oldest_age(backend.topic, "another") > timedelta(seconds=age)


async def test_the_oldest_age_is_zero_once_all_is_finished(broker: Broker, backend: Backend) -> None:
    async with broker.consume(backend.topic, "g") as deliveries:
        await put(broker, backend.topic, "a", "b")
        await take_values(deliveries, 2)
    assert await broker.oldest_age(backend.topic, "g") == timedelta(0)


async def test_peek_shows_the_oldest_and_takes_nothing(broker: Broker, backend: Backend) -> None:
    assert await broker.peek(backend.topic) == []
    await put(broker, backend.topic, "a", "b", "c")
    seen = [message.value for message in await broker.peek(backend.topic, limit=2)]
    assert seen == ([b"a", b"b"] if broker.guarantees(backend.topic).retained else [])
    async with broker.consume(backend.topic, "g") as deliveries:
        # An SQS queue has no order: what was given back may come last.
        assert sorted(await take_values(deliveries, 3)) == ["a", "b", "c"]


async def test_a_caller_that_stops_waiting_loses_no_message(broker: Broker, backend: Backend) -> None:
    values = [str(number) for number in range(40)]
    seen: list[str] = []

    async def impatient() -> None:
        async with broker.consume(backend.topic, "g") as deliveries:
            patience = 0.0
            while len(seen) < len(values):
                try:
                    async with asyncio.timeout(patience):
                        delivery = await anext(deliveries)
                except TimeoutError:
                    patience = (patience + 0.0003) % 0.02
                    continue
                assert delivery.attempt == 1
                seen.append(text(delivery))
                await delivery.ack()

    async with asyncio.timeout(patience()), asyncio.TaskGroup() as tasks:
        tasks.create_task(impatient())
        await put(broker, backend.topic, *values)
    assert seen == values


async def test_a_cancelled_worker_hands_its_delivery_back(broker: Broker, backend: Backend) -> None:
    await put(broker, backend.topic, "a")
    holding = asyncio.Event()

    async def work() -> None:
        async with broker.consume(backend.topic, "g") as deliveries:
            async for _ in deliveries:
                holding.set()
                await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        worker = tasks.create_task(work())
        await holding.wait()
        worker.cancel()
    async with broker.consume(backend.topic, "g") as deliveries:
        delivery = await take(deliveries)
        assert (text(delivery), delivery.attempt) == ("a", 1)


async def test_leaving_ends_those_who_wait(broker: Broker, backend: Backend) -> None:
    async def count(deliveries: AsyncIterator[Delivery]) -> int:
        return len([delivery async for delivery in deliveries])

    async with (
        asyncio.timeout(patience()),
        asyncio.TaskGroup() as tasks,
        broker.consume(backend.topic, "g") as deliveries,
    ):
        waiting = [tasks.create_task(count(deliveries)) for _ in range(2)]
        assert (await broker.health()).ok, "asked after they have begun to wait"
        assert not any(task.done() for task in waiting)
    assert [task.result() for task in waiting] == [0, 0]


async def test_closing_does_not_hang_on_a_waiting_consumer(backend: Backend) -> None:
    joined = asyncio.Event()

    async def work(broker: Broker) -> None:
        async with broker.consume(backend.topic, "g") as deliveries:
            joined.set()
            with pytest.raises(BrokerUnavailable):
                await anext(deliveries)

    async with asyncio.timeout(patience()), asyncio.TaskGroup() as tasks, backend.open() as broker:
        tasks.create_task(work(broker))
        await joined.wait()
    with pytest.raises(BrokerUnavailable):
        await broker.publish(backend.topic, "k", b"", {})


async def test_health_tells_that_all_is_well(broker: Broker) -> None:
    health = await broker.health()
    assert health.ok
    assert health.name
    assert not health.error


async def test_health_of_a_closed_broker_is_not_well(backend: Backend) -> None:
    async with backend.open() as broker:
        pass
    health = await broker.health()
    assert not health.ok
    assert health.error
