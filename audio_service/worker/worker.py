"""Delivery → pipeline → terminal status → ack, and the one retry policy.

What a request may count on: its status is published before its delivery is acked, whatever fails in between; a copy
of a delivery is handed back while the first is worked on, and acked once that is answered. A failure of our own
database or broker is nobody's failed attempt: the delivery comes again, uncounted, until they are back. What no worker
could finish in its attempts, and what nobody can read, is answered with an error and moved to the dead letters.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta

from audio_service.pipelines.base import HandBack, Job, Outcome
from audio_service.pipelines.download import download
from audio_service.services import Services
from audio_service.sources.query import rejected_key
from audio_service.worker.answers import Answers
from audio_service.worker.progress import ProgressFeed
from audio_service.worker.retry import RetryPolicy
from common.broker.base import Delivery
from common.broker.reading import pause, until
from common.errors import (
    AppError,
    BrokerError,
    DatabaseUnavailable,
    InternalError,
    InvalidMessage,
    LeaseLost,
    ProcessingCrashed,
)
from common.messages.base import CORRELATION_ID, parse
from common.messages.downloads import DownloadRequest, salvage_request
from common.observability.telemetry import correlation, get_logger
from common.observability.tracing import span
from common.tasks import running_alongside

log = get_logger(__name__)

Ending = Callable[[], Awaitable[None]]
"""One of a delivery's endings, which is still to be called."""

GROUP = "audio-workers"
_BACKEND_PAUSE = timedelta(seconds=2)


