"""Runs one request to its end in this process, without a queue: what a worker's delivery would go through, it does.

A queue would keep the request when its worker dies; here the process has to be started again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from audio_service.services import Services
from audio_service.worker.deliveries import DeliveryHandler
from audio_service.worker.pipeline import Interruption, Pipeline
from common.broker.base import Message, Settlement
from common.broker.settlement import SettledOnce
from common.messages.base import CORRELATION_ID, SCHEMA_VERSION, JobRequest


class _HeldDelivery(SettledOnce):
    """A delivery that waits in this process for its next attempt."""

    wait = timedelta(0)

    @property
    def settlement(self) -> Settlement | None:
        """How it was settled; None while it is not."""
        return self._settlement

    async def ack(self) -> None:
        """See Delivery.ack."""
        self.begin_settlement("ack")

    async def retry(self, delay: timedelta) -> None:
        """See Delivery.retry."""
        self.begin_settlement("retry")
        self.wait = delay

    async def release(self, delay: timedelta = timedelta(0)) -> None:
        """See Delivery.release."""
        self.begin_settlement("release")
        self.wait = delay

    async def reject(self, error_code: str, error_message: str) -> None:  # noqa: ARG002 - of the port
        """See Delivery.reject. It is kept nowhere: its status was published, and what it was made of is still there."""
        self.begin_settlement("reject")


async def run_single(services: Services, pipeline: Pipeline[Any, Any], request: JobRequest) -> None:
    """Return once the request has its terminal status, published and settled, also if it had it before."""
    handler = DeliveryHandler(services, pipeline)
    headers = {CORRELATION_ID: request.request_id, "schema_version": SCHEMA_VERSION}
    message = Message(pipeline.request_topic(services.settings), "", request.to_bytes(), headers)
    attempt = 1
    while True:
        delivery = _HeldDelivery(message, attempt)
        await handler.handle(delivery, Interruption())
        if delivery.settlement in {"ack", "reject"}:
            return
        if delivery.settlement == "retry":
            attempt += 1
        await asyncio.sleep(delivery.wait.total_seconds())
