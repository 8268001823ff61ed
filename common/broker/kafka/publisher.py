"""Publishing to Kafka: one idempotent producer, acks=all, and an end to every wait.

Refuses to leave a refused message behind: a producer that could not deliver in time is thrown away with what it still
holds, so that a request of which its sender was told "no" is not worked on when the brokers come back. What had reached
the wire by then is the exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from common.broker.base import MAX_MESSAGE_BYTES
from common.broker.kafka.cluster import Cluster
from common.broker.kafka.failures import said
from common.broker.kafka.library import Producer, abandon, kafka_errors, new_producer
from common.errors import BrokerUnavailable, MessageTooLarge

SLACK_BYTES = 64 * 1024
"""What a record of the largest message may have beside its value and headers: key, framing, a dead letter's headers."""

_ABANDON_SECONDS = 2.0


class Publisher:
    """Publishes until `close`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._starting = asyncio.Lock()
        self._producer: Producer | None = None
        self._abandoning: set[asyncio.Task[None]] = set()
        self._closed = False

    async def publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """Return when all in-sync replicas have the message.

        Raises:
            MessageTooLarge: the topic does not take records of this size.
            BrokerUnavailable: not accepted in time.
        """
        await self._cluster.ensure_topic(topic)
        seconds = self._cluster.timeout_seconds
        producer: Producer | None = None
        try:
            async with asyncio.timeout(seconds):
                producer = await self._started()
                encoded = [(name, text.encode()) for name, text in headers.items()]
                # A record without a key goes to any partition; an empty one would put all of them into one.
                await producer.send_and_wait(topic, value, key.encode() or None, headers=encoded)
        except (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError) as exc:
            raise MessageTooLarge(f"topic {topic}: {exc}") from exc
        except TimeoutError as exc:
            self._cluster.doubt(topic)
            self._abandon(producer)
            raise BrokerUnavailable(f"publishing to {topic}: KAFKA_BROKERS did not confirm in {seconds:g} s") from exc
        except kafka_errors.KafkaError as exc:
            self._abandon(producer)
            raise BrokerUnavailable(f"publishing to {topic}: {said(exc)}") from exc

    async def close(self) -> None:
        """Stop; what is not confirmed by now is not sent."""
        self._closed = True
        self._abandon(self._producer)
        if self._abandoning:
            await asyncio.wait(self._abandoning, timeout=_ABANDON_SECONDS)
        for task in self._abandoning:
            task.cancel()
        await asyncio.gather(*self._abandoning, return_exceptions=True)

    async def _started(self) -> Producer:
        async with self._starting:
            if self._closed:
                raise BrokerUnavailable("the broker was closed")
            if self._producer is None:
                producer = new_producer(self._cluster.options, max_request_bytes=MAX_MESSAGE_BYTES + SLACK_BYTES)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def _abandon(self, producer: Producer | None) -> None:
        """Close it beside the next one: a broker that hangs may take its time. `close` waits for it."""
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        task = asyncio.create_task(abandon(producer))
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)
