"""The rate limit on the library's log."""

from __future__ import annotations

import logging
from collections.abc import Generator

import pytest

from common.broker.kafka.library import LogRateLimit


@pytest.fixture
def logger() -> Generator[logging.Logger]:
    logger = logging.getLogger("test.rate_limited")
    yield logger
    for rate_limit in list(logger.filters):
        logger.removeFilter(rate_limit)


def test_a_kind_of_message_is_let_through_once_in_a_while(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.addFilter(LogRateLimit(every_seconds=3600))
    for number in range(100):
        logger.error("node %s is away", number)
    logger.error("something else")
    assert caplog.messages == ["node 0 is away", "something else"]


def test_what_was_held_back_is_counted(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    rate_limit = LogRateLimit(every_seconds=3600)
    logger.addFilter(rate_limit)
    for _ in range(4):
        logger.error("node %s is away", 1)
    rate_limit.every_seconds = 0.0
    logger.error("node %s is away", 2)
    assert caplog.messages == ["node 1 is away", "node 2 is away (3 more like it)"]
