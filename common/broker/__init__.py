"""The message broker: one port, and `open_broker` that chooses its adapter by settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from common.broker.base import Broker
from common.broker.embedded import open_embedded
from common.broker.embedded_retention import Limits
from common.broker.kafka import open_kafka
from common.settings import SharedSettings


@asynccontextmanager
async def open_broker(settings: SharedSettings) -> AsyncGenerator[Broker]:
    """Open the broker that MESSAGING_BACKEND names, and close it with the context.

    Raises:
        BrokerUnavailable: it cannot be reached or opened; the detail names the setting that leads to it.
    """
    if settings.messaging_backend == "kafka":
        async with open_kafka(settings) as broker:
            yield broker
        return
    limits = Limits(settings.embedded_broker_max_backlog, settings.embedded_broker_max_bytes)
    async with open_embedded(
        settings.embedded_broker_path, limits, lease_seconds=settings.broker_lease_seconds
    ) as broker:
        yield broker
