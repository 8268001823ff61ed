"""The consumer's side of the embedded broker: the iterator of one subscription, and its deliveries.

It calls the store through `submit`, and waits until it is woken, a message is due, or it is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Literal, Protocol, TypeVar

from common.broker.base import Delivery, Settlement, dead_letter_topic
from common.broker.embedded.store import ClaimResult, EmbeddedStore, LeasedMessage, Start
from common.broker.settlement import SettledOnce
from common.errors import BrokerUnavailable
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

T = TypeVar("T")

_RETRY_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_SHORTEST_WAIT_SECONDS = 0.001


class Submit(Protocol):
    """Starts a store call in the broker's thread, and wakes the consumers of the topic `wakes` when it is done."""

    def __call__(self, work: Callable[[], T], *, wakes: str | None = None) -> asyncio.Future[T]:
        """Return the call's future. Raises BrokerUnavailable when the broker is closed."""
        ...


class EmbeddedSubscription:
    """One member of a group. Iterating gives deliveries; several tasks may iterate the same subscription."""

    def __init__(  # noqa: PLR0913 - what a subscription reads, how much, from where, and on whose behalf
        self, store: EmbeddedStore, submit: Submit, topic: str, group: str, *, owner: str, prefetch: int, start: Start
    ) -> None:
        self.store = store
        self.submit = submit
        self.topic = topic
        self.group = group
        self.owner = owner
        self.waiting = False
        self._leases: set[str] = set()
        self._prefetch = prefetch
        self._start: Start = start
        self._changed = asyncio.Event()
        self._iterating = asyncio.Lock()
        self._claiming: asyncio.Future[ClaimResult] | None = None
        self._end: Literal["", "left", "closed"] = ""

    def __aiter__(self) -> EmbeddedSubscription:
        """Return itself."""
        return self

    async def __anext__(self) -> Delivery:
        """Return the next delivery, once there is one and fewer than `prefetch` are unsettled."""
        async with self._iterating:
            while not self._end:
                self._changed.clear()
                due_at: float | None = None
                if len(self._leases) < self._prefetch:
                    found, fresh = await self._claim()
                    if self._end:
                        break
                    if found.message is not None:
                        return self._deliver(found.message)
                    if not fresh:
                        continue
                    due_at = found.due_at
                await self._wait_until(due_at)
        if self._end == "closed":
            raise BrokerUnavailable("the broker was closed")
        raise StopAsyncIteration

    @property
    def has_leases(self) -> bool:
        """Whether there are leases to renew."""
        return bool(self._leases) or self._claiming is not None

    def join(self) -> None:
        """Create the group unless it exists. Blocks."""
        self.store.join(self.topic, self.group, self._start)

    def release(self) -> None:
        """Release all leases, also one that was claimed for a cancelled caller. Blocks."""
        self.store.release(self.topic, self.group, self.owner)

    def wake(self) -> None:
        """Let the waiting iterator claim again: a message may have become available."""
        self._changed.set()

    def end(self, how: Literal["left", "closed"]) -> bool:
        """Hand out nothing more, and wake the waiting iterators. Returns False if it had ended before."""
        first = not self._end
        self._end = self._end or how
        self._changed.set()
        return first

    def lease_ended(self, token: str) -> None:
        """Make room for the next delivery: this one is settled."""
        self._leases.discard(token)
        self._changed.set()

    async def _claim(self) -> tuple[ClaimResult, bool]:
        """Claim; also return whether the result was looked up after this call began.

        The claim of a cancelled caller goes to the next one: its message may be leased to this subscription already.
        """
        fresh = self._claiming is None
        if self._claiming is None:
            self._claiming = self.submit(lambda: self.store.claim(self.topic, self.group, self._start, self.owner))
        await asyncio.wait({self._claiming})
        claiming, self._claiming = self._claiming, None
        try:
            return claiming.result(), fresh
        except BrokerUnavailable as exc:
            log.warning("broker.claim_failed", topic=self.topic, group=self.group, detail=exc.detail)
            return ClaimResult(None, self.store.now() + _RETRY_SECONDS), True

    async def _wait_until(self, due_at: float | None) -> None:
        seconds = _LONGEST_WAIT_SECONDS if due_at is None else due_at - self.store.now()
        self.waiting = True
        try:
            async with time_limit(min(max(seconds, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting = False

    def _deliver(self, leased: LeasedMessage) -> Delivery:
        self._leases.add(leased.token)
        return _Delivery(self, leased)


class _Delivery(SettledOnce):
    """A delivery of the port."""

    def __init__(self, subscription: EmbeddedSubscription, leased: LeasedMessage) -> None:
        super().__init__(leased.message, leased.attempt)
        self._subscription = subscription
        self._store = subscription.store
        self._leased = leased

    async def ack(self) -> None:
        await self._settle("ack", lambda: self._store.finish(self._leased))

    async def retry(self, delay: timedelta) -> None:
        await self._defer("retry", delay, self.attempt + 1)

    async def release(self, delay: timedelta = timedelta(0)) -> None:
        await self._defer("release", delay, self.attempt)

    async def reject(self, error_code: str, error_message: str) -> None:
        await self._settle(
            "reject",
            lambda: self._store.reject(self._leased, error_code, error_message),
            wakes=dead_letter_topic(self.message.topic),
        )

    async def _defer(self, settlement: Settlement, delay: timedelta, attempt: int) -> None:
        seconds = max(delay.total_seconds(), 0.0)
        await self._settle(
            settlement, lambda: self._store.defer(self._leased, seconds, attempt), wakes=self.message.topic
        )

    async def _settle(self, settlement: Settlement, work: Callable[[], bool], *, wakes: str | None = None) -> None:
        """Carry out the settlement.

        Raises:
            RuntimeError: the delivery is settled already: a defect of the consumer.
            BrokerUnavailable: it was not carried out, and may be tried again while the lease is renewed.
        """
        self.check_unsettled(settlement)
        running = self._subscription.submit(work, wakes=wakes)
        self.begin_settlement(settlement)
        running.add_done_callback(self._done)
        await asyncio.shield(running)

    def _done(self, running: asyncio.Future[bool]) -> None:
        if running.cancelled() or running.exception() is not None:
            self.undo_settlement()
            return
        if not running.result():
            self.log_lease_lost()
        self._subscription.lease_ended(self._leased.token)
