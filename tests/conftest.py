"""What holds for every test."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator

import pytest_asyncio

from tests.servers.kafka import Kafka, open_shared_kafka
from tests.servers.mongo import Mongo, open_shared_mongo

pytest_plugins = ("tests.reporting",)


def pytest_configure() -> None:
    """Undo an ignored SIGINT, with which background runs start and which the programs under test would inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongo() -> AsyncGenerator[Mongo]:
    """MongoDB: the server that MONGO_HOST names, or one member of our own. Tests take databases of their own in it."""
    async with open_shared_mongo() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka() -> AsyncGenerator[Kafka]:
    """Apache Kafka: the broker that KAFKA_BROKERS names, or our own. Tests take topics of their own in it."""
    async with open_shared_kafka() as running:
        yield running
