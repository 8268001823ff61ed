from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from common.errors import StorageFull
from common.observability.telemetry import correlation, outgoing_headers
from common.observability.trace_context import traceparent
from common.observability.tracing import NO_TRACE, current_trace_context, span, tracing_or_exit
from common.settings import SharedSettings, load
from common.settings_errors import SettingsError
from tests.servers.collector import Collector, Span, open_collector
from tests.servers.ports import free_port
from tests.waiting import patience

pytestmark = pytest.mark.slow

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "user text"  # noqa: S105 - no password, but it must not be seen either
_NOT_IMPORTED = """
import sys
from common.settings import SharedSettings
from common.observability.tracing import span, tracing_or_exit
def use():
    with tracing_or_exit(SharedSettings(), "x"), span("y"):
        pass
import bot_service.__main__
use()
print([name for name in sys.modules if name.startswith("opentelemetry")])
import audio_service.__main__  # FastAPI imports the API
use()
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""
_NOT_INSTALLED = """
import sys
sys.modules["opentelemetry.sdk.trace"] = None
from common.settings import SharedSettings
from common.observability.tracing import tracing_or_exit
from tests.waiting import patience
with tracing_or_exit(SharedSettings(otel_exporter_otlp_endpoint="http://127.0.0.1:1"), "x"):
    print("on")
"""


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=patience(120)
    )


def settings(url: str) -> SharedSettings:
    return SharedSettings(otel_exporter_otlp_endpoint=url)


async def recorded(collector: Collector, count: int) -> dict[str, Span]:
    spans = await collector.until(lambda spans: len(spans) >= count)
    assert len(spans) == count
    return {span.name: span for span in spans}


def test_nothing_of_opentelemetry_is_imported_while_it_is_off() -> None:
    ran = python(_NOT_IMPORTED)
    assert (ran.returncode, ran.stdout.split()) == (0, ["[]", "[]"]), ran.stderr


def test_without_the_sdk_the_program_says_what_is_missing() -> None:
    ran = python(_NOT_INSTALLED)
    assert (ran.returncode, ran.stdout) == (78, "")
    assert ran.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: tracing needs the extra 'tracing'")


def test_off_a_span_leaves_the_trace_of_a_message_as_it_is() -> None:
    with tracing_or_exit(settings(""), "x"), correlation("r", {"traceparent": PARENT}), span("y"):
        assert outgoing_headers()["traceparent"] == PARENT
        assert current_trace_context() is NO_TRACE


async def test_spans_nest_and_messages_carry_the_innermost() -> None:
    async with open_collector() as collector:
        with tracing_or_exit(settings(collector.url), "music"):
            with correlation("r", {"traceparent": PARENT}), span("outer", "consumer"):
                outer = traceparent()
                with span("inner", "producer", request_id="r-1"):
                    sent = outgoing_headers()["traceparent"]
                assert traceparent() == outer
            spans = await recorded(collector, 2)
    assert spans["outer"].trace_id == spans["inner"].trace_id == PARENT.split("-")[1]
    assert spans["outer"].parent_id == PARENT.split("-")[2]
    assert spans["inner"].parent_id == spans["outer"].span_id
    assert sent.split("-")[2] == spans["inner"].span_id
    assert spans["inner"].attributes == {"request_id": "r-1"}
    assert {span.service for span in spans.values()} == {"music"}


async def test_a_task_and_a_later_record_belong_where_they_were_begun() -> None:
    async with open_collector() as collector:
        with tracing_or_exit(settings(collector.url), "music"):
            with span("command"):
                captured = current_trace_context()
                task = asyncio.ensure_future(_work())
            await task
            began = time.monotonic()
            captured.record_span("packet", began - 2, began)
            with captured.attached(), span("again"):
                pass
            with span("another"):
                pass
            spans = await recorded(collector, 5)
    command = spans["command"].span_id
    assert {spans[name].parent_id for name in ("work", "packet", "again")} == {command}
    assert spans["packet"].ended - spans["packet"].began == pytest.approx(2e9, rel=0.01)
    assert not spans["another"].parent_id
    assert spans["another"].trace_id != spans["command"].trace_id


async def _work() -> None:
    with span("work"):
        pass


async def test_a_failure_is_marked_and_its_words_stay_here() -> None:
    async with open_collector() as collector:
        with tracing_or_exit(settings(collector.url), "music"):
            with pytest.raises(StorageFull), span("failed"):
                raise StorageFull(SECRET)
            with pytest.raises(asyncio.CancelledError), span("cancelled"):
                raise asyncio.CancelledError(SECRET)
            spans = await recorded(collector, 2)
    assert spans["failed"].failed
    assert not spans["cancelled"].failed
    assert SECRET not in repr(spans)


def test_a_collector_that_is_away_costs_the_spans_and_nothing_else() -> None:
    with tracing_or_exit(settings(f"http://127.0.0.1:{free_port()}"), "music"), span("lost"):
        assert traceparent()
    assert not traceparent()


async def test_what_is_left_is_sent_before_the_program_ends() -> None:
    def program(url: str) -> None:
        with tracing_or_exit(settings(url), "music"), span("last"):
            pass

    async with open_collector() as collector:
        await asyncio.to_thread(program, collector.url)
        assert [span.name for span in collector.spans] == ["last"]


@pytest.mark.parametrize("url", ["localhost:4318", "grpc://localhost:4317"])
def test_an_endpoint_that_is_no_url_stops_the_program(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    with pytest.raises(SettingsError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT.*http"):
        load(SharedSettings)
