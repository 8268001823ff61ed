"""Requests that wait for their answer: stored before they are published, followed until they end, over restarts too.

Statuses are read under a group of this instance, so that what is published while it restarts still arrives; progress is
read from now on only. A request ends once: with its status, or when it has waited for REQUEST_TIMEOUT_SECONDS. This
module says nothing to anybody: that is the handler's part.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Literal

from bot_service.requests.open_requests import OpenRequests
from bot_service.requests.outcomes import PAUSE, Ends, Handler
from bot_service.requests.progress import ProgressFollower
from bot_service.settings import BotSettings
from bot_service.store.base import GuildStore, PendingRequest
from common.broker.base import Broker
from common.broker.reading import pause, until
from common.errors import BrokerError, BrokerUnavailable, DatabaseUnavailable
from common.messages.base import utc_now
from common.messages.downloads import DownloadRequest, message_key
from common.observability.telemetry import correlation, get_logger, outgoing_headers
from common.observability.tracing import span
from common.tasks import running_alongside

__all__ = ["Handler", "Pending", "download_request"]

log = get_logger(__name__)

_AT_ONCE = 32
_PROGRESS_AT_ONCE = 64
_JOIN_SECONDS = 10.0
_LONGEST_SLEEP_SECONDS = 60.0
_GRACE = timedelta(seconds=30)


class Pending:
    """Opens requests, and tells a handler how they go."""

    def __init__(self, store: GuildStore, broker: Broker, settings: BotSettings) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings
        self._group = f"bot-{settings.instance_id}"
        self._requests = OpenRequests(timedelta(seconds=settings.request_timeout_seconds))
        self._joined = asyncio.Event()

    @property
    def group(self) -> str:
        """The consumer group that reads statuses: this instance's own."""
        return self._group

    async def open(self, asked: PendingRequest, request: DownloadRequest) -> None:
        """Store a request, then publish it; a request that could not be published is stored no more.

        Its end may come before this returns: whoever shows it has prepared that before.

        Raises:
            BrokerError: the broker does not take it; the code says why.
            DatabaseUnavailable: it could not be stored, and was not published.
        """
        for refusal in (await self.open_all([(asked, request)])).values():
            raise refusal

    async def open_all(self, pairs: Sequence[tuple[PendingRequest, DownloadRequest]]) -> Mapping[str, BrokerError]:
        """Open many requests. Returns those that were refused: request id → why.

        Raises:
            DatabaseUnavailable: none was published.
        """
        refused: dict[str, BrokerError] = {}
        if (deaf := await self._cannot_hear()) is not None:
            return {asked.request_id: deaf for asked, _ in pairs}
        await self._store.add_requests([asked for asked, _ in pairs])
        self._requests.add(asked for asked, _ in pairs)
        refusal: BrokerError | None = None
        for asked, request in pairs:
            # What refuses one message (too large) says nothing of the next; a broker that is away or full does.
            if refusal is None or not refusal.retryable:
                refusal = await self._publish(asked, request)
            if refusal is not None:
                refused[asked.request_id] = refusal
                await self._withdraw(asked.request_id)
        return refused

    async def run(self, stop: asyncio.Event, handler: Handler) -> None:
        """Follow all open requests until `stop`; what is in the handler's hands is finished then.

        A broker or a store that is away is waited for.
        """
        known = await self._load(stop)
        async with asyncio.TaskGroup() as tasks:
            progress = ProgressFollower(self._requests, handler.progress, handler.playable, tasks)
            ends = Ends(self._store, self._requests, handler, progress)
            tasks.create_task(self._hear_statuses(stop, ends, tasks, start="earliest" if known else "latest"))
            tasks.create_task(self._publish_again(stop, known))
            tasks.create_task(self._hear_progress(stop, progress))
            tasks.create_task(self._watch_deadlines(stop, ends, tasks))

    async def _cannot_hear(self) -> BrokerUnavailable | None:
        """Wait a moment for the first subscription: an answer that comes before it would be missed."""
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                await self._joined.wait()
        except TimeoutError:
            return BrokerUnavailable("the status topic could not be joined yet")
        return None

    async def _publish(self, asked: PendingRequest, request: DownloadRequest) -> BrokerError | None:
        topic = self._settings.topic_download_requests
        try:
            with correlation(asked.request_id), span(f"publish {topic}", "producer", request_id=asked.request_id):
                await self._broker.publish(topic, message_key(request.song), request.to_bytes(), outgoing_headers())
        except BrokerError as exc:
            log.warning("request.refused", request_id=asked.request_id, code=exc.code, detail=exc.detail)
            return exc
        return None

    async def _withdraw(self, request_id: str) -> None:
        self._requests.remove(request_id)
        try:
            await self._store.finish_request(request_id)
        except DatabaseUnavailable as exc:
            log.warning("request.not_withdrawn", request_id=request_id, detail=exc.detail)

    async def _load(self, stop: asyncio.Event) -> list[PendingRequest]:
        """Return what was open when the last process ended."""
        while not stop.is_set():
            try:
                known = await self._store.open_requests()
            except DatabaseUnavailable as exc:
                log.warning("requests.store_away", detail=exc.detail)
                await pause(stop, PAUSE)
            else:
                self._requests.add(known)
                return known
        return []

    async def _hear_statuses(
        self, stop: asyncio.Event, ends: Ends, tasks: asyncio.TaskGroup, *, start: Literal["earliest", "latest"]
    ) -> None:
        """Read statuses. Only a group that nobody has seen begins at `start`: at the first start of an instance, or
        when its name changed or was forgotten. What was open before that may have been answered before.
        """
        topic = self._settings.topic_download_status
        while not stop.is_set():
            left = asyncio.Event()
            try:
                async with self._broker.consume(topic, self._group, prefetch=_AT_ONCE, start=start) as deliveries:
                    self._joined.set()
                    async with aclosing(until(stop, deliveries)) as upcoming:
                        async for delivery in upcoming:
                            tasks.create_task(ends.arrived(delivery, left))
                    # The subscription stays until what is in hand has its ending.
                    await ends.settled()
            except BrokerError as exc:
                log.warning("statuses.broker_away", detail=exc.detail)
                await pause(stop, PAUSE)
            finally:
                left.set()

    async def _publish_again(self, stop: asyncio.Event, known: list[PendingRequest]) -> None:
        """Publish what was open when the last process ended: it may have died between storing and publishing.

        A request that is being worked on, or was answered, is not worked on twice: workers know it by its id.
        """
        for asked in known:
            while not stop.is_set() and self._requests.get(asked.request_id) is not None:
                refusal = await self._publish(asked, download_request(asked))
                if refusal is None or not refusal.retryable:
                    break
                await pause(stop, PAUSE)

    async def _hear_progress(self, stop: asyncio.Event, progress: ProgressFollower) -> None:
        topic, group = self._settings.topic_download_progress, f"{self._group}.progress-{uuid.uuid4().hex[:8]}"
        try:
            while not stop.is_set():
                try:
                    async with (
                        self._broker.consume(topic, group, prefetch=_PROGRESS_AT_ONCE, start="latest") as deliveries,
                        aclosing(until(stop, deliveries)) as upcoming,
                    ):
                        async for delivery in upcoming:
                            await delivery.ack()
                            progress.hear(delivery.message.value)
                except BrokerError as exc:
                    log.info("progress.broker_away", detail=exc.detail)
                    await pause(stop, PAUSE)
        finally:
            with suppress(BrokerError):  # then it is forgotten for its age
                await self._broker.forget(topic, group)

    async def _watch_deadlines(self, stop: asyncio.Event, ends: Ends, tasks: asyncio.TaskGroup) -> None:
        """Time out what has waited too long: one timer for all."""
        began = utc_now()
        async with running_alongside(_set_after(stop, self._requests.changed)):
            while not stop.is_set():
                await self._until_deadline()
                overdue = [] if stop.is_set() else self._requests.overdue(utc_now())
                if overdue and await self._may_be_answered(max(began, self._requests.deadline(overdue[0]))):
                    await pause(stop, PAUSE)
                    continue
                for request in overdue:
                    tasks.create_task(ends.timed_out(request))
                if overdue:
                    await pause(stop, PAUSE)

    async def _until_deadline(self) -> None:
        self._requests.changed.clear()
        deadline = self._requests.next_deadline()
        seconds = _LONGEST_SLEEP_SECONDS if deadline is None else (deadline - utc_now()).total_seconds()
        if seconds > 0:
            try:
                async with asyncio.timeout(min(seconds, _LONGEST_SLEEP_SECONDS)):
                    await self._requests.changed.wait()
            except TimeoutError:
                return

    async def _may_be_answered(self, since: datetime) -> bool:
        """Whether answers may lie unread, as after a restart; for so long only, counted from `since`."""
        if utc_now() - since > _GRACE:
            return False
        try:
            topic = self._settings.topic_download_status
            return not self._joined.is_set() or await self._broker.lag(topic, self._group) > 0
        except BrokerError:
            return True


def download_request(asked: PendingRequest) -> DownloadRequest:
    """Return the message that asks for a stored request's song."""
    return DownloadRequest(
        request_id=asked.request_id,
        user_id=str(asked.user_id),
        song=asked.song,
        provider_type="youtube",
        timestamp=asked.asked_at,
        guild_id=str(asked.guild_id),
    )


async def _set_after(first: asyncio.Event, then: asyncio.Event) -> None:
    await first.wait()
    then.set()