class Worker:
    """Consumes download requests, NUM_WORKERS at a time."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._services = services
        self._repository = services.repository
        self._metrics = services.metrics
        self._answers = Answers(services)
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._retry = RetryPolicy(
            max_attempts=settings.service_max_attempts,
            budget_seconds=settings.service_timeout * 60,
            base_seconds=settings.retry_base_seconds,
            max_seconds=settings.retry_max_seconds,
        )
        self._began = _FirstSeen(keep_seconds=self._retry.budget_seconds * 2)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish what is in hand. A broker that is away is waited for."""
        while not stop.is_set():
            try:
                await self._consume(stop)
            except* BrokerError as failures:
                log.warning("worker.broker_away", errors=[repr(leaf) for leaf in failures.exceptions])
                await pause(stop, _BACKEND_PAUSE)

    async def _consume(self, stop: asyncio.Event) -> None:
        topic = self._services.settings.kafka_bot_download_requests
        workers = self._services.settings.num_workers
        async with (
            self._services.broker.consume(topic, GROUP, prefetch=workers) as deliveries,
            asyncio.TaskGroup() as jobs,
            aclosing(until(stop, deliveries)) as upcoming,
        ):
            async for delivery in upcoming:
                jobs.create_task(self._handle(delivery))

    async def _handle(self, delivery: Delivery) -> None:
        """Bring one delivery to one of its endings; never raises, but for cancellation."""
        headers = delivery.message.headers
        with (
            correlation(headers.get(CORRELATION_ID, ""), headers),
            span(f"process {delivery.message.topic}", "consumer", attempt=delivery.attempt),
            self._metrics.in_progress.track_inprogress(),
        ):
            try:
                await self._answer(delivery)
            except HandBack as signal:
                await self._hand_back(delivery, signal.reason, signal.wait)
            except LeaseLost:
                self._metrics.leases_lost.inc()
                await self._hand_back(delivery, "lease_lost", self._lease)
            except (DatabaseUnavailable, BrokerError) as exc:
                log.warning("worker.backend_away", code=exc.code, detail=exc.detail)
                await self._hand_back(delivery, exc.code, _BACKEND_PAUSE)
            except Exception:
                # A defect must not spin: after its attempts it is somebody's dead letter to look at.
                log.exception("worker.defect")
                await self._bury(delivery, InternalError("see the log"))

    async def _answer(self, delivery: Delivery) -> None:
        try:
            request = parse(DownloadRequest, delivery.message.value)
        except InvalidMessage as exc:
            await self._bury(delivery, exc)
            return
        with correlation(request.request_id):
            if await self._repository.is_answered(request.request_id):
                await delivery.ack()
                return
            await self._work(Job(request, owner=f"{self._services.owner}/{uuid.uuid4()}"), delivery)

    async def _work(self, job: Job, delivery: Delivery) -> None:
        """Keep copies of this delivery away, and its leases alive, while an attempt is made."""
        lease_name = f"request:{job.request.request_id}"
        held = await self._repository.acquire(lease_name, job.owner, self._lease)
        if held is not None:
            raise HandBack("request_in_progress", held)
        try:
            # Between the first look and the lease, a copy of this delivery may have been answered.
            if await self._repository.is_answered(job.request.request_id):
                ending = delivery.ack
            else:
                async with running_alongside(self._keep_leases(job, lease_name)):
                    ending = await self._attempt(job, delivery)
            # Nothing that may fail comes after it: a failure hands the delivery back, which an ended one cannot be.
            await ending()
        finally:
            await self._surrender(lease_name, job.owner)

    async def _attempt(self, job: Job, delivery: Delivery) -> Ending:
        """Run the pipeline and publish its outcome; return how the delivery is to end."""
        elapsed = self._began.elapsed_seconds(job.request.request_id)
        job.deadline_seconds = max(1.0, self._retry.budget_seconds - elapsed)
        try:
            outcome = await self._run_pipeline(job, delivery.attempt)
            await (self._answers.joined(job) if outcome is None else self._answers.publish(job, outcome))
        except asyncio.CancelledError:
            await self._yield_claim(job)
            raise
        except (HandBack, LeaseLost, DatabaseUnavailable, BrokerError):
            await self._yield_claim(job)
            raise
        except Exception as exc:
            error = exc if isinstance(exc, AppError) else InternalError(repr(exc))
            delay = self._retry.next_delay(error, delivery.attempt, elapsed)
            log.warning(
                "download.failed",
                code=error.code,
                detail=error.detail,
                attempt=delivery.attempt,
                final=delay is None,
                exc_info=not isinstance(exc, AppError),
            )
            if delay is not None:
                self._metrics.retries.labels(error.code).inc()
                await self._yield_claim(job)
                return lambda: delivery.retry(delay)
            if job.fence is None:
                waits_for = await self._repository.waits_for(job.request.request_id)
                job.media_id = waits_for or job.media_id or rejected_key(job.request.song)
            await self._answers.fail(job, error)
            self._began.forget(job.request.request_id)
            return lambda: self._end_failed(delivery, error)
        self._began.forget(job.request.request_id)
        return delivery.ack

    async def _end_failed(self, delivery: Delivery, error: AppError) -> None:
        """Bury what might go well once its cause is gone (`butakero dlq replay`); forget what never will.

        Its sender was answered before: dying in between loses the dead letter, not the answer.
        """
        if not error.retryable:
            await delivery.ack()
            return
        await delivery.reject(error.code, error.detail)
        self._metrics.dead_letters.labels(error.code).inc()

    async def _run_pipeline(self, job: Job, attempt: int) -> Outcome | None:
        if attempt > self._retry.max_attempts:
            raise ProcessingCrashed(f"{attempt - 1} attempts ended with the death of their worker")
        topic = self._services.settings.kafka_bot_download_progress
        feed = ProgressFeed(self._services.broker, topic, job.request.request_id, self._metrics)
        async with running_alongside(feed.run()):
            return await download(job, self._services, feed)

    async def _keep_leases(self, job: Job, lease_name: str) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                if await self._repository.acquire(lease_name, job.owner, self._lease) is not None:
                    raise LeaseLost(lease_name)
                if job.fence is not None:
                    await self._repository.renew(job.media_id, job.fence, self._lease)
            except DatabaseUnavailable as exc:
                # The lease may yet be renewed in time; if not, the next renewal says LeaseLost.
                log.warning("worker.heartbeat_missed", detail=exc.detail)

    async def _surrender(self, lease_name: str, owner: str) -> None:
        try:
            await self._repository.surrender(lease_name, owner)
        except DatabaseUnavailable as exc:
            log.warning("worker.lease_left", lease=lease_name, detail=exc.detail)  # it ends by itself

    async def _yield_claim(self, job: Job) -> None:
        if job.fence is not None:
            await self._repository.yield_claim(job.media_id, job.fence)

    async def _hand_back(self, delivery: Delivery, reason: str, wait: timedelta) -> None:
        """Release a delivery, however long the broker is away: while it is ours, nobody else can have it."""
        self._metrics.handed_back.labels(reason).inc()
        while True:
            try:
                await delivery.release(wait)
            except BrokerError as exc:
                log.warning("worker.release_failed", code=exc.code)
                await asyncio.sleep(_BACKEND_PAUSE.total_seconds())
            else:
                return

    async def _bury(self, delivery: Delivery, error: AppError) -> None:
        """Answer an unworkable message as far as its sender can be told, and move it to the dead letters."""
        try:
            request_id, user_id = salvage_request(delivery.message.value, delivery.message.headers)
            if request_id and not await self._repository.is_answered(request_id):
                await self._answers.refuse(request_id, user_id, error)
            await delivery.reject(error.code, error.detail)
            self._metrics.dead_letters.labels(error.code).inc()
        except (DatabaseUnavailable, BrokerError) as exc:
            await self._hand_back(delivery, exc.code, _BACKEND_PAUSE)


class _FirstSeen:
    """When this process first began each request, for SERVICE_TIMEOUT; entries that nobody forgot expire."""

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
