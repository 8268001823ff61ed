"""The only module that imports aiokafka. The library has no types for its clients, so what is used of them is declared
here as Protocols; everything it raises is a KafkaError, an OSError or a TimeoutError.

Refuses to know this project: no settings, no ports, no errors of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Coroutine, Iterable, Mapping, Sequence
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
    "ConsumerRebalanceListener",
    "KafkaClient",
    "KafkaConsumer",
    "KafkaProducer",
    "KafkaRecord",
    "Options",
    "TopicPartition",
    "kafka_errors",
]

Options = dict[str, Any]
"""Keyword arguments that every client of the library takes: addresses and credentials."""

EARLIEST, LATEST = -2, -1
"""The special timestamps of a ListOffsets request: the first retained offset, and the next one to be written."""

_LIBRARY = "aiokafka"
_LOG_EVERY_SECONDS = 30.0


class KafkaRecord(Protocol):
    """A record as read."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class BrokerAddress(NamedTuple):
    """A broker of the cluster. Field names are the library's."""

    nodeId: int  # noqa: N815 - the library's name
    host: str
    port: int
    rack: str | None


class ClusterMetadata(Protocol):
    """The cluster metadata that a client has cached."""

    def brokers(self) -> Iterable[BrokerAddress]:
        """Return the known brokers."""
        ...


class KafkaClient(Protocol):
    """A client that sends single requests to brokers."""

    cluster: ClusterMetadata

    async def bootstrap(self) -> None:
        """Fetch the cluster metadata from the first broker that answers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...

    async def send(self, node_id: int, request: object) -> Any:  # noqa: ANN401 - each request has its own response
        """Send a request to one broker; return its response."""
        ...

    async def coordinator_lookup(self, coordinator_type: int, coordinator_key: str) -> int:
        """Return the node id of a group's coordinator."""
        ...


class KafkaProducer(Protocol):
    """Publishes records."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Flush, and close."""
        ...

    async def send_and_wait(
        self, topic: str, value: bytes, key: bytes | None, *, headers: Sequence[tuple[str, bytes]]
    ) -> object:
        """Return when the record is acknowledged."""
        ...


class KafkaConsumer(Protocol):
    """Reads records, as a member of a group or without one."""

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
        """Set the next offset to read."""
        ...

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop fetching these partitions."""
        ...

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch these partitions again."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Commit the next offset and metadata for each partition."""
        ...

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[KafkaRecord]]:
        """Return fetched records; wait for the first for `timeout_ms` at most."""
        ...


def new_client(options: Options) -> KafkaClient:
    """Return an unconnected client."""
    return cast("KafkaClient", AIOKafkaClient(**options))


def new_producer(options: Options, *, max_request_bytes: int) -> KafkaProducer:
    """Return an idempotent producer that waits for all in-sync replicas."""
    return cast(
        "KafkaProducer",
        AIOKafkaProducer(**options, acks="all", enable_idempotence=True, max_request_size=max_request_bytes),
    )


async def connect(connecting: Coroutine[Any, Any, None]) -> None:
    """Await a client's `bootstrap` or `start`; when that is cancelled, close the connection which the library forgets.

    The first connection is a local variable of the library's `bootstrap`, which closes it after errors only.
    """
    try:
        await connecting
    except asyncio.CancelledError as exc:
        for frame, _ in traceback.walk_tb(exc.__traceback__):
            connection = frame.f_locals.get("bootstrap_conn")
            if connection is not None:
                connection.close()
        raise


async def close_without_flush(producer: KafkaProducer) -> None:
    """Close a producer and drop its unsent batches; the futures of their records are never resolved.

    `stop` alone would flush, and an idempotent producer of this library retries without end.
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
        # Also when this is cancelled: an unresponsive broker makes the above wait.
        inner._closed = True  # noqa: SLF001 - as above
        await inner.client.close()


def new_consumer(options: Options, group: str | None, **overrides: Any) -> KafkaConsumer:  # noqa: ANN401 - options of the library
    """Return a consumer without auto-commit that resets to the earliest offset where its position is out of range."""
    # The assignor keeps its state on its class, so each consumer needs a separate class.
    sticky = type("Sticky", (StickyPartitionAssignor,), {})
    return cast(
        "KafkaConsumer",
        AIOKafkaConsumer(
            **options,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(sticky,),
            **overrides,
        ),
    )


async def stop_consumer(consumer: KafkaConsumer) -> None:
    """Leave the group and close.

    The library's `stop` may raise the CancelledError of one of its tasks, although the caller was not cancelled.

    Raises:
        KafkaConnectionError: that happened; the consumer is closed in part.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise kafka_errors.KafkaConnectionError("a task of the consumer was cancelled while it stopped") from exc


