"""The consumer's side of Kafka: the iterator of one subscription, and its deliveries."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from common.broker.base import Delivery, Settlement, dead_letter_topic
from common.broker.kafka.deliveries import Deliveries, UnsettledMessage
from common.broker.kafka.publisher import Publisher
from common.broker.settlement import SettledOnce
from common.errors import BrokerUnavailable, MessageTooLarge
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

_MAX_ERROR_CHARACTERS = 4096


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
        """Return the next delivery, once there is one and fewer than `prefetch` are unsettled."""
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
        """Hand out nothing more, and wake the waiting iterators."""
        self._end = self._end or how
        self.deliveries.ready.set()

    def fail(self, failure: BaseException) -> None:
        """Raise a defect of the member's task from the iterators."""
        self._failure = failure
        self.deliveries.ready.set()


class _Delivery(SettledOnce):
    """A delivery of the port."""

    def __init__(self, subscription: KafkaSubscription, item: UnsettledMessage) -> None:
        super().__init__(item.message, item.attempt)
        self._subscription = subscription
        self._deliveries = subscription.deliveries
        self._item = item

    async def ack(self) -> None:
        self._begin("ack")
        await self._finish()

    async def retry(self, delay: timedelta) -> None:
        self._begin("retry")
        self._deliveries.defer(self._item, delay.total_seconds(), self.attempt + 1)

    async def release(self, delay: timedelta = timedelta(0)) -> None:
        self._begin("release")
        self._deliveries.defer(self._item, delay.total_seconds(), self.attempt)

    async def reject(self, error_code: str, error_message: str) -> None:
        self._begin("reject")
        if not self._item.partition.lost:
            try:
                await self._publish_dead_letter(error_code, error_message)
            except BaseException:
                self.undo_settlement()
                raise
        await self._finish()

    def _begin(self, settlement: Settlement) -> None:
        self.begin_settlement(settlement)
        if self._item.partition.lost:
            self.log_lease_lost()

    async def _finish(self) -> None:
        """Wait for the commit.

        Raises:
            BrokerUnavailable: it was not committed in time; the delivery is unsettled again.
        """
        lost = self._item.partition.lost
        try:
            async with time_limit(self._subscription.timeout_seconds):
                await self._deliveries.finish(self._item)
        except TimeoutError as exc:
            self.undo_settlement()
            self._deliveries.undo_finish(self._item)
            raise BrokerUnavailable(f"{self.message.topic} {self.message.position}: not committed in time") from exc
        if self._item.partition.lost and not lost:
            self.log_lease_lost()

    async def _publish_dead_letter(self, error_code: str, error_message: str) -> None:
        message = self.message
        partition, _, offset = message.position.partition(":")
        headers = {
            **message.headers,
            "error_code": error_code,
            "error_message": error_message[:_MAX_ERROR_CHARACTERS],
            "origin_topic": message.topic,
            "origin_partition": partition,
            "origin_offset": offset,
            "attempt": str(self.attempt),
        }
        topic = dead_letter_topic(message.topic)
        try:
            await self._subscription.publisher.publish(topic, message.key, message.value, headers)
        except MessageTooLarge as exc:
            # The delivery must be settled all the same; the origin topic holds the body while it is retained.
            log.warning("broker.dead_letter_cut", topic=topic, position=message.position, detail=exc.detail)
            await self._subscription.publisher.publish(topic, message.key, b"", headers)
