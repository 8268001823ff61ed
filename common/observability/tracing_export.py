"""Makes spans and sends them to a collector over OTLP/HTTP. The only module that imports OpenTelemetry's SDK.

`tracing` imports it when tracing is on. No provider is made global, so libraries that look for one record nothing.
The SDK's own variables (OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, …) work as it documents.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import SpanKind as OtelSpanKind

from common.observability.trace_context import TRACEPARENT_FORMAT, AttributeValue, SpanKind

_KINDS: Mapping[SpanKind, OtelSpanKind] = {
    "internal": OtelSpanKind.INTERNAL,
    "server": OtelSpanKind.SERVER,
    "client": OtelSpanKind.CLIENT,
    "producer": OtelSpanKind.PRODUCER,
    "consumer": OtelSpanKind.CONSUMER,
}
_TRACES = "/v1/traces"
_SEND_EVERY_MS = 1000
_TIMEOUT_SECONDS = 3


class SpanRecorder:
    """Makes spans whose parents are given as W3C traceparents: a parent may be in any task or process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("butakero")
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    @contextmanager
    def span(self, name: str, kind: SpanKind, parent: str, attributes: Mapping[str, AttributeValue]) -> Generator[str]:
        """Record the body as a span; yield the span's traceparent."""
        own = self._tracer.start_span(name, _context(parent), _KINDS[kind], attributes)
        try:
            yield _traceparent(own)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            own.set_status(Status(StatusCode.ERROR, str(getattr(exc, "code", type(exc).__name__))))
            raise
        finally:
            own.end()

    def record(
        self, name: str, parent: str, began: float, ended: float, attributes: Mapping[str, AttributeValue]
    ) -> None:
        """Record a span that has ended. `began` and `ended` are `time.monotonic()` seconds."""
        start, end = (self._epoch_ns + int(at * 1e9) for at in (began, ended))
        self._tracer.start_span(name, _context(parent), attributes=attributes, start_time=start).end(end)


@contextmanager
def open_recorder(endpoint: str, service: str, instance: str) -> Generator[SpanRecorder]:
    """Send recorded spans to the collector at `endpoint`, an OTLP base URL; flush them on leaving, for 3 s at most."""
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + _TRACES, timeout=_TIMEOUT_SECONDS)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter, schedule_delay_millis=_SEND_EVERY_MS, export_timeout_millis=_TIMEOUT_SECONDS * 1000
        )
    )
    try:
        yield SpanRecorder(provider)
    finally:
        provider.shutdown()


def _context(parent: str) -> Context:
    """Return a context whose current span is the parent; an empty context, without one, starts a new trace."""
    match = TRACEPARENT_FORMAT.fullmatch(parent)
    if match is None:
        return Context()
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    return set_span_in_context(
        NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))), Context()
    )


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
