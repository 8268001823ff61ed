"""Consumes the topics of the pipelines that this process serves, NUM_WORKERS jobs at a time over all of them.

While one user has all slots, it looks at the deliveries behind for those of other users, and hands the user's own back.

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
from audio_service.worker.slots import Slot, Slots
from common.broker.base import Delivery
from common.broker.reading import until
from common.errors import BrokerError
from common.observability.telemetry import get_logger
from common.tasks import pause

log = get_logger(__name__)

_SLOT_PATIENCE = timedelta(seconds=2)
"""How long a delivery waits for a slot before another process may have it."""
_LOOK = timedelta(milliseconds=50)
"""How long one of a user who has all slots waits for one, before the next is looked at."""
_FIRST_LOOKS = 40
_LATER_LOOK = timedelta(milliseconds=200)
"""The same after so many looks at requests of one user in a row: others ask seldom, and a look is not for free."""
_LOOK_AGAIN = timedelta(milliseconds=500)
"""How soon at the earliest it is looked at again."""


class Worker:
    """Runs jobs. Every pipeline has a subscription; they share NUM_WORKERS slots."""

    def __init__(self, services: Services, pipelines: Sequence[Pipeline[Any, Any]]) -> None:
        self._services = services
        self._pipelines = pipelines
        self._slots = Slots(services.settings.num_workers)
        self._looked_at = ""
        self._looks = 0

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
        # One more than there are slots: the one that is looked at while all are taken.
        prefetch = settings.num_workers + 1
        async with (
            self._services.broker.consume(topic, pipeline.group, prefetch=prefetch) as deliveries,
            asyncio.TaskGroup() as jobs,
            aclosing(until(stop, deliveries)) as upcoming,
        ):
            async for delivery in upcoming:
                await self._start(delivery, pipeline, handler, jobs)
                await self._slots.free_or_crowded()

    async def _start(
        self, delivery: Delivery, pipeline: Pipeline[Any, Any], handler: DeliveryHandler, jobs: asyncio.TaskGroup
    ) -> None:
        """Start the delivery's job as soon as there is a slot for it, or hand it back."""
        user = handler.requester_of(delivery)
        if user != self._looked_at:
            self._looked_at, self._looks = user, 0
        if self._slots.has_share(user):
            self._looks += 1
            look = _LOOK if self._looks <= _FIRST_LOOKS else _LATER_LOOK
            slot = await self._slots.take(user, look)
            if slot is None:
                # The whole backlog is looked at before the first of it comes again.
                backlog = await self._services.broker.lag(delivery.message.topic, pipeline.group)
                await handler.hand_back(delivery, "user_share", _LOOK_AGAIN + 1.2 * backlog * look)
                return
        else:
            self._slots.make_room(user)
            slot = await self._slots.take(user, _SLOT_PATIENCE)
            if slot is None:
                await handler.hand_back(delivery, "no_slot", timedelta(0))
                return
        jobs.create_task(self._run_in_slot(handler, delivery, slot))

    async def _run_in_slot(self, handler: DeliveryHandler, delivery: Delivery, slot: Slot) -> None:
        try:
            await handler.handle(delivery, slot.interruption)
        finally:
            self._slots.give_back(slot)
