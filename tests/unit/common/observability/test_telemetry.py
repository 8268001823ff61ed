from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Generator

import pytest

from common.observability.telemetry import (
    configure_logging,
    correlation,
    correlation_id,
    get_logger,
    outgoing_headers,
)

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def keep_pytests_handlers() -> Generator[None]:
    before = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = before


def test_the_correlation_id_is_on_every_line_and_message_inside_and_not_outside() -> None:
    output = io.StringIO()
    configure_logging("info", "json", output)
    with correlation("r-1"):
        get_logger("x").info("song.found", title="ñandú")
        logging.getLogger("library").warning("old style %s", "text")
        assert outgoing_headers()["correlation_id"] == "r-1"
    get_logger("x").info("after")
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line.get("correlation_id") for line in lines] == ["r-1", "r-1", None]
    assert lines[0]["event"] == "song.found"
    assert lines[0]["title"] == "ñandú"
    assert lines[1]["event"] == "old style text"


def test_lines_below_the_level_are_dropped() -> None:
    output = io.StringIO()
    configure_logging("warning", "json", output)
    get_logger("x").info("quiet")
    assert not output.getvalue()


def test_a_trace_goes_on_through_a_message() -> None:
    with correlation("r-1", {"traceparent": PARENT}):
        assert outgoing_headers()["traceparent"] == PARENT
        with correlation("r-2"):
            assert outgoing_headers()["traceparent"] == PARENT
    assert outgoing_headers()["traceparent"] != PARENT


@pytest.mark.parametrize("bad", ["", "junk", "00-" + "0" * 32 + "-b7ad6b7169203331-01", PARENT + "-extra"])
def test_a_bad_trace_header_starts_a_new_trace(bad: str) -> None:
    with correlation("r-1", {"traceparent": bad}):
        sent = outgoing_headers()["traceparent"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", sent)
    assert not sent.startswith(PARENT[:35])


def test_correlations_nest() -> None:
    with correlation("outer"):
        with correlation("inner"):
            assert correlation_id() == "inner"
        assert correlation_id() == "outer"
    assert not correlation_id()


def test_the_sdk_of_aws_writes_no_bodies_at_debug() -> None:
    configure_logging("debug", "json", io.StringIO())
    for name in ("botocore.endpoint", "aiobotocore.credentials"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO), name
    assert logging.getLogger("audio_service").isEnabledFor(logging.DEBUG)
