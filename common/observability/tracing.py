"""OpenTelemetry traces: one from a slash command over the broker to the first voice packet.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set; then nothing of OpenTelemetry's SDK is imported, and a span costs one
look at a context variable. On, what is recorded goes to the endpoint from a thread, in batches; a collector that is
away costs the spans, never the work. Attributes are names, counts and codes: never what people typed.

Who records stands in a context variable that `tracing_or_exit` sets before any task is made, so that every task has it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from common.observability.telemetry import in_trace, traceparent
from common.settings import SharedSettings

if TYPE_CHECKING:
    from common.observability.tracing_export import Recorder

Kind = Literal["internal", "server", "client", "producer", "consumer"]
"""What a span is, in OpenTelemetry's words."""
Value = str | int | float | bool

_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def tracing_or_exit(settings: SharedSettings, service: str) -> Generator[None]:
    """Record what happens inside, if it is asked for; leaving sends what is left, for a few seconds at most.

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
def span(name: str, kind: Kind = "internal", **attributes: Value) -> Generator[None]:
    """Record the body as a span of the current trace, or as the first one of a new trace.

    What is logged, sent and recorded inside belongs to it. An exception marks it as failed, with its code or type.
    """
    recorder = _recorder.get()
    if recorder is None:
        yield
        return
    with recorder.span(name, kind, traceparent(), attributes) as own, in_trace(own):
        yield


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a trace, to come back to from other tasks and threads."""

    recorder: Recorder | None = None
    parent: str = ""

    def record(self, name: str, began: float, ended: float, **attributes: Value) -> None:
        """Record a span that is over. Times are `time.monotonic()`'s."""
        if self.recorder is not None:
            self.recorder.record(name, self.parent, began, ended, attributes)

    @contextmanager
    def resumed(self) -> Generator[None]:
        """What happens inside belongs to this place, whatever was current."""
        with in_trace(self.parent):
            yield


NOWHERE = Place()
"""The place of what belongs to no trace."""


def here() -> Place:
    """Return the current place."""
    recorder = _recorder.get()
    return NOWHERE if recorder is None else Place(recorder, traceparent())
