"""The broker on Apache Kafka. Guarantees and design: docs/adr/0010-kafka.md.

The port has one group per topic; its name in Kafka is "<group>.<topic>".

Refuses settings that the brokers refuse (a certificate, credentials). While brokers are unreachable, calls end with
BrokerUnavailable after KAFKA_TIMEOUT_SECONDS; subscriptions continue when the brokers are back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from common.broker.base import MAX_MESSAGE_BYTES, Broker, Delivery, Guarantees, Message, encodable
from common.broker.kafka.cluster import Cluster, TopicSettings, open_cluster
from common.broker.kafka.connection import Refused, connection_options, describe_failure, diagnose
from common.broker.kafka.deliveries import Deliveries, to_message
from common.broker.kafka.library import (
    KafkaConsumer,
    KafkaRecord,
    TopicPartition,
    connect,
    kafka_errors,
    limit_log_rate,
    new_consumer,
)
from common.broker.kafka.member import GroupMember, GroupMembership
from common.broker.kafka.progress import CommitMetadata
from common.broker.kafka.publisher import SLACK_BYTES, Publisher
from common.broker.kafka.subscription import KafkaSubscription
from common.errors import BrokerUnavailable, MessageTooLarge
from common.health import Health
from common.observability.telemetry import get_logger
from common.settings import SharedSettings
from common.tasks import time_limit

log = get_logger(__name__)

NAME = "kafka"

_HEALTH_SECONDS = 1.5  # less than the 2 s of the probes, which show the error
_PEEK_POLL_MS = 200


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """A group's unfinished messages of a partition: the offset of the first one, and their number."""

    begin: int
    count: int


@asynccontextmanager
async def open_kafka(settings: SharedSettings) -> AsyncGenerator[Broker]:
    """Open the broker; unreachable brokers are logged, and connected to by later calls.

    Raises:
        BrokerUnavailable: the brokers refuse the connection, or a file cannot be read; the detail names the setting.
    """
    limit_log_rate()
    options = connection_options(settings)
    failure = await diagnose(options)
    if isinstance(failure, Refused):
        raise failure
    if failure is not None:
        log.warning("broker.unreachable", detail=failure.detail)
    async with open_cluster(options, _topics(settings), timeout_seconds=settings.kafka_timeout_seconds) as cluster:
        broker = KafkaBroker(cluster, settings.broker_lease_seconds, settings.kafka_max_poll_interval_seconds)
        try:
            yield broker
        finally:
            await broker.close()


def _topics(settings: SharedSettings) -> TopicSettings:
    configs = {
        "retention.ms": str(settings.kafka_retention_hours * 3_600_000),
        "max.message.bytes": str(MAX_MESSAGE_BYTES + SLACK_BYTES),
    }
    return TopicSettings(settings.kafka_partitions, settings.kafka_replication_factor, configs)


