"""The consumer's side of Kafka: the iterator of one subscription, and the deliveries it hands out."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

from common.broker.base import Delivery, dead_letter_topic
from common.broker.kafka.deliveries import Deliveries, Item
from common.broker.kafka.publisher import Publisher
from common.broker.settlement import OneEnding
from common.errors import BrokerUnavailable, MessageTooLarge
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_LONGEST_ERROR_MESSAGE = 4096


class KafkaSubscription:
    """One member of a group. Iterating gives deliveries; several tasks may iterate the same subscription."""

    def __init__(self, deliveries: Deliveries, publisher: Publisher, *, timeout_seconds: float) -> None:
        self.deliveries = deliveries
        self.publisher = publisher
        self.timeout_seconds = timeout_seconds
        self._end: Literal["", "left", "closed"] = ""
        self._failure: BaseException | None = None

    def __aiter__(self) -> KafkaSubscription:
        """Return itself."""
        return self

    async def __anext__(self) -> Delivery:
        """Return the next delivery as soon as there is one and fewer than `prefetch` are unfinished."""
        while not self._end and self._failure is None:
            item = self.deliveries.take()
            if item is not None:
                return _Delivery(self, item)
            await self.deliveries.ready.wait()
        if self._failure is not None:
            raise self._failure
        if self._end == "closed":
            raise BrokerUnavailable("the broker was closed")
        raise StopAsyncIteration

    def end(self, how: Literal["left", "closed"]) -> None:
        """Hand out nothing more, and let those who wait go."""
        self._end = self._end or how
        self.deliveries.ready.set()

    def fail(self, failure: BaseException) -> None:
        """Tell those who wait of a defect."""
        self._failure = failure
        self.deliveries.ready.set()


class _Delivery(OneEnding):
    """A message in the consumer's hands."""

    def __init__(self, subscription: KafkaSubscription, item: Item) -> None:
        super().__init__(item)
        self._subscription = subscription
        self._deliveries = subscription.deliveries
        self._item = item

    async def ack(self) -> None:
        self._begin("ack")
        await self._finish()

    async def retry(self, delay: timedelta) -> None:
        self._begin("retry")
        self._put_off(delay, self.attempt + 1)

    async def release(self, delay: timedelta = timedelta(0)) -> None:
        self._begin("release")
        self._put_off(delay, self.attempt)

    async def reject(self, error_code: str, error_message: str) -> None:
        self._begin("reject")
        if not self._item.partition.lost:
            try:
                await self._bury(error_code, error_message)
            except BaseException:
                self.call_off()
                raise
        await self._finish()

    def _begin(self, ending: str) -> None:
        self.begin(ending)
        if self._item.partition.lost:
            self.say_lost()

    def _put_off(self, delay: timedelta, attempt: int) -> None:
        self._deliveries.put_off(self._item, delay.total_seconds(), attempt)

    async def _finish(self) -> None:
        """Wait until Kafka knows.

        Raises:
            BrokerUnavailable: it could not be told in time; the delivery is open again.
        """
        lost = self._item.partition.lost
        try:
            async with asyncio.timeout(self._subscription.timeout_seconds):
                await self._deliveries.finish(self._item)
        except TimeoutError as exc:
            self.call_off()
            self._deliveries.resume(self._item)
            raise BrokerUnavailable(f"{self.message.topic} {self.message.position}: the end is not committed") from exc
        if self._item.partition.lost and not lost:
            self.say_lost()

    async def _bury(self, error_code: str, error_message: str) -> None:
        message = self.message
        partition, _, offset = message.position.partition(":")
        headers = {
            **message.headers,
            "error_code": error_code,
            "error_message": error_message[:_LONGEST_ERROR_MESSAGE],
            "origin_topic": message.topic,
            "origin_partition": partition,
            "origin_offset": offset,
            "attempt": str(self.attempt),
        }
        topic = dead_letter_topic(message.topic)
        try:
            await self._subscription.publisher.publish(topic, message.key, message.value, headers)
        except MessageTooLarge as exc:
            # It must end all the same; the place it came from still has it, while it is retained.
            log.warning("broker.dead_letter_cut", topic=topic, position=message.position, detail=exc.detail)
            await self._subscription.publisher.publish(topic, message.key, b"", headers)
