"""Single requests to the cluster: topics, offsets, groups, health. One connection, reopened after a failure.

Every call ends within its timeout, with a result or with BrokerUnavailable. Refuses to change existing topics.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from common.broker.kafka.connection import HUNG_UP, Unreachable, check, describe_failure, diagnose, is_transient
from common.broker.kafka.library import (
    EARLIEST,
    LATEST,
    KafkaClient,
    Options,
    connect,
    create_topic_request,
    delete_group_request,
    kafka_errors,
    list_offsets_request,
    metadata_request,
    new_client,
    offset_commit_request,
    offset_fetch_request,
)
from common.broker.kafka.progress import CommittedOffset
from common.errors import BrokerUnavailable
from common.tasks import time_limit

T = TypeVar("T")

_PAUSE_SECONDS = 0.1
_GROUP = 0  # the coordinator type
_TOPIC_EXISTS = 36
_UNKNOWN_TOPIC = 3
_ABSENT_GROUP = 69
_HAS_MEMBERS = {22, 25, 27, 68}  # illegal generation, unknown member, rebalance in progress, non-empty group


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How a missing topic is created."""

    partitions: int
    replicas: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BrokerNode:
    """A broker that is up."""

    address: str
    is_controller: bool


class Cluster:
    """See the module. Made by `open_cluster`. Methods raise BrokerUnavailable."""

    def __init__(self, options: Options, topic_settings: TopicSettings, *, timeout_seconds: float) -> None:
        self.options = options
        self.timeout_seconds = timeout_seconds
        self._topic_settings = topic_settings
        self._known_topics: set[str] = set()
        self._opening = asyncio.Lock()
        self._client: KafkaClient | None = None
        self._closed = False

    async def ensure_topic(self, topic: str) -> None:
        """Create the topic if it is missing.

        Raises:
            BrokerUnavailable: unreachable, or missing and not allowed to be created; the detail names the topic.
        """

        async def work(client: KafkaClient) -> None:
            if await self._partitions(client, topic) is None:
                await self._create(client, topic)
                # Retry: the brokers learn of a new topic one after the other.
                raise kafka_errors.UnknownTopicOrPartitionError(topic)

        if topic not in self._known_topics:
            await self.call(f"topic {topic}", work)
            self._known_topics.add(topic)

    def invalidate_topic(self, topic: str) -> None:
        """Let the next `ensure_topic` check again: the topic may have been deleted."""
        self._known_topics.discard(topic)

    async def partitions(self, topic: str) -> list[int] | None:
        """Return the topic's partition numbers, or None if there is no such topic."""
        return await self.call(f"topic {topic}", lambda client: self._partitions(client, topic))

    async def offsets(self, topic: str, partitions: Iterable[int], *, latest: bool) -> dict[int, int]:
        """Return for each partition the first retained offset, or, if `latest`, the next one to be written."""
        wanted = set(partitions)
        timestamp = LATEST if latest else EARLIEST
        return await self.call(f"offsets of {topic}", lambda client: self._offsets(client, topic, wanted, timestamp))

    async def committed(self, group: str, topic: str, partitions: Iterable[int]) -> dict[int, CommittedOffset]:
        """Return the group's commits for these partitions."""
        wanted = list(partitions)

        async def work(client: KafkaClient) -> dict[int, CommittedOffset]:
            coordinator = await client.coordinator_lookup(_GROUP, group)
            answer = await client.send(coordinator, offset_fetch_request(group, topic, wanted))
            check(getattr(answer, "error_code", 0))
            found: dict[int, CommittedOffset] = {}
            for _, entries in answer.topics:
                for partition, offset, metadata, code in entries:
                    check(code)
                    found[partition] = CommittedOffset(offset, metadata or "")
            return found

        return await self.call(f"offsets of group {group}", work)

    async def commit_initial_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set where a group without members begins; no-op for a group that has members."""

        async def work(client: KafkaClient) -> None:
            coordinator = await client.coordinator_lookup(_GROUP, group)
            answer = await client.send(coordinator, offset_commit_request(group, topic, offsets))
            for _, entries in answer.topics:
                for _, code in entries:
                    if code not in _HAS_MEMBERS:
                        check(code)

        await self.call(f"initial offsets of group {group}", work)

    async def delete_group(self, group: str) -> None:
        """Delete a group; no-op if there is none."""

        async def work(client: KafkaClient) -> None:
            coordinator = await client.coordinator_lookup(_GROUP, group)
            answer = await client.send(coordinator, delete_group_request(group))
            for _, code in answer.results:
                if code != _ABSENT_GROUP:
                    check(code)

        await self.call(f"removing group {group}", work)

    async def brokers(self, *, timeout_seconds: float) -> list[BrokerNode]:
        """Return the brokers that are up."""

        async def work(client: KafkaClient) -> list[BrokerNode]:
            answer = await self._ask(client, metadata_request([]))
            return [
                BrokerNode(f"{host}:{port}", is_controller=node == answer.controller_id)
                for node, host, port, *_ in sorted(answer.brokers)
            ]

        # Two tries: the open connection may be stale. No more: a health check reports the present state.
        return await self.call("brokers", work, timeout_seconds=timeout_seconds, tries=2)

    async def call(
        self,
        doing: str,
        work: Callable[[KafkaClient], Awaitable[T]],
        *,
        timeout_seconds: float | None = None,
        tries: int | None = None,
    ) -> T:
        """Run `work` until it succeeds; retry transient failures until the timeout or `tries` is exhausted.

        Raises:
            BrokerUnavailable: it failed permanently, or retries are exhausted.
        """
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        last: Exception | None = None
        tried = 0
        with contextlib.suppress(TimeoutError):
            async with time_limit(seconds):
                while tried != tries and (last is None or is_transient(last)):
                    if last is not None:
                        await asyncio.sleep(_PAUSE_SECONDS)
                    tried += 1
                    try:
                        return await work(await self._connected())
                    except (Unreachable, kafka_errors.KafkaError, OSError, TimeoutError) as exc:
                        last = exc
                    if not isinstance(last, kafka_errors.BrokerResponseError):
                        await self._disconnect()
        raise BrokerUnavailable(f"{doing}: {describe_failure(last) or f'no answer in {seconds:g} s'}") from last

    async def close(self) -> None:
        """Close the connection; later calls raise BrokerUnavailable."""
        self._closed = True
        await self._disconnect()

    async def _connected(self) -> KafkaClient:
        async with self._opening:
            if self._closed:
                raise BrokerUnavailable("the broker was closed")
            if self._client is not None:
                return self._client
            client = new_client(self.options)
            try:
                await connect(client.bootstrap())
            except kafka_errors.KafkaError as exc:
                await client.close()
                addresses = ",".join(self.options["bootstrap_servers"])
                raise await diagnose(self.options) or Unreachable(f"KAFKA_BROKERS: {addresses} {HUNG_UP}") from exc
            except BaseException:
                await client.close()
                raise
            self._client = client
            return client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _ask(self, client: KafkaClient, request: object) -> Any:  # noqa: ANN401 - each request has its own response
        """Send a request that any broker can answer to the brokers in random order, until one responds."""
        nodes = [node.nodeId for node in client.cluster.brokers()]
        random.shuffle(nodes)
        failure: Exception = kafka_errors.NodeNotReadyError()
        for node in nodes:
            try:
                return await client.send(node, request)
            except kafka_errors.KafkaError as exc:
                failure = exc
        raise failure

    async def _leaders(self, client: KafkaClient, topic: str) -> dict[int, int] | None:
        answer = await self._ask(client, metadata_request([topic]))
        for code, _, _, partitions in answer.topics:
            if code == _UNKNOWN_TOPIC:
                return None
            check(code)
            return {partition: leader for _, partition, leader, *_ in partitions}
        return None

    async def _partitions(self, client: KafkaClient, topic: str) -> list[int] | None:
        leaders = await self._leaders(client, topic)
        return None if leaders is None else sorted(leaders)

    async def _create(self, client: KafkaClient, topic: str) -> None:
        wanted = self._topic_settings
        timeout_ms = int(self.timeout_seconds * 1000)
        request = create_topic_request(topic, wanted.partitions, wanted.replicas, wanted.configs, timeout_ms=timeout_ms)
        answer = await self._ask(client, request)
        for _, code, *words in answer.topic_errors:
            if code in {0, _TOPIC_EXISTS}:
                continue
            error = kafka_errors.for_code(code)(*words)
            if is_transient(error):
                raise error
            raise BrokerUnavailable(f"topic {topic} is missing and cannot be made: {describe_failure(error)}")

    async def _offsets(self, client: KafkaClient, topic: str, wanted: set[int], timestamp: int) -> dict[int, int]:
        leaders = await self._leaders(client, topic) or {}
        found: dict[int, int] = {}
        for leader in {leaders.get(partition, -1) for partition in wanted}:
            led = [partition for partition in wanted if leaders.get(partition, -1) == leader]
            answer = await client.send(leader, list_offsets_request(topic, led, timestamp))
            for _, entries in answer.topics:
                for partition, code, _, offset in entries:
                    check(code)
                    found[partition] = offset
        return found


@asynccontextmanager
async def open_cluster(
    options: Options, topic_settings: TopicSettings, *, timeout_seconds: float
) -> AsyncGenerator[Cluster]:
    """Make a Cluster, which connects on first use; close it with the context."""
    cluster = Cluster(options, topic_settings, timeout_seconds=timeout_seconds)
    try:
        yield cluster
    finally:
        await cluster.close()
