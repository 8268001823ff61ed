"""Logs, correlation ids and W3C trace context. Events, not prose: `log.info("download.ready", media_id=…)`.

The correlation id (a request's id, or an HTTP request's) lives in a context variable: every log line carries it,
and `outgoing_headers` puts it on every message. Metrics are made per process from a registry that `bootstrap` opens;
nothing here is global but the logging configuration, which is Python's own.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

import structlog

from common.messages.base import CORRELATION_ID, SCHEMA_VERSION
from common.observability.redaction import redact_all

TRACEPARENT = "traceparent"

_correlation: ContextVar[str] = ContextVar("correlation_id", default="")
_trace: ContextVar[str] = ContextVar("traceparent", default="")
TRACEPARENT_FORMAT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""W3C Trace Context, https://www.w3.org/TR/trace-context/ section 3.2: trace, parent, flags."""


@contextmanager
def correlation(value: str, headers: Mapping[str, str] | None = None) -> Generator[None]:
    """Everything logged and sent inside belongs to `value`, and to the trace that `headers` carry, if they do.

    Without such a header it stays in the current trace.
    """
    token = _correlation.set(value)
    sent = (headers or {}).get(TRACEPARENT, "")
    trace = _trace.set(sent if sent and TRACEPARENT_FORMAT.fullmatch(sent) else _trace.get())
    try:
        yield
    finally:
        _trace.reset(trace)
        _correlation.reset(token)


@contextmanager
def in_trace(parent: str) -> Generator[None]:
    """Everything sent and recorded inside has this traceparent as its parent; "" begins a new trace."""
    token = _trace.set(parent)
    try:
        yield
    finally:
        _trace.reset(token)


def correlation_id() -> str:
    """Return the current correlation id, "" outside of any."""
    return _correlation.get()


def traceparent() -> str:
    """Return the current place in a trace, "" outside of any."""
    return _trace.get()


def outgoing_headers() -> dict[str, str]:
    """Return the headers that every published message carries. A trace is passed on, also by who records nothing."""
    return {
        CORRELATION_ID: _correlation.get(),
        "schema_version": SCHEMA_VERSION,
        TRACEPARENT: _trace.get() or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
    }


def configure_logging(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging to `stream` (stderr) in one format.

    `log_format` is "json" (one object a line) or "console" (for a person at a terminal).
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_correlation,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    to_json: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        _hide_secrets,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    output = stream or sys.stderr
    to_console: list[structlog.typing.Processor] = [
        # Before the renderer, whose own way to show a trace has the values of local variables in it.
        structlog.processors.format_exc_info,
        _hide_secrets,
        structlog.dev.ConsoleRenderer(colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback),
    ]
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(to_json if log_format == "json" else to_console),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # One line per HTTP request of ours and of the Data API client says more in metrics than in logs.
    for noisy in ("uvicorn.access", "httpx", "httpcore", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger for a module."""
    return structlog.stdlib.get_logger(name)


def _hide_secrets(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: redact_all(value) for key, value in event.items()}


def _add_correlation(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if current := _correlation.get():
        event.setdefault(CORRELATION_ID, current)
    return event
