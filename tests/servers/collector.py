"""An OpenTelemetry collector: receives traces over OTLP/HTTP (protobuf) and keeps the spans for a test to read.

Format: https://opentelemetry.io/docs/specs/otlp/#otlphttp, messages by opentelemetry-proto.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.ports import free_port
from tests.waiting import patience


@dataclass(frozen=True, slots=True)
class Span:
    """One span; `parent_id` is "" for the first of a trace. Times are Unix time in ns."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, str]


@dataclass(slots=True)
class Collector:
    """What arrived. `url` is the base URL."""

    url: str
    spans: list[Span] = field(default_factory=list[Span])
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, condition: Callable[[list[Span]], bool]) -> list[Span]:
        """Wait until what arrived fulfils the condition; return it."""
        async with asyncio.timeout(patience(90)), self.heard:
            await self.heard.wait_for(lambda: condition(self.spans))
        return list(self.spans)

    async def take(self, request: web.Request) -> web.Response:
        """Answer POST /v1/traces."""
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        async with self.heard:
            self.spans.extend(_spans_in(ExportTraceServiceRequest.FromString(body)))
            self.heard.notify_all()
        return web.Response(content_type="application/x-protobuf")


def _spans_in(sent: ExportTraceServiceRequest) -> list[Span]:
    found: list[Span] = []
    for resource in sent.resource_spans:
        service = next(at.value.string_value for at in resource.resource.attributes if at.key == "service.name")
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            attributes = {at.key: at.value.string_value for at in span.attributes}
            found.append(
                Span(
                    service=service,
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    began=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes=attributes,
                )
            )
    return found


@asynccontextmanager
async def open_collector() -> AsyncGenerator[Collector]:
    """Listen on a free port."""
    port = free_port()
    collector = Collector(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield collector
    finally:
        await runner.cleanup()
