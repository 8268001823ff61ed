"""The end of a request, told once: its status, or that it has waited too long.

The handler is called first and the store told afterwards, so that a process that dies between the two tells it again
instead of never. Within one process a request's end is in one pair of hands, and is not told twice.
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
from common.errors import BrokerError, DatabaseUnavailable, InvalidMessage
from common.messages.base import parse
from common.messages.downloads import ProgressEvent, StatusEvent
from common.observability.telemetry import correlation, get_logger
from common.observability.tracing import span

log = get_logger(__name__)

PAUSE = timedelta(seconds=1)
ATTEMPTS = 4
"""How often a handler is called for one end before that is given up."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What is done about what happened to requests. The four may run for several requests at once.

    `finished` and `timed_out` are terminal: one of them is called, once, for each request. One that raises is called
    again a few times. A process that dies inside one calls it again after its restart, so their effects bear repeating.
    `progress` is best effort: what comes while an earlier call for the same request still runs is left out.
    `playable` is called when the song can be heard although it is not whole, with its metadata: once, but for one that
    raised, which may be called again; not for a song that was whole before anybody could hear of it. There is no more
    `progress` after it. Neither of the two begins, or still runs, when a terminal one is called.
    """

    finished: Callable[[PendingRequest, StatusEvent], Awaitable[None]]
    progress: Callable[[PendingRequest, ProgressEvent], Awaitable[None]]
    timed_out: Callable[[PendingRequest], Awaitable[None]]
    playable: Callable[[PendingRequest, ProgressEvent], Awaitable[None]]


class Ends:
    """Tells the handler how requests end. Its methods never raise, but for cancellation."""

    def __init__(self, store: GuildStore, requests: OpenRequests, handler: Handler, progress: ProgressFollower) -> None:
        self._store = store
        self._requests = requests
        self._handler = handler
        self._progress = progress
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def settled(self) -> None:
        """Wait until no delivery is in hand."""
        await self._idle.wait()

    async def arrived(self, delivery: Delivery, left: asyncio.Event) -> None:
        """Bring one delivery of the status topic to its ending, unless its subscription is `left` meanwhile."""
        self._running += 1
        self._idle.clear()
        try:
            await self._arrived(delivery, left)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def timed_out(self, request: PendingRequest) -> None:
        """End a request that nobody answered. What cannot be ended now stays open, and is tried again."""
        with self._requests.hold(request.request_id) as held:
            if not held:
                return
            try:
                if await self._open(request.request_id) is None:
                    self._requests.remove(request.request_id)
                    return
                for attempt in range(1, ATTEMPTS + 1):
                    if await self._tell(request, lambda: self._handler.timed_out(request), attempt):
                        break
                    await asyncio.sleep(PAUSE.total_seconds())
                await self._finish(request.request_id)
            except DatabaseUnavailable as exc:
                log.warning("request.store_away", request_id=request.request_id, detail=exc.detail)

    async def _arrived(self, delivery: Delivery, left: asyncio.Event) -> None:
        try:
            status = parse(StatusEvent, delivery.message.value)
        except InvalidMessage as exc:
            log.warning("status.unreadable", detail=exc.detail, position=delivery.message.position)
            await _settle(delivery.ack, left)
            return
        with (
            self._requests.hold(status.request_id) as held,
            correlation(status.request_id, delivery.message.headers),
            span(f"process {delivery.message.topic}", "consumer", attempt=delivery.attempt),
        ):
            try:
                again = not held or not await self._answer(status, delivery.attempt)
            except DatabaseUnavailable as exc:
                log.warning("request.store_away", request_id=status.request_id, detail=exc.detail)
                await _settle(lambda: delivery.release(PAUSE), left)
                return
            if again and held:
                await _settle(lambda: delivery.retry(PAUSE), left)
            elif again:
                await _settle(lambda: delivery.release(PAUSE), left)
            else:
                await _settle(delivery.ack, left)

    async def _answer(self, status: StatusEvent, attempt: int) -> bool:
        """Tell a request's end. False: the handler failed, and may be asked again."""
        request = await self._open(status.request_id)
        if request is None:
            self._requests.remove(status.request_id)
            return True
        if not await self._tell(request, lambda: self._handler.finished(request, status), attempt):
            return False
        await self._finish(request.request_id)
        return True

    async def _open(self, request_id: str) -> PendingRequest | None:
        """Return the request if it is open. With the store away, what this process knows of it counts."""
        try:
            return await self._store.request(request_id)
        except DatabaseUnavailable:
            if (known := self._requests.get(request_id)) is None:
                raise
            return known

    async def _tell(self, request: PendingRequest, call: Callable[[], Awaitable[None]], attempt: int) -> bool:
        """Call the handler unless it was called for this request. True when that is over, one way or the other."""
        if self._requests.told(request.request_id):
            return True
        await self._progress.end(request.request_id)
        try:
            await call()
        except Exception:
            log.exception("request.handler_failed", request_id=request.request_id, attempt=attempt)
            if attempt < ATTEMPTS:
                return False
        self._requests.tell(request.request_id)
        return True

    async def _finish(self, request_id: str) -> None:
        await self._store.finish_request(request_id)
        self._requests.remove(request_id)


async def _settle(ending: Callable[[], Awaitable[None]], left: asyncio.Event) -> None:
    """Carry out a delivery's ending, however long the broker is away: while it is ours, nobody else can have it."""
    while not left.is_set():
        try:
            await ending()
        except BrokerError as exc:
            log.warning("status.not_settled", code=exc.code, detail=exc.detail)
            await asyncio.sleep(PAUSE.total_seconds())
        else:
            return
