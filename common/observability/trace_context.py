"""The current place in a trace as a W3C traceparent, and the words that spans are described with.

The traceparent lives in a context variable, so that it is passed on by processes that record no spans themselves.
Format: https://www.w3.org/TR/trace-context/ section 3.2.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

TRACEPARENT = "traceparent"
"""The header that carries it."""

TRACEPARENT_FORMAT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""Trace id, parent span id and flags."""

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
"""OpenTelemetry's kinds of spans."""

AttributeValue = str | int | float | bool
"""What a span attribute may be: names, counts and codes, never user text."""

_traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def traceparent() -> str:
    """Return the current traceparent, "" outside of any trace."""
    return _traceparent.get()


def new_traceparent() -> str:
    """Return the traceparent of a new, sampled trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


@contextmanager
def in_trace(parent: str) -> Generator[None]:
    """Make `parent` the traceparent of everything sent and recorded in the body; "" begins a new trace."""
    token = _traceparent.set(parent)
    try:
        yield
    finally:
        _traceparent.reset(token)


def received_traceparent(header: str) -> str:
    """Return a received traceparent header, or the current traceparent if the header is empty or malformed."""
    return header if header and TRACEPARENT_FORMAT.fullmatch(header) else _traceparent.get()
