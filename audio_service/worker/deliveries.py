"""One delivery's way: parse, lease, attempt, terminal status, ending. The one retry policy is applied here.

What a request may count on: its status is published before its delivery is acked, whatever fails in between; a copy
of a delivery is handed back while the first is worked on, and acked once that is answered. A failure of our own
database or broker is not a failed attempt: the delivery comes again, uncounted, until they are back. A request whose
attempts are exhausted, and a message that does not parse, is answered with an error and moved to the dead letters.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from audio_service.services import Services
from audio_service.worker.announcer import ANSWERED_KEEP, Announcer
from audio_service.worker.pipeline import HandBack, Interruption, Job, Outcome, Pipeline, Withdrawn
from audio_service.worker.retry import RetryPolicy
from common.broker.base import Delivery
from common.errors import (
    AppError,
    BrokerError,
    DatabaseUnavailable,
    InternalError,
    InvalidMessage,
    LeaseLost,
    ProcessingCrashed,
)
from common.leases import RENEWED_AT, grown_lease
from common.messages.base import CORRELATION_ID, parse, salvage
from common.observability.telemetry import correlation, get_logger
from common.observability.tracing import span
from common.tasks import running_alongside

log = get_logger(__name__)

Settlement = Callable[[], Awaitable[None]]
"""One of a delivery's endings, not called yet."""

BACKEND_PAUSE = timedelta(seconds=2)
"""How long the database or the broker is left alone after it did not answer."""

WATCH_SECONDS = 1.0
"""From its beginning until a running attempt first looks whether its request was withdrawn."""
_WATCH_GROWTH = 1.5
_LONGEST_WATCH_SECONDS = 15.0
_LONGEST_PAID_WATCH_SECONDS = 60.0
"""Songs are skipped soon or hardly ever, and each look is a read of the database, which may be paid for."""


