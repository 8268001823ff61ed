"""aiokafka, with types: the one place that imports it. It ships none for its clients, so what is used is written down
as Protocols here; everything it raises is a KafkaError of its own, an OSError or a TimeoutError.

Refuses to know this project: no settings, no ports, no errors of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

# Each import is unchecked for one reason: the library has no type stubs.
from aiokafka import (  # pyright: ignore[reportMissingTypeStubs] - see above
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka import conn as _conn  # pyright: ignore[reportMissingTypeStubs] - see above
from aiokafka import errors as kafka_errors  # pyright: ignore[reportMissingTypeStubs] - see above
from aiokafka.client import AIOKafkaClient  # pyright: ignore[reportMissingTypeStubs] - see above
from aiokafka.coordinator.assignors.sticky.sticky_assignor import (  # pyright: ignore[reportMissingTypeStubs] - see above
    StickyPartitionAssignor,
)
from aiokafka.protocol import admin as _admin  # pyright: ignore[reportMissingTypeStubs] - see above
from aiokafka.protocol import commit as _commit  # pyright: ignore[reportMissingTypeStubs] - see above
from aiokafka.protocol import metadata as _metadata  # pyright: ignore[reportMissingTypeStubs] - see above
from aiokafka.protocol import offset as _offset  # pyright: ignore[reportMissingTypeStubs] - see above

__all__ = [
    "Client",
    "Consumer",
    "ConsumerRebalanceListener",
    "Options",
    "Producer",
    "Record",
    "TopicPartition",
    "kafka_errors",
]

Options = dict[str, Any]
"""Keyword arguments that every client of the library takes: where the brokers are, and how to be let in."""

EARLIEST, LATEST = -2, -1
"""The two timestamps of a ListOffsets request that are none."""


class Record(Protocol):
    """One record that was read."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Node(NamedTuple):
    """One broker. Field names are the library's."""

    nodeId: int  # noqa: N815 - the library's name
    host: str
    port: int
    rack: str | None


class ClusterView(Protocol):
    """What a client knows of the cluster."""

    def brokers(self) -> Iterable[Node]:
        """Return the brokers that are known."""
        ...


class Client(Protocol):
    """A connection to the cluster that sends single requests."""

    cluster: ClusterView

    async def bootstrap(self) -> None:
        """Learn of the cluster from the first broker that answers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...

    async def send(self, node_id: int, request: object) -> Any:  # noqa: ANN401 - each request has its own answer
        """Send a request to one broker; return its answer."""
        ...

    async def coordinator_lookup(self, coordinator_type: int, coordinator_key: str) -> int:
        """Return the broker that coordinates a group."""
        ...


class Producer(Protocol):
    """Publishes."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Send what is left, and close."""
        ...

    async def send_and_wait(
        self, topic: str, value: bytes, key: bytes | None, *, headers: Sequence[tuple[str, bytes]]
    ) -> object:
        """Return when the message is acknowledged."""
        ...


class Consumer(Protocol):
    """Reads, alone or as a member of a group."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Leave the group, and close."""
        ...

    def subscribe(self, topics: Sequence[str], *, listener: ConsumerRebalanceListener) -> None:
        """Join the group for these topics."""
        ...

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions, without a group."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on at this offset."""
        ...

    def pause(self, *partitions: TopicPartition) -> None:
        """Do not read on in these partitions."""
        ...

    def resume(self, *partitions: TopicPartition) -> None:
        """Read on in these partitions."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Commit the next offset and a text for each partition."""
        ...

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        """Return what was read; wait for it so long at most."""
        ...


def new_client(options: Options) -> Client:
    """Return a client that is not connected yet."""
    return cast("Client", AIOKafkaClient(**options))


def new_producer(options: Options, *, max_request_bytes: int) -> Producer:
    """Return an idempotent producer that waits for all in-sync replicas."""
    return cast(
        "Producer", AIOKafkaProducer(**options, acks="all", enable_idempotence=True, max_request_size=max_request_bytes)
    )


async def abandon(producer: Producer) -> None:
    """Close a producer without sending what it still holds; those who wait for that wait in vain.

    `stop` alone would wait for all of it, and an idempotent producer of this library never gives up sending.
    """
    inner = cast("Any", producer)
    sending: asyncio.Task[None] | None = inner._sender.sender_task  # noqa: SLF001 - there is no public way
    try:
        if sending is not None:
            sending.cancel()
            await asyncio.wait({sending})
            inner._message_accumulator._batches.clear()  # noqa: SLF001 - as above
            inner._message_accumulator._pending_batches.clear()  # noqa: SLF001 - as above
        await producer.stop()
    finally:
        # Also when this is cancelled, because a broker that hangs makes the above wait.
        inner._closed = True  # noqa: SLF001 - as above
        await inner.client.close()