class KafkaBroker:
    """See `common.broker.base.Broker`. Made by `open_kafka`, which also calls `close`."""

    def __init__(self, cluster: Cluster, session_seconds: float, poll_interval_seconds: float) -> None:
        self._cluster = cluster
        self._session_seconds = session_seconds
        self._poll_interval_seconds = poll_interval_seconds
        self._publisher = Publisher(cluster)
        # By topic and group: for each partition the offset of the oldest unfinished message, and when it was published.
        self._oldest: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
        self._members: dict[KafkaSubscription, asyncio.Task[None]] = {}
        self._closed = False

    def guarantees(self, topic: str) -> Guarantees:
        """See `Broker.guarantees`."""
        del topic
        return Guarantees()

    async def publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """See `Broker.publish`."""
        key, headers = encodable(key, headers)
        size = len(value) + sum(len(name.encode()) + len(text.encode()) for name, text in headers.items())
        if size > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(f"{size} bytes, at most {MAX_MESSAGE_BYTES}")
        await self._publisher.publish(topic, key, value, headers)

    def consume(
        self, topic: str, group: str, *, prefetch: int = 1, start: Literal["earliest", "latest"] = "earliest"
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """See `Broker.consume`."""
        if prefetch < 1:
            raise ValueError(f"prefetch is {prefetch}, at least 1 is needed")
        return self._subscribe(topic, group, prefetch, start)

    async def ensure_topic(self, topic: str) -> None:
        """See `Broker.ensure_topic`."""
        await self._cluster.ensure_topic(topic)

    async def peek(self, topic: str, *, limit: int = 100) -> list[Message]:
        """See `Broker.peek`."""
        partitions = await self._cluster.partitions(topic)
        if not partitions or limit < 1:
            return []
        begins = await self._cluster.offsets(topic, partitions, latest=False)
        latest = await self._cluster.offsets(topic, partitions, latest=True)
        ends = {number: min(latest[number], begins[number] + limit) for number in partitions}
        records = await self._read_records(topic, begins, {at: end for at, end in ends.items() if end > begins[at]})
        records.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
        return [to_message(topic, record) for record in records[:limit]]

    async def lag(self, topic: str, group: str) -> int:
        """See `Broker.lag`."""
        return sum(span.count for span in (await self._unfinished(topic, group)).values())

    async def oldest_age(self, topic: str, group: str) -> timedelta:
        """See `Broker.oldest_age`. A record is read only when it was not the oldest of its partition before."""
        unfinished = await self._unfinished(topic, group)
        begins = {number: span.begin for number, span in unfinished.items() if span.count}
        known = self._oldest.get((topic, group), {})
        unread = {number: begin for number, begin in begins.items() if known.get(number, (-1, 0))[0] != begin}
        records = await self._read_records(topic, unread, {number: begin + 1 for number, begin in unread.items()})
        read = {record.partition: (record.offset, record.timestamp) for record in records}
        self._oldest[topic, group] = {at: place for at, place in (known | read).items() if at in begins}
        published = [timestamp for _, timestamp in self._oldest[topic, group].values()]
        return timedelta(seconds=max(0.0, time.time() - min(published) / 1000) if published else 0)

    async def forget(self, topic: str, group: str) -> None:
        """See `Broker.forget`."""
        await self._cluster.delete_group(_group_name(topic, group))

    async def health(self) -> Health:
        """See `Broker.health`. Not ok: no broker answers in time."""
        seconds = min(_HEALTH_SECONDS, self._cluster.timeout_seconds)
        try:
            brokers = await self._cluster.brokers(timeout_seconds=seconds)
        except BrokerUnavailable as exc:
            return Health(NAME, ok=False, error=exc.detail)
        shown = [{"address": broker.address, "is_leader": broker.is_controller} for broker in brokers]
        return Health(NAME, ok=True, metadata={"kafka": {"brokers": shown}})

    async def close(self) -> None:
        """Release the messages of open subscriptions and end them; later calls raise BrokerUnavailable."""
        self._closed = True
        for subscription in list(self._members):
            subscription.end("closed")
            await self._leave(subscription)
        await self._publisher.close()

    async def _unfinished(self, topic: str, group: str) -> dict[int, _Unfinished]:
        """Return for each partition what the group has not finished."""
        partitions = await self._cluster.partitions(topic)
        if not partitions:
            return {}
        committed = await self._cluster.committed(_group_name(topic, group), topic, partitions)
        begins = await self._cluster.offsets(topic, partitions, latest=False)
        ends = await self._cluster.offsets(topic, partitions, latest=True)
        found: dict[int, _Unfinished] = {}
        for number in partitions:
            at = committed.get(number)
            offset, finished = (at.offset, CommitMetadata.parse(at.metadata).finished) if at else (-1, 0)
            begin = max(offset, begins[number])
            found[number] = _Unfinished(begin, max(0, ends[number] - begin - finished))
        return found

    async def _read_records(self, topic: str, begins: dict[int, int], ends: dict[int, int]) -> list[KafkaRecord]:
        """Read each partition of `ends` from its begin to its end (exclusive), without joining a group."""
        if not ends:
            return []
        consumer = new_consumer(self._cluster.options, None)
        try:
            async with time_limit(self._cluster.timeout_seconds):
                await connect(consumer.start())
                return await _read_ranges(consumer, topic, begins, ends)
        except (kafka_errors.KafkaError, TimeoutError) as exc:
            raise BrokerUnavailable(f"looking at {topic}: {describe_failure(exc)}") from exc
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def _subscribe(
        self, topic: str, group: str, prefetch: int, start: Literal["earliest", "latest"]
    ) -> AsyncGenerator[KafkaSubscription]:
        if self._closed:
            raise BrokerUnavailable("the broker was closed")
        name = _group_name(topic, group)
        await self._cluster.ensure_topic(topic)
        await self._set_initial_offsets(topic, name, start)
        deliveries = Deliveries(topic, prefetch)
        subscription = KafkaSubscription(deliveries, self._publisher, timeout_seconds=self._cluster.timeout_seconds)
        membership = GroupMembership(topic, name, self._session_seconds, self._poll_interval_seconds)
        member = GroupMember(membership, self._cluster, deliveries)
        running = asyncio.create_task(member.run(), name=f"kafka member {name}")
        running.add_done_callback(lambda done: _report_defect(done, subscription))
        self._members[subscription] = running
        try:
            await self._wait_until_joined(member, name)
            yield subscription
        finally:
            subscription.end("left")
            await self._leave(subscription)

    async def _set_initial_offsets(self, topic: str, name: str, start: Literal["earliest", "latest"]) -> None:
        """Commit the offsets at which a new group begins, before its first member joins."""
        partitions = await self._cluster.partitions(topic) or []
        committed = await self._cluster.committed(name, topic, partitions)
        if all(at.offset < 0 for at in committed.values()):
            offsets = await self._cluster.offsets(topic, partitions, latest=start == "latest")
            await self._cluster.commit_initial_offsets(name, topic, offsets)

    async def _wait_until_joined(self, member: GroupMember, name: str) -> None:
        # A rebalance may have to wait until the session of a dead member expires.
        seconds = self._cluster.timeout_seconds + 2 * self._session_seconds
        try:
            async with time_limit(seconds):
                await member.joined.wait()
        except TimeoutError as exc:
            raise BrokerUnavailable(
                f"joining group {name}: not in {seconds:g} s: {member.trouble or 'no partitions yet'}"
            ) from exc

    async def _leave(self, subscription: KafkaSubscription) -> None:
        running = self._members.pop(subscription, None)
        if running is not None:
            running.cancel()
            await asyncio.wait({running})


def _group_name(topic: str, group: str) -> str:
    return f"{group}.{topic}"


def _report_defect(done: asyncio.Task[None], subscription: KafkaSubscription) -> None:
    if not done.cancelled() and (failure := done.exception()) is not None:
        subscription.fail(failure)


async def _read_ranges(
    consumer: KafkaConsumer, topic: str, begins: dict[int, int], ends: dict[int, int]
) -> list[KafkaRecord]:
    unread = {TopicPartition(topic, number): end for number, end in ends.items()}
    consumer.assign(list(unread))
    for place in unread:
        consumer.seek(place, begins[place.partition])
    found: list[KafkaRecord] = []
    while unread:
        for place, records in (await consumer.getmany(timeout_ms=_PEEK_POLL_MS, max_records=500)).items():
            end = unread.get(place, 0)
            found += [record for record in records if record.offset < end]
            if records and records[-1].offset >= end - 1:
                unread.pop(place, None)
                consumer.pause(place)
    return found
