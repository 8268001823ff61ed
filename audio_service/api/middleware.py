"""What every HTTP exchange passes through: request id, correlation, default headers, metrics, size limits, origins.

Plain ASGI, because streamed responses must pass through untouched.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audio_service import texts
from audio_service.api.errors import app_error_response, error_response, preferred_locale, protocol_response
from audio_service.api.metrics import HttpMetrics
from common.errors import AppError, InternalError, Locale
from common.http.protocol import MAX_BODY_BYTES, Uploads
from common.observability.telemetry import correlation, get_logger
from common.observability.trace_context import TRACEPARENT

log = get_logger(__name__)

MAX_QUERY_BYTES: Final = 16 * 1024
MAX_HEADER_BYTES: Final = 8 * 1024
"""Of one header's value: the longest that common servers take. Access tokens are the longest that clients send."""

_MAX_DIGITS = 18
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = TRACEPARENT.encode()
# RFC 9562 §5.4: four bits of version, two of variant.
_UUID_4 = 4 << 76 | 2 << 62
_UUID_FREE = ~(0xF << 76 | 3 << 62)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Few, because every response pays for each. A route that needs another policy (a page with scripts, a file that may be
# cached) sets the header itself. Strict-Transport-Security belongs to the proxy that terminates TLS.
_DEFAULTS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class Instrumentation:
    """Outermost: request id, correlation, default headers, metrics; unhandled exceptions become internal_error."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, locale: Locale) -> None:
        self._app = app
        self._metrics = metrics
        self._locale: Locale = locale
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one exchange."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        with correlation(exchange.request_id, {TRACEPARENT: exchange.traceparent}):
            try:
                await self._app(scope, receive, exchange.send)
            except Exception as exc:  # noqa: BLE001 - the outermost handler: every exception is logged and answered
                await self._answer_for(exc, exchange, receive)
            finally:
                self._count(exchange)

    async def _answer_for(self, exc: Exception, exchange: _Exchange, receive: Receive) -> None:
        # Starlette wraps an exception that it has a handler for, when the response has already started.
        error = exc.__cause__ if exchange.status and isinstance(exc, RuntimeError) else exc
        if isinstance(error, AppError) and exchange.status:
            log.warning("http.cut", route=exchange.route, code=error.code, detail=error.detail)
        else:
            log.error("http.crashed", route=exchange.route, exc_info=exc)
        # A response that has started cannot be replaced: the server cuts the connection when this returns.
        if not exchange.status:
            locale = preferred_locale(exchange.accept_language, self._locale)
            await app_error_response(InternalError(), locale)(exchange.scope, receive, exchange.send)

    def _count(self, exchange: _Exchange) -> None:
        method = exchange.scope["method"]
        labels = (exchange.route, method if method in _METHODS else "other", exchange.status)
        counted = self._counted.get(labels)
        if counted is None:
            # Labels come from closed sets, so the cache stays small; a look-up by labels costs more each time.
            children = self._metrics.requests.labels(*labels), self._metrics.seconds.labels(exchange.route)
            counted = self._counted[labels] = children
        requests, seconds = counted
        requests.inc()
        seconds.observe((exchange.answered or time.perf_counter()) - exchange.began)


class _Exchange:
    """One request and the state of its response. `status` is 0 until the response's head is sent."""

    __slots__ = ("_send", "accept_language", "answered", "began", "request_id", "scope", "status", "traceparent")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.began = time.perf_counter()
        self.answered = 0.0
        self.status = 0
        self._send = send
        sent: dict[bytes, bytes] = dict(scope["headers"])
        given = sent.get(b"x-request-id")
        self.request_id = given.decode("ascii") if given and _REQUEST_ID.fullmatch(given) else _new_id()
        self.traceparent = sent.get(_TRACEPARENT, b"").decode("latin-1")
        self.accept_language = sent.get(b"accept-language", b"").decode("latin-1")

    @property
    def route(self) -> str:
        """The route's template, "unmatched" where there is none."""
        route = self.scope.get("route")
        return getattr(route, "path", "unmatched")

    async def send(self, message: Message) -> None:
        """Pass an ASGI event on; add the default headers to the response's head."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered = time.perf_counter()
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            present = {name for name, _ in headers}
            headers.extend(default for default in _DEFAULTS if default[0] not in present)
            headers.append((b"x-request-id", self.request_id.encode("ascii")))
            message = {**message, "headers": headers}
        await self._send(message)


def _new_id() -> str:
    """Return a random UUID (version 4): unique, not secret.

    `uuid4` reads from the operating system and releases the interpreter lock; under load that wait was a tenth of a
    look-up.
    """
    bits = random.getrandbits(128) & _UUID_FREE | _UUID_4
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class SizeLimits:
    """Bounds query, headers and body before anything parses them: 414, 431 and 413, and the connection is closed.

    The protocol (`common.http`) limits the whole head. A body that no endpoint reads is ignored, as HTTP demands; a
    large one is refused before it is received, but for `uploads`.
    """

    def __init__(self, app: ASGIApp, *, locale: Locale, uploads: Uploads | None = None) -> None:
        self._app = app
        self._locale: Locale = locale
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one exchange."""
        if scope["type"] == "http" and (status := _exceeded(scope, self._max_body(scope))):
            accepted = Headers(scope=scope).get("accept-language", "")[:MAX_HEADER_BYTES]
            refusal = HTTPException(status, headers={"Connection": "close"})
            await protocol_response(refusal, preferred_locale(accepted, self._locale))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _max_body(self, scope: Scope) -> int:
        large = self._uploads
        return large.max_bytes if large and large.takes(scope["method"], scope["path"]) else MAX_BODY_BYTES


def _exceeded(scope: Scope, max_body: int) -> int:
    """Return the status of the first limit that is exceeded, 0 if none is."""
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        return 414
    for name, value in scope["headers"]:
        if len(value) > MAX_HEADER_BYTES:
            return 431
        if name == b"content-length" and (not value.isdigit() or int(value[:_MAX_DIGITS]) > max_body):
            return 413
    return 0


_CORS_REQUEST_HEADERS = (
    "Accept-Language",
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "Range",
    "X-API-Key",
    "X-Request-ID",
)
_CORS_RESPONSE_HEADERS = ("Content-Range", "ETag", "Retry-After", "WWW-Authenticate", "X-Request-ID")


class Cors(CORSMiddleware):
    """Starlette's, with refusals in the shape of every other error. No cookies: the API uses none."""

    def __init__(
        self, app: ASGIApp, *, origins: Sequence[str], locale: Locale, methods: Sequence[str] = ("GET", "HEAD")
    ) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=methods,
            allow_headers=_CORS_REQUEST_HEADERS,
            expose_headers=_CORS_RESPONSE_HEADERS,
        )
        self._locale: Locale = locale

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:  # noqa: PLR2004 - the statuses of errors begin there
            return response
        error = {"code": "origin_not_allowed", "message": texts.ORIGIN_NOT_ALLOWED.to(self._locale)}
        return error_response(403, error, self._locale)