async def force_close(consumer: KafkaConsumer) -> None:
    """Cancel the tasks and close the connections that an incomplete `stop` has left; no-op after a complete one.

    A remaining heartbeat task would keep partitions assigned to a consumer that does not read them.
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


def is_member(consumer: KafkaConsumer) -> bool:
    """Whether the consumer is a member of its group, as far as it knows.

    A consumer that was removed would commit without a generation, which an empty group accepts.
    """
    coordinator = cast("Any", consumer)._coordinator  # noqa: SLF001 - there is no public way
    return coordinator is not None and coordinator.generation > 0


async def try_connection(host: str, port: int, options: Options) -> None:
    """Connect and authenticate once. The clients hide why they could not; this raises it."""
    wanted = {name: value for name, value in options.items() if name not in {"bootstrap_servers", "retry_backoff_ms"}}
    connect = cast("Any", _conn).create_conn
    connection = await connect(host, port, **wanted)
    connection.close()


def metadata_request(topics: Sequence[str]) -> object:
    """Metadata of these topics, which are not created by it; an empty list: of the brokers only."""
    return _metadata.MetadataRequest(list(topics), allow_auto_topic_creation=False)


def create_topic_request(
    topic: str, partitions: int, replicas: int, configs: Mapping[str, str], *, timeout_ms: int
) -> object:
    """Create a topic."""
    entry: Any = (topic, partitions, replicas, [], list(configs.items()))  # the library says tuple[Any]
    return _admin.CreateTopicsRequest(
        create_topic_requests=[entry],
        timeout=timeout_ms,
        validate_only=False,
    )


def delete_group_request(group: str) -> object:
    """Delete a group with its offsets."""
    return _admin.DeleteGroupsRequest([group])


def offset_fetch_request(group: str, topic: str, partitions: Sequence[int]) -> object:
    """Fetch the committed offsets of a group."""
    return _commit.OffsetFetchRequest(group, [(topic, list(partitions))])


def offset_commit_request(group: str, topic: str, offsets: Mapping[int, int]) -> object:
    """Commit for a group without being a member, which is accepted only while the group has no members."""
    request = _commit.OffsetCommitRequest
    return request(
        group,
        request.DEFAULT_GENERATION_ID,
        "",
        request.DEFAULT_RETENTION_TIME,
        [(topic, [(partition, offset, "") for partition, offset in offsets.items()])],
    )


def list_offsets_request(topic: str, partitions: Iterable[int], timestamp: int) -> object:
    """List the first (EARLIEST) or the next (LATEST) offset of partitions that one broker leads."""
    return _offset.OffsetRequest(-1, 0, [(topic, [(partition, timestamp) for partition in partitions])])


class LogRateLimit(logging.Filter):
    """Passes each kind of log message once per period, with the count of those suppressed since.

    A kind is a logger's message before its arguments are inserted. While brokers are unreachable the library logs forty
    messages a second for each subscription.
    """

    def __init__(self, every_seconds: float = _LOG_EVERY_SECONDS) -> None:
        super().__init__()
        self.every_seconds = every_seconds
        self._passed: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`."""
        kind = (record.name, str(record.msg))
        now = time.monotonic()
        last, suppressed = self._passed.get(kind, (-self.every_seconds, 0))
        if now - last < self.every_seconds:
            self._passed[kind] = (last, suppressed + 1)
            return False
        self._passed[kind] = (now, 0)
        if suppressed:
            record.msg, record.args = f"{record.getMessage()} ({suppressed} more like it)", ()
        return True


def limit_log_rate() -> None:
    """Add a LogRateLimit to each of the library's loggers; idempotent."""
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == _LIBRARY]:
        logger = logging.getLogger(name)
        if not any(isinstance(present, LogRateLimit) for present in logger.filters):
            logger.addFilter(LogRateLimit())
