"""Completes a request exactly once: with its terminal status, or by time-out.

The handler is called before the store is updated, so that a process that dies in between calls it again after its
restart instead of never. Within one process a lock per request keeps completion from running twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from bot_service.requests.open_requests import OpenRequests
from bot_service.requests.progress import ProgressFollower
from bot_service.store.base import GuildStore, PendingRequest
from common.broker.base import Delivery
from common.errors import AppError, BrokerError, DatabaseUnavailable, InvalidMessage
from common.messages.base import parse
from common.messages.downloads import ProgressEvent, StatusEvent
from common.observability.telemetry import correlation, get_logger
from common.observability.tracing import span

log = get_logger(__name__)

RETRY_DELAY = timedelta(seconds=1)
MAX_ATTEMPTS = 4
"""Calls of the handler for one completion before it counts as done."""


@dataclass(frozen=True, slots=True)
class RequestHandler:
    """Callbacks for what happens to requests. Calls for different requests may run concurrently.

    `finished` (a terminal status), `timed_out` and `withdrawn` (no one waits for it) complete a request: one of them is
    called, once. A call that raised
    is repeated a few times. After a crash inside a call it is repeated by the next process: it must be idempotent.
    `progress` is best effort: events that arrive during a running call are dropped.
    `playable` is called once when an unfinished song can be played, with its metadata; a call that raised may be
    repeated; there is no call for a song that was finished first. No `progress` follows it. Neither of the two starts,
    or still runs, when a completing one is called.
    """

    finished: Callable[[PendingRequest, StatusEvent], Awaitable[None]]
    progress: Callable[[PendingRequest, ProgressEvent], Awaitable[None]]
    timed_out: Callable[[PendingRequest], Awaitable[None]]
    playable: Callable[[PendingRequest, ProgressEvent], Awaitable[None]]
    withdrawn: Callable[[PendingRequest], Awaitable[None]]


class RequestCompletion:
    """Completes requests and settles their deliveries. Its methods raise nothing but CancelledError."""

    def __init__(
        self, store: GuildStore, requests: OpenRequests, handler: RequestHandler, progress: ProgressFollower
    ) -> None:
        self._store = store
        self._requests = requests
        self._handler = handler
        self._progress = progress
        self._deliveries = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no delivery is being handled."""
        await self._idle.wait()

    async def handle(self, delivery: Delivery, unsubscribed: asyncio.Event) -> None:
        """Handle one delivery of the status topic and settle it, unless `unsubscribed` is set meanwhile."""
        self._deliveries += 1
        self._idle.clear()
        try:
            await self._handle(delivery, unsubscribed)
        finally:
            self._deliveries -= 1
            if not self._deliveries:
                self._idle.set()

    async def time_out(self, request: PendingRequest) -> None:
        """Complete a request without a status. With the store unavailable it stays open, to be timed out again."""
        with self._requests.lock(request.request_id) as locked:
            if not locked:
                return
            try:
                if await self._load(request.request_id) is None:
                    self._requests.remove(request.request_id)
                    return
                for attempt in range(1, MAX_ATTEMPTS + 1):
                    if await self._call(request, lambda: self._handler.timed_out(request), attempt):
                        break
                    await asyncio.sleep(RETRY_DELAY.total_seconds())
                await self._close(request.request_id)
            except DatabaseUnavailable as exc:
                log.warning("request.store_away", request_id=request.request_id, detail=exc.detail)

    async def withdraw(self, request: PendingRequest, cancel: Callable[[str], Awaitable[None]]) -> None:
        """Complete a request that no one waits for, once `cancel` told the audio service so; else it stays open."""
        with self._requests.lock(request.request_id) as locked:
            if not locked:
                return
            try:
                if await self._load(request.request_id) is None:
                    self._requests.remove(request.request_id)
                    return
                await cancel(request.request_id)
                await self._call(request, lambda: self._handler.withdrawn(request), MAX_ATTEMPTS)
                await self._close(request.request_id)
            except AppError as exc:
                log.info("request.not_withdrawn", request_id=request.request_id, code=exc.code, detail=exc.detail)

    async def _handle(self, delivery: Delivery, unsubscribed: asyncio.Event) -> None:
        try:
            status = parse(StatusEvent, delivery.message.value)
        except InvalidMessage as exc:
            log.warning("status.unreadable", detail=exc.detail, position=delivery.message.position)
            await _settle(delivery.ack, unsubscribed)
            return
        with (
            self._requests.lock(status.request_id) as locked,
            correlation(status.request_id, delivery.message.headers),
            span(f"process {delivery.message.topic}", "consumer", attempt=delivery.attempt),
        ):
            try:
                again = not locked or not await self._complete(status, delivery.attempt)
            except DatabaseUnavailable as exc:
                log.warning("request.store_away", request_id=status.request_id, detail=exc.detail)
                await _settle(lambda: delivery.release(RETRY_DELAY), unsubscribed)
                return
            if again and locked:
                await _settle(lambda: delivery.retry(RETRY_DELAY), unsubscribed)
            elif again:
                await _settle(lambda: delivery.release(RETRY_DELAY), unsubscribed)
            else:
                await _settle(delivery.ack, unsubscribed)

    async def _complete(self, status: StatusEvent, attempt: int) -> bool:
        """Complete the status's request; no-op if it is not open. False: the handler failed and is to be retried."""
        request = await self._load(status.request_id)
        if request is None:
            self._requests.remove(status.request_id)
            return True
        if not await self._call(request, lambda: self._handler.finished(request, status), attempt):
            return False
        await self._close(request.request_id)
        return True

    async def _load(self, request_id: str) -> PendingRequest | None:
        """Return the request if it is open, from the store, or from memory while that is unavailable."""
        try:
            return await self._store.request(request_id)
        except DatabaseUnavailable:
            if (known := self._requests.get(request_id)) is None:
                raise
            return known

    async def _call(self, request: PendingRequest, call: Callable[[], Awaitable[None]], attempt: int) -> bool:
        """Call the handler, once per request. True: it succeeded, or its attempts are exhausted."""
        if self._requests.is_completed(request.request_id):
            return True
        await self._progress.stop_following(request.request_id)
        try:
            await call()
        except Exception:
            log.exception("request.handler_failed", request_id=request.request_id, attempt=attempt)
            if attempt < MAX_ATTEMPTS:
                return False
        self._requests.mark_completed(request.request_id)
        return True

    async def _close(self, request_id: str) -> None:
        await self._store.finish_request(request_id)
        self._requests.remove(request_id)


async def _settle(settlement: Callable[[], Awaitable[None]], unsubscribed: asyncio.Event) -> None:
    """Settle a delivery, retrying while the broker is unavailable: the subscription still holds it."""
    while not unsubscribed.is_set():
        try:
            await settlement()
        except BrokerError as exc:
            log.warning("status.not_settled", code=exc.code, detail=exc.detail)
            await asyncio.sleep(RETRY_DELAY.total_seconds())
        else:
            return
