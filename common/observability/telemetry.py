"""Logs and correlation ids. Events, not prose: `log.info("download.ready", media_id=…)`.

The correlation id (of a download request, or of an HTTP request) lives in a context variable: every log line carries
it, and `outgoing_headers` adds it to every message. Metrics are made per process from a registry that `bootstrap`
opens; nothing here is global except the logging configuration, which is Python's own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

import structlog

from common.messages.base import CORRELATION_ID, SCHEMA_VERSION
from common.observability.redaction import redact_all
from common.observability.trace_context import (
    TRACEPARENT,
    in_trace,
    new_traceparent,
    received_traceparent,
    traceparent,
)

_correlation: ContextVar[str] = ContextVar("correlation_id", default="")


@contextmanager
def correlation(value: str, headers: Mapping[str, str] | None = None) -> Generator[None]:
    """Set the correlation id of everything logged and sent in the body, and the trace to the one that `headers` carry.

    Without a valid traceparent header the current trace stays.
    """
    token = _correlation.set(value)
    try:
        with in_trace(received_traceparent((headers or {}).get(TRACEPARENT, ""))):
            yield
    finally:
        _correlation.reset(token)


def correlation_id() -> str:
    """Return the current correlation id, "" outside of any."""
    return _correlation.get()


def outgoing_headers() -> dict[str, str]:
    """Return the headers of every published message. A trace is passed on also when this process records no spans."""
    return {
        CORRELATION_ID: _correlation.get(),
        "schema_version": SCHEMA_VERSION,
        TRACEPARENT: traceparent() or new_traceparent(),
    }


def configure_logging(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging to `stream` (default: stderr) in one format.

    `log_format` is "json" (one object a line) or "console" (for a terminal).
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
        # Before the renderer, whose own format of a traceback includes the values of local variables.
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
    # HTTP requests, served and sent, are counted in metrics; a log line for each would add nothing. At debug, AWS's SDK
    # writes whole bodies and signed headers.
    for noisy in ("uvicorn.access", "httpx", "httpcore", "aiosqlite", "botocore", "aiobotocore"):
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