def new_consumer(options: Options, group: str | None, **overrides: Any) -> Consumer:  # noqa: ANN401 - options of the library
    """Return a consumer that commits only when told, and reads the oldest where its position is gone."""
    # The assignor keeps its memory on its class: each consumer needs a class of its own.
    sticky = type("Sticky", (StickyPartitionAssignor,), {})
    return cast(
        "Consumer",
        AIOKafkaConsumer(
            **options,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(sticky,),
            **overrides,
        ),
    )


async def stop(consumer: Consumer) -> None:
    """Leave the group and close.

    The library's own `stop` may raise the cancellation of one of its tasks, as if its caller were cancelled.

    Raises:
        KafkaConnectionError: it ended like that, and half-way.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise kafka_errors.KafkaConnectionError("a task of the consumer was cancelled while it stopped") from exc


async def drop(consumer: Consumer) -> None:
    """Close what a `stop` that did not come to its end has left; nothing otherwise.

    What is left running would send heartbeats for ever, and so hold partitions that nobody reads.
    """
    inner = cast("Any", consumer)
    coordinator, fetcher = inner._coordinator, inner._fetcher  # noqa: SLF001 - there is no public way
    running: set[asyncio.Task[Any] | None] = set()
    if coordinator is not None:
        running |= {coordinator._coordination_task, coordinator._heartbeat_task, coordinator._commit_refresh_task}  # noqa: SLF001 - as above
    if fetcher is not None:
        running |= {fetcher._fetch_task, *fetcher._pending_tasks}  # noqa: SLF001 - as above
    left = {task for task in running if task is not None}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await inner._client.close()  # noqa: SLF001 - as above


def is_member(consumer: Consumer) -> bool:
    """Whether the group still counts this consumer in, as far as it has heard.

    A consumer that was put out would commit as nobody in particular, which an empty group accepts.
    """
    coordinator = cast("Any", consumer)._coordinator  # noqa: SLF001 - there is no public way to ask
    return coordinator is not None and coordinator.generation > 0


async def try_connection(host: str, port: int, options: Options) -> None:
    """Connect and log in once. The clients swallow why they could not; this raises it."""
    wanted = {name: value for name, value in options.items() if name not in {"bootstrap_servers", "retry_backoff_ms"}}
    connect = cast("Any", _conn).create_conn
    connection = await connect(host, port, **wanted)
    connection.close()


def metadata_request(topics: Sequence[str]) -> object:
    """Ask for these topics, without making them; none: for the brokers alone."""
    return _metadata.MetadataRequest(list(topics), allow_auto_topic_creation=False)


def create_topic_request(
    topic: str, partitions: int, replicas: int, configs: Mapping[str, str], *, timeout_ms: int
) -> object:
    """Make a topic."""
    entry: Any = (topic, partitions, replicas, [], list(configs.items()))  # the library says tuple[Any]
    return _admin.CreateTopicsRequest(
        create_topic_requests=[entry],
        timeout=timeout_ms,
        validate_only=False,
    )


def delete_group_request(group: str) -> object:
    """Remove a group with its offsets."""
    return _admin.DeleteGroupsRequest([group])


def offset_fetch_request(group: str, topic: str, partitions: Sequence[int]) -> object:
    """Ask what a group has committed."""
    return _commit.OffsetFetchRequest(group, [(topic, list(partitions))])


def offset_commit_request(group: str, topic: str, offsets: Mapping[int, int]) -> object:
    """Commit for a group from outside, which it accepts only while it has no members."""
    request = _commit.OffsetCommitRequest
    return request(
        group,
        request.DEFAULT_GENERATION_ID,
        "",
        request.DEFAULT_RETENTION_TIME,
        [(topic, [(partition, offset, "") for partition, offset in offsets.items()])],
    )


def list_offsets_request(topic: str, partitions: Iterable[int], timestamp: int) -> object:
    """Ask for the first (EARLIEST) or the next (LATEST) offset of partitions that one broker leads."""
    return _offset.OffsetRequest(-1, 0, [(topic, [(partition, timestamp) for partition in partitions])])
