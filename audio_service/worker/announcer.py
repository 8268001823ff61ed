"""Terminal statuses: one per request, published before anything is forgotten.

The order is fixed: publish to every request that waits, then settle (which remembers them as answered), and only then
may the caller ack. A crash in between publishes again; it never loses an answer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from audio_service.services import Answering
from audio_service.worker.pipeline import Job, Outcome, Pipeline, TerminalStatus
from common.observability.telemetry import correlation, outgoing_headers
from common.observability.tracing import span

ANSWERED_KEEP = timedelta(days=7)
"""How long a request is remembered as answered: as long as a broker may still redeliver it."""


class Announcer:
    """Publishes the statuses of one pipeline and settles them."""

    def __init__(self, services: Answering, pipeline: Pipeline[Any, Any]) -> None:
        self._services = services
        self._pipeline = pipeline
        self._topic = pipeline.status_topic(services.settings)

    async def announce(self, job: Job[Any], outcome: Outcome) -> None:
        """Publish every status, and those of requests that join meanwhile, then settle."""
        statuses = outcome.statuses
        while statuses:
            for status in statuses:
                await self.publish(status)
            answered = [status.request_id for status in statuses]
            if outcome.settle is None:
                await self._remember(answered)
                return
            statuses = await outcome.settle(answered)
        # Settled: a heartbeat must not revive the lease.
        job.fence = None

    async def refuse(self, status: TerminalStatus) -> None:
        """Answer a request that no record stands for."""
        await self.publish(status)
        await self._remember([status.request_id])

    async def publish(self, status: TerminalStatus) -> None:
        """Publish one status. Raises BrokerError."""
        with (
            correlation(status.request_id),
            span(f"publish {self._topic}", "producer", request_id=status.request_id, error_code=status.error_code),
        ):
            await self._services.broker.publish(self._topic, status.key, status.message.to_bytes(), outgoing_headers())
        outcome = "error" if status.error_code else "success"
        self._services.metrics.answers.labels(self._pipeline.name, outcome, status.error_code).inc()

    async def _remember(self, request_ids: list[str]) -> None:
        for request_id in request_ids:
            await self._services.repository.mark_answered(request_id, keep=ANSWERED_KEEP)
