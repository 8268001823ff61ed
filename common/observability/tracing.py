"""OpenTelemetry traces: one from a slash command over the broker to the first voice packet.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set. While it is off, neither OpenTelemetry's API nor its SDK is imported (the
bot's image does not have them), and a span costs one look-up of a context variable. On, spans are sent to the endpoint
from a thread, in batches; an unreachable collector loses spans and never delays work. Attributes are names, counts and
codes: never user text.

The recorder is in a context variable that `tracing_or_exit` sets before any task is made, so every task inherits it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.observability.trace_context import AttributeValue, SpanKind, in_trace, traceparent
from common.settings import SharedSettings

if TYPE_CHECKING:
    from common.observability.tracing_export import SpanRecorder

_recorder: ContextVar[SpanRecorder | None] = ContextVar("recorder", default=None)


@contextmanager
def tracing_or_exit(settings: SharedSettings, service: str) -> Generator[None]:
    """Record the spans of the body if tracing is on; on leaving, flush them for a few seconds at most.

    When OpenTelemetry's SDK is not installed, say so on stderr and exit with 78 (EX_CONFIG of sysexits.h).
    """
    if not settings.otel_exporter_otlp_endpoint:
        yield
        return
    try:
        from common.observability.tracing_export import open_recorder  # noqa: PLC0415 - imports the SDK, which only this needs
    except ImportError as exc:
        sys.stderr.write(f"OTEL_EXPORTER_OTLP_ENDPOINT: tracing needs the extra 'tracing' of this package ({exc})\n")
        raise SystemExit(getattr(os, "EX_CONFIG", 78)) from exc
    with open_recorder(settings.otel_exporter_otlp_endpoint, service, settings.instance_id) as recorder:
        token = _recorder.set(recorder)
        try:
            yield
        finally:
            _recorder.reset(token)


@contextmanager
def span(name: str, kind: SpanKind = "internal", **attributes: AttributeValue) -> Generator[None]:
    """Record the body as a span of the current trace, or as the root span of a new one; no-op while tracing is off.

    Spans recorded and messages sent in the body have it as their parent. An exception marks it as failed, with the
    error's code or type; cancellation does not.
    """
    recorder = _recorder.get()
    if recorder is None:
        yield
        return
    with recorder.span(name, kind, traceparent(), attributes) as own, in_trace(own):
        yield


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A captured place in a trace, for spans that are recorded later, in another task or thread."""

    recorder: SpanRecorder | None = None
    parent: str = ""

    def record_span(self, name: str, began: float, ended: float, **attributes: AttributeValue) -> None:
        """Record a span that has ended as a child of this place. Times are `time.monotonic()` seconds."""
        if self.recorder is not None:
            self.recorder.record(name, self.parent, began, ended, attributes)

    @contextmanager
    def attached(self) -> Generator[None]:
        """Make this the current place in a trace for the body."""
        with in_trace(self.parent):
            yield


NO_TRACE = TraceContext()
"""Belongs to no trace: `record_span` is a no-op, and what is sent while it is attached begins a new trace."""


def current_trace_context() -> TraceContext:
    """Capture the current place in a trace; NO_TRACE while tracing is off."""
    recorder = _recorder.get()
    return NO_TRACE if recorder is None else TraceContext(recorder, traceparent())
