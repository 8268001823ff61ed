"""The message broker: one port, and `open_broker` that chooses its adapter by settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from common.broker.base import Broker
from common.settings import SharedSettings, unsupported


@asynccontextmanager
async def open_broker(settings: SharedSettings) -> AsyncGenerator[Broker]:
    """Open the broker that MESSAGING_BACKEND names, and close it with the context.

    Only the chosen adapter is imported: the other's library costs memory and start-up time.

    Raises:
        BrokerUnavailable: it cannot be reached or opened; the detail names the setting that leads to it.
    """
    match settings.messaging_backend:
        case "kafka":
            from common.broker.kafka.broker import open_kafka  # noqa: PLC0415 - as the docstring says

            async with open_kafka(settings) as broker:
                yield broker
        case "embedded":
            from common.broker.embedded.broker import open_embedded  # noqa: PLC0415 - as the docstring says
            from common.broker.embedded.retention import BacklogLimits  # noqa: PLC0415 - as the docstring says

            limits = BacklogLimits(settings.embedded_broker_max_backlog, settings.embedded_broker_max_bytes)
            async with open_embedded(
                settings.embedded_broker_path, limits, lease_seconds=settings.broker_lease_seconds
            ) as broker:
                yield broker
        case "sqs":
            from common.broker.sqs.broker import open_sqs_broker  # noqa: PLC0415 - as the docstring says

            async with open_sqs_broker(settings) as broker:
                yield broker
        case _:  # pyright: ignore[reportUnnecessaryComparison] - a backend whose adapter is missing here
            raise unsupported("MESSAGING_BACKEND", settings.messaging_backend)
