"""Ways to carry messages between a bot and a worker: through our Broker port, and through the bare engines below it.

Each end has a connection of its own, as two processes would have. The bare ways do the least that is durable: in SQLite
an insert with its commit on the disk, then a select and a delete; in Kafka an idempotent producer with acks=all, and a
consumer that commits once for what it has read at a time. They have no groups beside one another, no leases, no
attempts, no dead letters, and one that dies with a message in hand has lost it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from audio_service.settings import AudioSettings
from common.broker import open_broker
from common.broker.base import Broker
from common.broker.kafka.cluster import TopicSettings, open_cluster
from common.broker.kafka.connection import connection_options
from common.broker.kafka.library import (
    ConsumerRebalanceListener,
    KafkaConsumer,
    KafkaProducer,
    Options,
    new_consumer,
    new_producer,
)
from common.messages.base import CORRELATION_ID

PREFETCH = 64

Done = Callable[[], Awaitable[None]]
Arrival = tuple[bytes, Done]
"""A message, and what is to be called when it is dealt with."""

_POLL_MS = 100
_MAX_BYTES = 1024 * 1024
_PARTITIONS = 8


class Line(Protocol):
    """One end of a line."""

    async def send(self, topic: str, body: bytes) -> None:
        """Return when the message is durable."""
        ...

    def receive(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[Arrival]]:
        """Join the topic; the iterator waits for messages."""
        ...


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends."""

    bot: Line
    worker: Line


@dataclass(frozen=True, slots=True)
class PortLine:
    """Our Broker port."""

    broker: Broker

    async def send(self, topic: str, body: bytes) -> None:
        """See `Line.send`. Headers as a request has them."""
        headers = {CORRELATION_ID: str(uuid.uuid4()), "schema_version": "1"}
        await self.broker.publish(topic, body[:8].decode(), body, headers)

    @asynccontextmanager
    async def receive(self, topic: str) -> AsyncGenerator[AsyncIterator[Arrival]]:
        """See `Line.receive`."""
        async with self.broker.consume(topic, "bench", prefetch=PREFETCH) as deliveries:

            async def arrivals() -> AsyncIterator[Arrival]:
                async for delivery in deliveries:
                    yield delivery.message.value, delivery.ack

            yield arrivals()


@asynccontextmanager
async def open_port(settings: AudioSettings) -> AsyncGenerator[Ends]:
    """Open our broker twice, as two processes do."""
    async with open_broker(settings) as bot, open_broker(settings) as worker:
        yield Ends(PortLine(bot), PortLine(worker))


@dataclass(frozen=True, slots=True)
class SqliteLine:
    """A table. Blocks the event loop, as nothing could be quicker; who sends says so to who waits."""

    db: sqlite3.Connection
    sent: asyncio.Condition

    async def send(self, topic: str, body: bytes) -> None:
        """See `Line.send`."""
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("INSERT INTO messages (topic, body) VALUES (?, ?)", (topic, body))
        async with self.sent:
            self.sent.notify_all()

    @asynccontextmanager
    async def receive(self, topic: str) -> AsyncGenerator[AsyncIterator[Arrival]]:
        """See `Line.receive`."""
        yield self._arrivals(topic)

    async def _arrivals(self, topic: str) -> AsyncIterator[Arrival]:
        query = "SELECT id, body FROM messages WHERE topic = ? AND id > ? ORDER BY id LIMIT 1"
        last = 0
        while True:
            row: tuple[int, bytes] | None = self.db.execute(query, (topic, last)).fetchone()
            if row is None:
                async with self.sent:
                    await self.sent.wait()
                continue
            last = row[0]

            async def done(number: int = last) -> None:
                self.db.execute("PRAGMA synchronous = NORMAL")
                self.db.execute("DELETE FROM messages WHERE id = ?", (number,))

            yield row[1], done
            await asyncio.sleep(0)  # nothing else here would let the others run


@asynccontextmanager
async def open_bare_sqlite(path: Path) -> AsyncGenerator[Ends]:
    """Open the file twice."""
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as bot,
        closing(sqlite3.connect(path, isolation_level=None)) as worker,
    ):
        for db in (bot, worker):
            db.execute("PRAGMA journal_mode = WAL")
        bot.execute("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, body BLOB)")
        sent = asyncio.Condition()
        yield Ends(SqliteLine(bot, sent), SqliteLine(worker, sent))


@dataclass(frozen=True, slots=True)
class KafkaLine:
    """A producer, and a consumer for each topic."""

    producer: KafkaProducer
    options: Options

    async def send(self, topic: str, body: bytes) -> None:
        """See `Line.send`."""
        await self.producer.send_and_wait(topic, body, body[:8], headers=[])

    @asynccontextmanager
    async def receive(self, topic: str) -> AsyncGenerator[AsyncIterator[Arrival]]:
        """See `Line.receive`."""
        consumer, dealt = new_consumer(self.options, f"bench.{topic}"), _Dealt()
        await consumer.start()
        try:
            consumer.subscribe([topic], listener=dealt)
            await dealt.out.wait()
            yield _read(consumer)
        finally:
            await consumer.stop()


@dataclass(frozen=True, slots=True)
class _Dealt(ConsumerRebalanceListener):
    out: asyncio.Event = field(default_factory=asyncio.Event)

    def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing to give back."""

    def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002 - the library's signature
        """Say so."""
        self.out.set()


async def _read(consumer: KafkaConsumer) -> AsyncIterator[Arrival]:
    async def done() -> None:
        """Be committed with all that was read at a time."""

    while True:
        read = await consumer.getmany(timeout_ms=_POLL_MS, max_records=PREFETCH)
        for records in read.values():
            for record in records:
                yield record.value or b"", done
        if read:
            await consumer.commit({partition: (records[-1].offset + 1, "") for partition, records in read.items()})


@asynccontextmanager
async def open_bare_kafka(settings: AudioSettings) -> AsyncGenerator[Ends]:
    """Open the library's own clients."""
    options = connection_options(settings)
    async with AsyncExitStack() as stack:
        lines: list[KafkaLine] = []
        for _ in range(2):
            producer = new_producer(options, max_request_bytes=_MAX_BYTES)
            await producer.start()
            stack.push_async_callback(producer.stop)
            lines.append(KafkaLine(producer, options))
        yield Ends(*lines)


async def make_topic(settings: AudioSettings, topic: str) -> None:
    """Make a Kafka topic as our broker makes it: neither side shall pay for that."""
    wanted = TopicSettings(_PARTITIONS, 1, {})
    async with open_cluster(connection_options(settings), wanted, timeout_seconds=10) as cluster:
        await cluster.ensure_topic(topic)
