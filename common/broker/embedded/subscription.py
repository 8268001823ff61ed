"""The consumer's side of the embedded broker: the iterator of one subscription, and the deliveries it hands out.

Refuses to schedule anything: it asks the store through `submit`, and sleeps until woken, due, or left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Literal, Protocol, TypeVar

from common.broker.base import Delivery, dead_letter_topic
from common.broker.embedded.store import Claim, Claimed, EmbeddedStore, Start
from common.broker.settlement import OneEnding
from common.errors import BrokerUnavailable
from common.observability.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

_RETRY_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_SHORTEST_WAIT_SECONDS = 0.001


class Submit(Protocol):
    """Starts a store call on the broker's thread, and wakes the consumers of a topic when it is done."""

    def __call__(self, work: Callable[[], T], *, wakes: str | None = None) -> asyncio.Future[T]:
        """Return the running call. Raises BrokerUnavailable when the broker is closed."""
        ...


class EmbeddedSubscription:
    """One member of a group. Iterating gives deliveries; several tasks may iterate the same subscription."""

    def __init__(  # noqa: PLR0913 - these are what a subscription is: what it reads, how much, and from where
        self, store: EmbeddedStore, submit: Submit, topic: str, group: str, *, owner: str, prefetch: int, start: Start
    ) -> None:
        self.store = store
        self.submit = submit
        self.topic = topic
        self.group = group
        self.owner = owner
        self.waiting = False
        self._held: set[str] = set()
        self._prefetch = prefetch
        self._start: Start = start
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._claiming: asyncio.Future[Claimed] | None = None
        self._end: Literal["", "left", "closed"] = ""

    def __aiter__(self) -> EmbeddedSubscription:
        """Return itself."""
        return self

    async def __anext__(self) -> Delivery:
        """Return the next delivery as soon as there is one and fewer than `prefetch` are unfinished."""
        async with self._turn:
            while not self._end:
                self._changed.clear()
                due_at: float | None = None
                if len(self._held) < self._prefetch:
                    found, fresh = await self._look()
                    if self._end:
                        break
                    if found.claim is not None:
                        return self._hand_out(found.claim)
                    if not fresh:
                        continue
                    due_at = found.due_at
                await self._wait_until(due_at)
        if self._end == "closed":
            raise BrokerUnavailable("the broker was closed")
        raise StopAsyncIteration

    @property
    def holds(self) -> bool:
        """Whether there are leases to renew."""
        return bool(self._held) or self._claiming is not None

    def join(self) -> None:
        """Make the group unless it exists (blocking)."""
        self.store.join(self.topic, self.group, self._start)

    def release(self) -> None:
        """Hand back everything unfinished (blocking). Also what was claimed for a caller that went away."""
        self.store.release(self.topic, self.group, self.owner)

    def wake(self) -> None:
        """Look again: something may have become available."""
        self._changed.set()

    def end(self, how: Literal["left", "closed"]) -> bool:
        """Hand out nothing more, and let those who wait go. Returns False when that had been said before."""
        first = not self._end
        self._end = self._end or how
        self._changed.set()
        return first

    def settled(self, token: str) -> None:
        """Make room for the next delivery: this one has its ending."""
        self._held.discard(token)
        self._changed.set()

    async def _look(self) -> tuple[Claimed, bool]:
        """Claim, and say whether what comes back was looked up after this call began.

        A caller that is cancelled leaves the claim to the next one: what it finds is leased to us already.
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
            return Claimed(None, self.store.now() + _RETRY_SECONDS), True

    async def _wait_until(self, due_at: float | None) -> None:
        seconds = _LONGEST_WAIT_SECONDS if due_at is None else due_at - self.store.now()
        self.waiting = True
        try:
            async with asyncio.timeout(min(max(seconds, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting = False

    def _hand_out(self, claim: Claim) -> Delivery:
        self._held.add(claim.token)
        return _Delivery(self, claim)


class _Delivery(OneEnding):
    """A claim in the consumer's hands."""

    def __init__(self, subscription: EmbeddedSubscription, claim: Claim) -> None:
        super().__init__(claim)
        self._subscription = subscription
        self._store = subscription.store
        self._claim = claim

    async def ack(self) -> None:
        await self._finish("ack", lambda: self._store.finish(self._claim))

    async def retry(self, delay: timedelta) -> None:
        await self._hand_back("retry", delay, self.attempt + 1)

    async def release(self, delay: timedelta = timedelta(0)) -> None:
        await self._hand_back("release", delay, self.attempt)

    async def reject(self, error_code: str, error_message: str) -> None:
        await self._finish(
            "reject",
            lambda: self._store.reject(self._claim, error_code, error_message),
            wakes=dead_letter_topic(self.message.topic),
        )

    async def _hand_back(self, ending: str, delay: timedelta, attempt: int) -> None:
        seconds = max(delay.total_seconds(), 0.0)
        await self._finish(
            ending, lambda: self._store.hand_back(self._claim, seconds, attempt), wakes=self.message.topic
        )

    async def _finish(self, ending: str, work: Callable[[], bool], *, wakes: str | None = None) -> None:
        """Carry out the one ending.

        Raises:
            RuntimeError: the delivery already has its ending: a defect of the consumer.
            BrokerUnavailable: it was not carried out, and may be tried again while the lease is renewed.
        """
        self.refuse_second(ending)
        running = self._subscription.submit(work, wakes=wakes)
        self.begin(ending)
        running.add_done_callback(self._finished)
        await asyncio.shield(running)

    def _finished(self, running: asyncio.Future[bool]) -> None:
        if running.cancelled() or running.exception() is not None:
            self.call_off()
            return
        if not running.result():
            self.say_lost()
        self._subscription.settled(self._claim.token)
