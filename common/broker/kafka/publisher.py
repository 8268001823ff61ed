"""Publishing to Kafka: one idempotent producer, acks=all, and a timeout for every call.

A message whose publish failed must not be delivered later: a producer that timed out is closed without flushing, so
that a request that was refused is not worked on when the brokers are back. Batches already sent are the exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from common.broker.base import MAX_MESSAGE_BYTES
from common.broker.kafka.cluster import Cluster
from common.broker.kafka.connection import describe_failure
from common.broker.kafka.library import KafkaProducer, close_without_flush, connect, kafka_errors, new_producer
from common.errors import BrokerUnavailable, MessageTooLarge
from common.tasks import time_limit

SLACK_BYTES = 64 * 1024
"""Bytes of the largest record beyond its value and headers: key, framing, the headers of a dead letter."""

_CLOSE_SECONDS = 2.0


class Publisher:
    """Publishes until `close`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._starting = asyncio.Lock()
        self._producer: KafkaProducer | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """Return when all in-sync replicas have the message.

        Raises:
            MessageTooLarge: over the topic's max.message.bytes.
            BrokerUnavailable: not accepted in time.
        """
        await self._cluster.ensure_topic(topic)
        seconds = self._cluster.timeout_seconds
        producer: KafkaProducer | None = None
        try:
            async with time_limit(seconds):
                producer = await self._started()
                encoded = [(name, text.encode()) for name, text in headers.items()]
                # Records without a key are spread over the partitions; an empty key would put all of them into one.
                await producer.send_and_wait(topic, value, key.encode() or None, headers=encoded)
        except (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError) as exc:
            raise MessageTooLarge(f"topic {topic}: {exc}") from exc
        except TimeoutError as exc:
            self._cluster.invalidate_topic(topic)
            self._discard(producer)
            raise BrokerUnavailable(f"publishing to {topic}: KAFKA_BROKERS did not confirm in {seconds:g} s") from exc
        except kafka_errors.KafkaError as exc:
            self._discard(producer)
            raise BrokerUnavailable(f"publishing to {topic}: {describe_failure(exc)}") from exc

    async def close(self) -> None:
        """Close without flushing; messages not confirmed yet are dropped."""
        self._closed = True
        self._discard(self._producer)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _started(self) -> KafkaProducer:
        async with self._starting:
            if self._closed:
                raise BrokerUnavailable("the broker was closed")
            if self._producer is None:
                producer = new_producer(self._cluster.options, max_request_bytes=MAX_MESSAGE_BYTES + SLACK_BYTES)
                try:
                    await connect(producer.start())
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def _discard(self, producer: KafkaProducer | None) -> None:
        """Close it in the background, because an unresponsive broker delays that; `close` waits for it."""
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        task = asyncio.create_task(close_without_flush(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