class DeliveryHandler:
    """Brings the deliveries of one pipeline to their endings."""

    def __init__(self, services: Services, pipeline: Pipeline[Any, Any]) -> None:
        settings = services.settings
        self._services = services
        self._pipeline = pipeline
        self._records = pipeline.records(services)
        self._requests = services.repository
        self._metrics = services.metrics
        self._announcer = Announcer(services, pipeline)
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._paid = settings.database_backend == "dynamodb"
        self._retry = RetryPolicy(
            max_attempts=settings.service_max_attempts,
            budget_seconds=settings.service_timeout * 60,
            base_seconds=settings.retry_base_seconds,
            max_seconds=settings.retry_max_seconds,
        )
        self._began = _FirstSeen(keep_seconds=self._retry.budget_seconds * 2)

    def requester_of(self, delivery: Delivery) -> str:
        """Return the user that the delivery's job counts towards, "" for none."""
        try:
            return parse(self._pipeline.request, delivery.message.value).requester
        except InvalidMessage:
            return ""

    async def handle(self, delivery: Delivery, interruption: Interruption) -> None:
        """Bring one delivery to one of its endings; never raises, but for cancellation."""
        headers = delivery.message.headers
        with (
            correlation(headers.get(CORRELATION_ID, ""), headers),
            span(f"process {delivery.message.topic}", "consumer", attempt=delivery.attempt),
            self._metrics.in_progress.labels(self._pipeline.name).track_inprogress(),
        ):
            try:
                await self._answer(delivery, interruption)
            except HandBack as signal:
                await self.hand_back(delivery, signal.reason, signal.wait)
            except LeaseLost:
                self._metrics.leases_lost.labels(self._pipeline.name).inc()
                await self.hand_back(delivery, "lease_lost", self._lease)
            except (DatabaseUnavailable, BrokerError) as exc:
                log.warning("worker.backend_away", code=exc.code, detail=exc.detail)
                await self.hand_back(delivery, exc.code, BACKEND_PAUSE)
            except Exception:
                # A defect must not spin: after its attempts the message is a dead letter for an operator.
                log.exception("worker.defect")
                await self._dead_letter(delivery, InternalError("see the log"))

    async def hand_back(self, delivery: Delivery, reason: str, wait: timedelta) -> None:
        """Release a delivery, uncounted. Retried while the broker is away: until released, no worker can have it."""
        self._metrics.handed_back.labels(self._pipeline.name, reason).inc()
        while True:
            try:
                await delivery.release(wait)
            except BrokerError as exc:
                log.warning("worker.release_failed", code=exc.code)
                await asyncio.sleep(BACKEND_PAUSE.total_seconds())
            else:
                return

    async def _answer(self, delivery: Delivery, interruption: Interruption) -> None:
        try:
            request = parse(self._pipeline.request, delivery.message.value)
        except InvalidMessage as exc:
            await self._dead_letter(delivery, exc)
            return
        with correlation(request.request_id):
            if await self._requests.is_answered(request.request_id):
                await delivery.ack()
                return
            await self._work(Job(request, f"{self._services.owner}/{uuid.uuid4()}", interruption), delivery)

    async def _work(self, job: Job[Any], delivery: Delivery) -> None:
        """Keep copies of this delivery away, and its leases alive, while an attempt is made."""
        request_id = job.request.request_id
        lease_name = f"request:{request_id}"
        held = await self._requests.acquire(lease_name, job.owner, self._lease)
        if held is not None:
            raise HandBack("request_in_progress", held)
        try:
            # Between the first look and the lease, a copy of this delivery may have been answered.
            if await self._requests.is_answered(request_id):
                settlement = delivery.ack
            else:
                async with running_alongside(self._keep_leases(job, lease_name)):
                    settlement = await self._attempt(job, delivery)
            # Nothing that may fail comes after it: a failure hands the delivery back, which an ended one cannot be.
            await settlement()
        finally:
            await self._surrender(lease_name, job.owner)

    async def _attempt(self, job: Job[Any], delivery: Delivery) -> Settlement:
        """Run the pipeline and announce its outcome; return how the delivery is to end."""
        request_id = job.request.request_id
        elapsed = self._began.elapsed_seconds(request_id)
        job.deadline_seconds = max(1.0, self._retry.budget_seconds - elapsed)
        try:
            await self._announce(job, await self._run_pipeline(job, delivery.attempt))
        except asyncio.CancelledError:
            await self._yield_claim(job)
            raise
        except (HandBack, LeaseLost, DatabaseUnavailable, BrokerError):
            await self._yield_claim(job)
            raise
        except Withdrawn:
            log.info("job.withdrawn", pipeline=self._pipeline.name, record_id=job.record_id)
            await self._yield_claim(job)
        except Exception as exc:
            error = exc if isinstance(exc, AppError) else InternalError(repr(exc))
            delay = self._retry.next_delay(error, delivery.attempt, elapsed)
            log.warning(
                "job.failed",
                pipeline=self._pipeline.name,
                code=error.code,
                detail=error.detail,
                attempt=delivery.attempt,
                final=delay is None,
                exc_info=not isinstance(exc, AppError),
            )
            if delay is not None:
                self._metrics.retries.labels(self._pipeline.name, error.code).inc()
                await self._yield_claim(job)
                return lambda: delivery.retry(delay)
            await self._announce(job, await self._pipeline.fail(job, self._services, error))
            self._began.forget(request_id)
            return lambda: self._end_failed(delivery, error)
        self._began.forget(request_id)
        return delivery.ack

    async def _run_pipeline(self, job: Job[Any], attempt: int) -> Outcome | None:
        if attempt > self._retry.max_attempts:
            raise ProcessingCrashed(f"{attempt - 1} attempts ended with the death of their worker")
        feed = self._pipeline.progress(job, self._services)
        async with (
            running_alongside(feed.run()),
            running_alongside(job.interruption.run()),
            running_alongside(self._watch_withdrawal(job.request.request_id)),
        ):
            return await self._pipeline.run(job, self._services, feed)

    async def _watch_withdrawal(self, request_id: str) -> None:
        """Beside the pipeline: raise Withdrawn once the request is marked as answered and waits for nothing."""
        pause, longest = WATCH_SECONDS, _LONGEST_PAID_WATCH_SECONDS if self._paid else _LONGEST_WATCH_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * _WATCH_GROWTH, longest)
            try:
                if await self._requests.is_answered(request_id):
                    # It may have been withdrawn just before it claimed the record, which others may have joined since.
                    await self._requests.withdraw(request_id, keep=ANSWERED_KEEP)
                    if await self._requests.waits_for(request_id) is None:
                        raise Withdrawn
            except DatabaseUnavailable as exc:
                log.warning("worker.withdrawal_not_seen", detail=exc.detail)

    async def _announce(self, job: Job[Any], outcome: Outcome | None) -> None:
        if outcome is not None:
            await self._announcer.announce(job, outcome)

    async def _end_failed(self, delivery: Delivery, error: AppError) -> None:
        """Archive what may succeed once its cause is gone (`butakero dlq replay`); ack what never will.

        The request was answered before: a crash in between loses the dead letter, not the answer.
        """
        if not error.retryable:
            await delivery.ack()
            return
        await self._reject(delivery, error)

    async def _dead_letter(self, delivery: Delivery, error: AppError) -> None:
        """Answer an unworkable message if its request id can be read, and move it to the dead letters."""
        message = delivery.message
        try:
            salvaged = salvage(self._pipeline.request, message.value, message.headers)
            if salvaged.request_id and not await self._requests.is_answered(salvaged.request_id):
                await self._announcer.refuse(self._pipeline.refusal(salvaged, self._services, error))
            await self._reject(delivery, error)
        except (DatabaseUnavailable, BrokerError) as exc:
            await self.hand_back(delivery, exc.code, BACKEND_PAUSE)

    async def _reject(self, delivery: Delivery, error: AppError) -> None:
        await delivery.reject(error.code, error.detail)
        self._metrics.dead_letters.labels(self._pipeline.name, error.code).inc()

    async def _keep_leases(self, job: Job[Any], lease_name: str) -> None:
        began, lease = time.monotonic(), self._lease
        while True:
            await asyncio.sleep(lease.total_seconds() * RENEWED_AT)
            if self._paid:
                lease = timedelta(seconds=grown_lease(self._lease.total_seconds(), time.monotonic() - began))
            try:
                if await self._requests.acquire(lease_name, job.owner, lease) is not None:
                    raise LeaseLost(lease_name)
                if job.fence is not None:
                    await self._records.renew(job.record_id, job.fence, lease)
            except DatabaseUnavailable as exc:
                # The lease may yet be renewed in time; if not, the next renewal raises LeaseLost.
                log.warning("worker.heartbeat_missed", detail=exc.detail)

    async def _surrender(self, lease_name: str, owner: str) -> None:
        try:
            await self._requests.surrender(lease_name, owner)
        except DatabaseUnavailable as exc:
            log.warning("worker.lease_left", lease=lease_name, detail=exc.detail)  # it expires

    async def _yield_claim(self, job: Job[Any]) -> None:
        if job.fence is not None:
            await self._records.yield_claim(job.record_id, job.fence)


class _FirstSeen:
    """When this process first began each request, for SERVICE_TIMEOUT; forgotten entries expire."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep = keep_seconds
        self._began: dict[str, float] = {}

    def elapsed_seconds(self, request_id: str) -> float:
        now = time.monotonic()
        while self._began and now - next(iter(self._began.values())) > self._keep:
            self._began.pop(next(iter(self._began)))
        return now - self._began.setdefault(request_id, now)

    def forget(self, request_id: str) -> None:
        self._began.pop(request_id, None)
