"""Open download requests: stored before they are published, followed until they are completed, across restarts.

Statuses are consumed under a group of this instance, so that those published while it restarts still arrive; progress
is best effort, and the progress of closed requests is dropped. A request is completed once: by its status, or after
REQUEST_TIMEOUT_SECONDS. The handler tells people about it, not this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Literal

from bot_service.player.snapshot import Snapshot
from bot_service.requests.completion import RETRY_DELAY, RequestCompletion, RequestHandler
from bot_service.requests.open_requests import OpenRequests
from bot_service.requests.progress import ProgressFollower
from bot_service.requests.withdrawal import Cancel, Withdrawals
from bot_service.settings import BotSettings
from bot_service.store.base import GuildStore, PendingRequest
from common.broker.base import Broker
from common.broker.reading import until
from common.errors import BrokerError, BrokerUnavailable, DatabaseUnavailable
from common.messages.base import GUILD_ID, utc_now
from common.messages.downloads import DownloadRequest, message_key
from common.observability.telemetry import correlation, get_logger, outgoing_headers
from common.observability.tracing import span
from common.tasks import pause, running_alongside, time_limit

log = get_logger(__name__)

_STATUS_PREFETCH = 32
_PROGRESS_PREFETCH = 64
_SUBSCRIBE_SECONDS = 10.0
_LONGEST_SLEEP_SECONDS = 60.0
_BACKLOG_GRACE = timedelta(seconds=30)


class Pending:
    """Opens requests, and passes their progress and completion to a handler."""

    def __init__(self, store: GuildStore, broker: Broker, settings: BotSettings, cancel: Cancel) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings
        self._group = f"bot-{settings.instance_id}"
        self._requests = OpenRequests(timedelta(seconds=settings.request_timeout_seconds))
        self._subscribed = asyncio.Event()
        self._withdrawals = Withdrawals(self._requests, cancel)

    def queue_changed(self, snapshot: Snapshot) -> None:
        """Note a guild's queue: requests whose songs are no longer in it are withdrawn."""
        self._withdrawals.queue_changed(snapshot)

    @property
    def group(self) -> str:
        """The consumer group of statuses: one per instance."""
        return self._group

    async def open(self, request: PendingRequest) -> None:
        """Store a request, then publish it; a request that could not be published is removed from the store.

        Its completion may come before this returns: the caller prepares for that first.

        Raises:
            BrokerError: the broker refused the request; the code says why.
            DatabaseUnavailable: it could not be stored, and was not published.
        """
        for refusal in (await self.open_all([request])).values():
            raise refusal

    async def open_all(self, requests: Sequence[PendingRequest]) -> Mapping[str, BrokerError]:
        """Open many requests. Returns the refused ones: request id → the broker's error.

        Raises:
            DatabaseUnavailable: none was published.
        """
        refused: dict[str, BrokerError] = {}
        if (not_subscribed := await self._wait_subscribed()) is not None:
            return {request.request_id: not_subscribed for request in requests}
        await self._store.add_requests(requests)
        self._requests.add(requests)
        refusal: BrokerError | None = None
        for request in requests:
            # An error of one message (too large) says nothing about the next; an unavailable or full broker does.
            if refusal is None or not refusal.retryable:
                refusal = await self._publish(request)
            if refusal is not None:
                refused[request.request_id] = refusal
                await self._withdraw(request.request_id)
        return refused

    async def run(self, stop: asyncio.Event, handler: RequestHandler) -> None:
        """Follow all open requests until `stop`; handler calls under way are finished then.

        Retries while the broker or the store is unavailable.
        """
        known = await self._load(stop)
        async with asyncio.TaskGroup() as tasks:
            progress = ProgressFollower(self._requests, handler.progress, handler.playable, tasks)
            completion = RequestCompletion(self._store, self._requests, handler, progress)
            start: Literal["earliest", "latest"] = "earliest" if known else "latest"
            tasks.create_task(self._consume_statuses(stop, completion, tasks, start=start))
            tasks.create_task(self._republish(stop, known))
            tasks.create_task(self._consume_progress(stop, progress))
            tasks.create_task(self._watch_deadlines(stop, completion, tasks))
            tasks.create_task(self._withdrawals.run(stop, completion))
            await stop.wait()
            self._withdrawals.changed.set()

    async def _wait_subscribed(self) -> BrokerUnavailable | None:
        """Wait up to 10 s for the first status subscription: a status published before it would be missed."""
        try:
            async with time_limit(_SUBSCRIBE_SECONDS):
                await self._subscribed.wait()
        except TimeoutError:
            return BrokerUnavailable("the status topic could not be joined yet")
        return None

    async def _publish(self, request: PendingRequest) -> BrokerError | None:
        topic, message = self._settings.topic_download_requests, download_request(request)
        try:
            with correlation(request.request_id), span(f"publish {topic}", "producer", request_id=request.request_id):
                headers = {**outgoing_headers(), GUILD_ID: str(request.guild_id)}
                await self._broker.publish(topic, message_key(message.song), message.to_bytes(), headers)
        except BrokerError as exc:
            log.warning("request.refused", request_id=request.request_id, code=exc.code, detail=exc.detail)
            return exc
        return None

    async def _withdraw(self, request_id: str) -> None:
        self._requests.remove(request_id)
        try:
            await self._store.finish_request(request_id)
        except DatabaseUnavailable as exc:
            log.warning("request.not_withdrawn", request_id=request_id, detail=exc.detail)

    async def _load(self, stop: asyncio.Event) -> list[PendingRequest]:
        """Return the requests that the last process left open."""
        while not stop.is_set():
            try:
                known = await self._store.open_requests()
            except DatabaseUnavailable as exc:
                log.warning("requests.store_away", detail=exc.detail)
                await pause(stop, RETRY_DELAY)
            else:
                self._requests.add(known)
                return known
        return []

    async def _consume_statuses(
        self,
        stop: asyncio.Event,
        completion: RequestCompletion,
        tasks: asyncio.TaskGroup,
        *,
        start: Literal["earliest", "latest"],
    ) -> None:
        """Consume statuses. `start` applies to a new group only: an instance's first start, or a changed or expired
        name. Requests that were open before then may have been answered before it.
        """
        topic = self._settings.topic_download_status
        while not stop.is_set():
            unsubscribed = asyncio.Event()
            try:
                async with self._broker.consume(
                    topic, self._group, prefetch=_STATUS_PREFETCH, start=start
                ) as deliveries:
                    self._subscribed.set()
                    async with aclosing(until(stop, deliveries)) as upcoming:
                        async for delivery in upcoming:
                            tasks.create_task(completion.handle(delivery, unsubscribed))
                    # Deliveries are settled through the subscription, so it stays open until they are.
                    await completion.wait_idle()
            except BrokerError as exc:
                log.warning("statuses.broker_away", detail=exc.detail)
                await pause(stop, RETRY_DELAY)
            finally:
                unsubscribed.set()

    async def _republish(self, stop: asyncio.Event, known: list[PendingRequest]) -> None:
        """Publish the requests of the last process again: it may have died between storing and publishing.

        Idempotent: workers drop a request that is being processed, or was answered, by its id.
        """
        for request in known:
            while not stop.is_set() and self._requests.get(request.request_id) is not None:
                refusal = await self._publish(request)
                if refusal is None or not refusal.retryable:
                    break
                await pause(stop, RETRY_DELAY)

    async def _consume_progress(self, stop: asyncio.Event, progress: ProgressFollower) -> None:
        """Consume progress under the same group in each life, so that a bot that is killed leaves no group behind."""
        topic, group = self._settings.topic_download_progress, f"{self._group}.progress"
        try:
            while not stop.is_set():
                try:
                    async with (
                        self._broker.consume(topic, group, prefetch=_PROGRESS_PREFETCH, start="latest") as deliveries,
                        aclosing(until(stop, deliveries)) as upcoming,
                    ):
                        async for delivery in upcoming:
                            await delivery.ack()
                            progress.receive(delivery.message.value)
                except BrokerError as exc:
                    log.info("progress.broker_away", detail=exc.detail)
                    await pause(stop, RETRY_DELAY)
        finally:
            # Without retained messages the group is a queue of its own, which the next start takes again: SQS refuses
            # the name of a deleted queue for 60 s.
            if self._broker.guarantees(topic).retained:
                with suppress(BrokerError):  # the broker then expires the group by age
                    await self._broker.forget(topic, group)

    async def _watch_deadlines(
        self, stop: asyncio.Event, completion: RequestCompletion, tasks: asyncio.TaskGroup
    ) -> None:
        """Time out overdue requests, with one timer for all."""
        began = utc_now()
        async with running_alongside(_set_after(stop, self._requests.changed)):
            while not stop.is_set():
                await self._wait_deadline()
                overdue = [] if stop.is_set() else self._requests.overdue(utc_now())
                if overdue and await self._has_backlog(max(began, self._requests.deadline(overdue[0]))):
                    await pause(stop, RETRY_DELAY)
                    continue
                for request in overdue:
                    tasks.create_task(completion.time_out(request))
                if overdue:
                    await pause(stop, RETRY_DELAY)

    async def _wait_deadline(self) -> None:
        self._requests.changed.clear()
        deadline = self._requests.next_deadline()
        seconds = _LONGEST_SLEEP_SECONDS if deadline is None else (deadline - utc_now()).total_seconds()
        if seconds > 0:
            try:
                async with time_limit(min(seconds, _LONGEST_SLEEP_SECONDS)):
                    await self._requests.changed.wait()
            except TimeoutError:
                return

    async def _has_backlog(self, since: datetime) -> bool:
        """Return whether statuses may be unread, as after a restart. False from 30 s after `since` on."""
        if utc_now() - since > _BACKLOG_GRACE:
            return False
        try:
            topic = self._settings.topic_download_status
            return not self._subscribed.is_set() or await self._broker.lag(topic, self._group) > 0
        except BrokerError:
            return True


def download_request(request: PendingRequest) -> DownloadRequest:
    """Return the message of a stored request."""
    return DownloadRequest(
        request_id=request.request_id,
        user_id=str(request.user_id),
        song=request.song,
        provider_type="youtube",
        timestamp=request.asked_at,
        guild_id=str(request.guild_id),
    )


async def _set_after(first: asyncio.Event, then: asyncio.Event) -> None:
    await first.wait()
    then.set()
