"""The consumer's side of SQS: the iterator of one subscription, and its deliveries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Literal, Protocol

from common.broker.base import Delivery, Settlement
from common.broker.settlement import SettledOnce
from common.broker.sqs.envelope import Envelope
from common.broker.sqs.reader import Held, Inbox, QueueReader
from common.errors import BrokerUnavailable
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_MAX_ERROR_CHARACTERS = 4096


class SendDeadLetter(Protocol):
    """Sends an envelope to the queue of a topic's dead letters."""

    def __call__(self, topic: str, envelope: Envelope) -> Awaitable[None]:
        """Return when it is there. Raises BrokerError."""
        ...


class SqsSubscription:
    """One member of a group. Iterating gives deliveries; several tasks may iterate the same subscription."""

    def __init__(self, reader: QueueReader, inbox: Inbox, send_dead_letter: SendDeadLetter) -> None:
        self.reader = reader
        self.inbox = inbox
        self.send_dead_letter = send_dead_letter
        self._end: Literal["", "left", "closed"] = ""
        self._settling: set[asyncio.Task[None]] = set()

    def __aiter__(self) -> SqsSubscription:
        """Return itself."""
        return self

    async def __anext__(self) -> Delivery:
        """Return the next delivery, once there is one and fewer than `prefetch` are unsettled."""
        while not self._end and self.inbox.failure is None:
            held = self.inbox.take()
            if held is not None:
                return _Delivery(self, held)
            self.inbox.iterating += 1
            self.reader.wake()
            try:
                await self.inbox.ready.wait()
            finally:
                self.inbox.iterating -= 1
        if self._end == "closed":
            raise BrokerUnavailable("the broker was closed")
        if self._end:
            raise StopAsyncIteration
        assert self.inbox.failure is not None  # noqa: S101 - as the loop says
        raise self.inbox.failure

    async def end(self, how: Literal["left", "closed"]) -> None:
        """Hand out nothing more, wake the waiting iterators, and give back what is unsettled."""
        if self._end:
            return
        self._end = how
        self.inbox.ready.set()
        if self._settling:
            await asyncio.wait(self._settling)
        await self.reader.leave(self.inbox)

    def settle(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Carry out a settlement; cancelling the consumer does not interrupt it."""
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task


class _Delivery(SettledOnce):
    """A delivery of the port."""

    def __init__(self, subscription: SqsSubscription, held: Held) -> None:
        super().__init__(held.message, held.received.attempt)
        self._subscription = subscription
        self._reader = subscription.reader
        self._held = held
        self._dead_letter_sent = False

    async def ack(self) -> None:
        await self._settle("ack", lambda: self._reader.delete(self._held))

    async def retry(self, delay: timedelta) -> None:
        await self._settle("retry", lambda: self._reader.postpone(self._held, delay.total_seconds()))

    async def release(self, delay: timedelta = timedelta(0)) -> None:
        seconds = delay.total_seconds()
        await self._settle("release", lambda: self._reader.send_again(self._held, seconds, attempts=self.attempt - 1))

    async def reject(self, error_code: str, error_message: str) -> None:
        async def reject() -> None:
            if not self._dead_letter_sent:
                await self._send_dead_letter(error_code, error_message)
                self._dead_letter_sent = True
            await self._reader.delete(self._held)

        await self._settle("reject", reject)

    async def _settle(self, settlement: Settlement, work: Callable[[], Awaitable[None]]) -> None:
        """Carry out the settlement, unless the lease was lost.

        Raises:
            RuntimeError: the delivery is settled already: a defect of the consumer.
            BrokerUnavailable: it was not carried out, and may be tried again while the lease is renewed.
        """
        self.begin_settlement(settlement)
        if self._held.lost or time.monotonic() > self._held.deadline:
            self.log_lease_lost()
            self._reader.dismiss(self._subscription.inbox, self._held)
            return
        task = self._subscription.settle(self._carry_out(work))
        await asyncio.shield(task)

    async def _carry_out(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException:
            self.undo_settlement()
            raise
        if self._held.lost:
            self.log_lease_lost()
        self._reader.dismiss(self._subscription.inbox, self._held)

    async def _send_dead_letter(self, error_code: str, error_message: str) -> None:
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
        await self._subscription.send_dead_letter(message.topic, Envelope(message.key, message.value, headers))
