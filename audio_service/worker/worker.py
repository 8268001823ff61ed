"""Consumes the topics of the pipelines that this process serves, NUM_WORKERS jobs at a time over all of them.

Knows no pipeline: what one does with a request is in `pipelines/`, what becomes of its delivery in `deliveries`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from audio_service.services import Services
from audio_service.worker.deliveries import BACKEND_PAUSE, DeliveryHandler
from audio_service.worker.pipeline import Pipeline
from common.broker.base import Delivery
from common.broker.reading import until
from common.errors import BrokerError
from common.observability.telemetry import get_logger
from common.tasks import pause, time_limit

log = get_logger(__name__)

_SLOT_PATIENCE = timedelta(seconds=2)
"""How long a delivery waits for a slot before another process may have it."""


class Worker:
    """Runs jobs. Every pipeline has a subscription; they share NUM_WORKERS slots."""

    def __init__(self, services: Services, pipelines: Sequence[Pipeline[Any, Any]]) -> None:
        self._services = services
        self._pipelines = pipelines
        self._slots = asyncio.Semaphore(services.settings.num_workers)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish the jobs in hand. While the broker is away, subscribing is retried."""
        async with asyncio.TaskGroup() as subscriptions:
            for pipeline in self._pipelines:
                subscriptions.create_task(self._serve(pipeline, stop))

    async def _serve(self, pipeline: Pipeline[Any, Any], stop: asyncio.Event) -> None:
        handler = DeliveryHandler(self._services, pipeline)
        while not stop.is_set():
            try:
                await self._consume(pipeline, handler, stop)
            except* BrokerError as failures:
                log.warning("worker.broker_away", errors=[repr(leaf) for leaf in failures.exceptions])
                await pause(stop, BACKEND_PAUSE)

    async def _consume(self, pipeline: Pipeline[Any, Any], handler: DeliveryHandler, stop: asyncio.Event) -> None:
        settings = self._services.settings
        topic = pipeline.request_topic(settings)
        # Bots of other programs look for the topics of answers once, at their start.
        for answers in pipeline.answer_topics(settings):
            await self._services.broker.ensure_topic(answers)
        async with (
            self._services.broker.consume(topic, pipeline.group, prefetch=settings.num_workers) as deliveries,
            asyncio.TaskGroup() as jobs,
            aclosing(until(stop, deliveries)) as upcoming,
        ):
            async for delivery in upcoming:
                if await self._slot_free():
                    jobs.create_task(self._run_in_slot(handler, delivery))
                else:
                    await handler.hand_back(delivery, "no_slot", timedelta(0))

    async def _slot_free(self) -> bool:
        try:
            async with time_limit(_SLOT_PATIENCE.total_seconds()):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _run_in_slot(self, handler: DeliveryHandler, delivery: Delivery) -> None:
        try:
            await handler.handle(delivery)
        finally:
            self._slots.release()
