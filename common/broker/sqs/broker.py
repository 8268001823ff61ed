"""The broker on Amazon SQS and SNS. Guarantees and design: docs/adr/0028-sqs.md.

While AWS is away, calls end with BrokerUnavailable after 10 s; subscriptions continue when it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Literal

from common.broker.base import Broker, Delivery, Guarantees, Message, dead_letter_topic
from common.broker.sqs.connection import Clients, Missing, Refused, answered, open_clients
from common.broker.sqs.envelope import Envelope, decode, encode, sent_at
from common.broker.sqs.names import queue_name_of
from common.broker.sqs.publisher import MAX_FAN_OUT_BYTES, Publisher, failed_entries
from common.broker.sqs.reader import Inbox, QueueReader, Reading, group_of
from common.broker.sqs.subscription import SqsSubscription
from common.broker.sqs.topology import Names, Topology
from common.errors import BrokerUnavailable, MessageTooLarge
from common.health import Health
from common.observability.telemetry import get_logger
from common.settings import SharedSettings

log = get_logger(__name__)

NAME = "sqs"

_HEALTH_SECONDS = 1.5  # less than the 2 s of the probes, which show the error
_PEEK_SECONDS = 30
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@asynccontextmanager
async def open_sqs_broker(settings: SharedSettings) -> AsyncGenerator[Broker]:
    """Open the broker; AWS that does not answer is logged, and asked again by later calls.

    Raises:
        BrokerUnavailable: AWS refuses us, or a queue that a setting names does not exist; the detail names the setting.
    """
    reading = Reading(settings.broker_lease_seconds, settings.sqs_max_messages, settings.sqs_wait_time_seconds)
    async with open_clients(settings) as clients:
        broker = SqsBroker(clients, Topology(clients, Names.of(settings)), reading)
        await broker.check_requests_queue()
        try:
            yield broker
        finally:
            await broker.close()


class SqsBroker:
    """See `common.broker.base.Broker`. Made by `open_sqs_broker`, which also calls `close`."""

    def __init__(self, clients: Clients, topology: Topology, reading: Reading) -> None:
        self._clients = clients
        self._topology = topology
        self._reading = reading
        self._publisher = Publisher(clients)
        self._readers: dict[str, QueueReader] = {}
        self._subscriptions: set[SqsSubscription] = set()
        self._closed = False

    def guarantees(self, topic: str) -> Guarantees:
        """See `Broker.guarantees`."""
        if self._topology.names.is_fan_out(topic):
            return Guarantees(retained=False, ages_known=False, max_message_bytes=MAX_FAN_OUT_BYTES)
        return Guarantees(separate_groups=False, ages_known=False)

    async def publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """See `Broker.publish`."""
        self._require_open()
        envelope = Envelope(key, value, headers)
        wire = encode(envelope)
        fan_out = self._topology.names.is_fan_out(topic)
        place = await (self._topology.topic_arn(topic) if fan_out else self._topology.queue(topic))
        try:
            if fan_out:
                await self._publisher.publish(place, wire)
            else:
                await self._publisher.send(place, wire, group=group_of(envelope))
        except Missing:
            self._topology.invalidate(place)
            raise

    def consume(
        self, topic: str, group: str, *, prefetch: int = 1, start: Literal["earliest", "latest"] = "earliest"
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """See `Broker.consume`. A new group of a fan-out begins when it is made, whatever `start` says."""
        del start
        if prefetch < 1:
            raise ValueError(f"prefetch is {prefetch}, at least 1 is needed")
        return self._subscribe(topic, group, prefetch)

    async def ensure_topic(self, topic: str) -> None:
        """See `Broker.ensure_topic`."""
        self._require_open()
        await self._topology.ensure(topic)

    async def peek(self, topic: str, *, limit: int = 100) -> list[Message]:
        """See `Broker.peek`. Receives what is visible and gives it back: a delivery of each is counted."""
        self._require_open()
        url = None if self._topology.names.is_fan_out(topic) else await self._topology.find(topic, "")
        if url is None or limit < 1:
            return []
        found: list[Any] = []
        try:
            visible = (await self._attributes(url)).get(_COUNTS[0], 0)
            while len(found) < visible:
                batch = await self._receive(url)
                if not batch:
                    break
                found += batch
        finally:
            await asyncio.shield(self._make_visible(url, found))
        messages = [decode(topic, raw).message for raw in found]
        messages.sort(key=lambda message: sent_at(message.position))
        return messages[:limit]

    async def lag(self, topic: str, group: str) -> int:
        """See `Broker.lag`. SQS' own numbers, which are approximate."""
        self._require_open()
        url = await self._topology.find(topic, group)
        if url is None:
            return 0
        try:
            return sum((await self._attributes(url)).values())
        except Missing:
            self._topology.invalidate(url)
            return 0

    async def oldest_age(self, topic: str, group: str) -> timedelta:
        """See `Broker.oldest_age`. Of the messages that this process holds: SQS itself tells CloudWatch alone."""
        self._require_open()
        url = await self._topology.find(topic, group)
        reader = self._readers.get(url) if url else None
        sent = min((sent_at(held.message.position) for held in reader.held()), default=None) if reader else None
        return timedelta(seconds=max(0.0, time.time() - sent) if sent is not None else 0.0)

    async def forget(self, topic: str, group: str) -> None:
        """See `Broker.forget`."""
        self._require_open()
        if not self.guarantees(topic).separate_groups:
            return
        url = await self._topology.find(topic, group)
        if url is not None and (reader := self._readers.pop(url, None)) is not None:
            await reader.close(patient=False)
        await self._topology.forget(topic, group)

    async def health(self) -> Health:
        """See `Broker.health`. Not ok: AWS does not answer in time or refuses, or the queue of requests is gone."""
        if self._closed:
            return Health(NAME, ok=False, error="the broker was closed")
        try:
            async with answered("queue of requests", seconds=_HEALTH_SECONDS):
                url = await self._topology.queue(self._topology.names.requests)
                await self._attributes(url)
        except BrokerUnavailable as exc:
            return Health(NAME, ok=False, error=exc.detail)
        return Health(NAME, ok=True, metadata={"queue_name": queue_name_of(url)})

    async def check_requests_queue(self) -> None:
        """Find or make the queue of requests, so that a wrong setting is met at the start.

        Raises:
            Refused: AWS refuses us, or the queue that SQS_BOT_DOWNLOAD_REQUESTS_URL names does not exist.
        """
        names = self._topology.names
        setting = "SQS_BOT_DOWNLOAD_REQUESTS_URL" if names.requests_url else "TOPIC_DOWNLOAD_REQUESTS"
        try:
            await self._attributes(await self._topology.queue(names.requests))
        except Refused as exc:
            raise Refused(f"{setting}: {exc.detail}") from exc
        except BrokerUnavailable as exc:
            log.warning("broker.unreachable", detail=exc.detail)

    async def close(self) -> None:
        """Release the messages of open subscriptions and end them; later calls raise BrokerUnavailable."""
        self._closed = True
        async with asyncio.TaskGroup() as tasks:
            for subscription in self._subscriptions:
                tasks.create_task(subscription.end("closed"))
        async with asyncio.TaskGroup() as tasks:
            for reader in self._readers.values():
                tasks.create_task(reader.close())
        await self._publisher.close()

    @asynccontextmanager
    async def _subscribe(self, topic: str, group: str, prefetch: int) -> AsyncGenerator[SqsSubscription]:
        self._require_open()
        url = await self._topology.consumed_queue(topic, group)
        self._require_open()
        reader = self._readers.get(url)
        if reader is None:
            reader = self._readers[url] = QueueReader(self._clients, self._publisher, url, self._reading)
        inbox = Inbox(topic, prefetch)
        subscription = SqsSubscription(reader, inbox, self._send_dead_letter)
        self._subscriptions.add(subscription)
        reader.join(inbox)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            await subscription.end("left")
            if inbox.failure is not None:
                self._topology.invalidate(url)

    async def _send_dead_letter(self, topic: str, envelope: Envelope) -> None:
        url = await self._topology.queue(dead_letter_topic(topic))
        try:
            await self._publisher.send(url, encode(envelope), group=group_of(envelope))
        except MessageTooLarge as exc:
            # The delivery must be settled all the same.
            log.warning("broker.dead_letter_cut", topic=topic, detail=exc.detail)
            await self._publisher.send(url, encode(Envelope(envelope.key, b"", envelope.headers)), group="")

    async def _attributes(self, url: str) -> dict[str, int]:
        async with answered(f"queue {queue_name_of(url)}"):
            found = await self._clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
        return {name: int(count) for name, count in found.get("Attributes", {}).items()}

    async def _receive(self, url: str) -> list[Any]:
        async with answered(f"queue {queue_name_of(url)}"):
            answer = await self._clients.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                VisibilityTimeout=_PEEK_SECONDS,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return list(answer.get("Messages", []))

    async def _make_visible(self, url: str, found: list[Any]) -> None:
        for first in range(0, len(found), 10):
            entries: Any = [
                {"Id": str(at), "ReceiptHandle": raw["ReceiptHandle"], "VisibilityTimeout": 0}
                for at, raw in enumerate(found[first : first + 10])
            ]
            await failed_entries(
                f"giving back to queue {queue_name_of(url)}",
                lambda entries=entries: self._clients.sqs.change_message_visibility_batch(
                    QueueUrl=url, Entries=entries
                ),
            )

    def _require_open(self) -> None:
        if self._closed:
            raise BrokerUnavailable("the broker was closed")
