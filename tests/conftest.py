"""What holds for every test: shared servers, time limits, the random order, and the end of what tests start."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
import pytest_timeout  # pyright: ignore[reportMissingTypeStubs] - two calls, no py.typed
from playwright.async_api import Browser

from tests.servers import emulators
from tests.servers import kafka as kafka_server
from tests.servers.browser import open_browser
from tests.servers.emulators import Emulator, open_ministack, open_seaweedfs
from tests.servers.kafka import Kafka, open_shared_kafka
from tests.servers.missing import ProgramMissing
from tests.servers.mongo import Mongo, open_shared_mongo
from tests.servers.reaper import mark_this_process
from tests.waiting import patience, time_factor

pytest_plugins = ("tests.reporting", "tests.completeness", "tests.failed_fixtures", "tests.selection")

# Hypothesis' limit of 200 ms per example says something about the machine alone.
hypothesis.settings.register_profile("tests", deadline=None, print_blob=True)


def pytest_configure() -> None:
    """Undo an ignored SIGINT, with which background runs start and which the programs under test would inherit.

    Mark this process's environment, so that the reaper ends the workers of xdist and what they start.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mark_this_process()
    hypothesis.settings.load_profile("tests")


def pytest_report_header() -> str:
    """Say how limits are scaled when the run begins."""
    return f"time factor: {time_factor():.1f} (TEST_TIME_FACTOR sets it)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to repeat this order."""
    seed = config.getoption("randomly_seed", None)
    terminalreporter.write_line(f"order: seed {seed}; the same again: make test SEED={seed}")


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> object:  # noqa: ANN401 - pytest-timeout's own type
    """Scale the limit of a test by what the machine is like when it begins."""
    scaled = settings._replace(timeout=patience(settings.timeout))
    return pytest_timeout.pytest_timeout_set_timer(item, scaled) or True  # pyright: ignore[reportUnknownMemberType] - untyped


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the servers that a test will want, before the first test and outside of any test's time limit.

    A failure is raised again where a test starts the server.
    """
    if session.config.getoption("collectonly"):
        return
    fetches = {"kafka": kafka_server.fetch, "ministack": emulators.fetch, "seaweedfs": emulators.fetch}
    for name, fetch in fetches.items():
        if any(name in item.name or name in getattr(item, "fixturenames", ()) for item in session.items):
            with suppress(ProgramMissing, RuntimeError, TimeoutError):
                asyncio.run(fetch())  # pyright: ignore[reportUnknownArgumentType] - of two types


@pytest.fixture(autouse=True)
def level_of_logging() -> Generator[None]:
    """Undo a level that a test configured: at debug, captured records of libraries keep what they were about alive."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongo() -> AsyncGenerator[Mongo]:
    """MongoDB: the server that MONGO_HOST names, or one member started here. Tests use databases of their own."""
    async with open_shared_mongo() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka() -> AsyncGenerator[Kafka]:
    """Apache Kafka: the broker that KAFKA_BROKERS names, or one started here. Tests use topics of their own."""
    async with open_shared_kafka() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """Chromium. Its tests run in the session's loop, which it belongs to, and use contexts of their own."""
    async with open_browser() as running:
        yield running


@pytest.fixture(scope="session")
def aws_credentials() -> None:
    """Put the emulators' credentials where the SDK's own chain looks first."""
    os.environ.update(emulators.CREDENTIALS)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ministack(aws_credentials: None) -> AsyncGenerator[Emulator]:  # noqa: ARG001 - set before a client is made
    """SQS, SNS, DynamoDB and Secrets Manager. Tests use queues and tables of their own."""
    async with open_ministack() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seaweedfs(aws_credentials: None) -> AsyncGenerator[Emulator]:  # noqa: ARG001 - set before a client is made
    """S3. Tests use buckets of their own."""
    async with open_seaweedfs() as running:
        yield running
