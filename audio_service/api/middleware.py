"""What every HTTP exchange gets: a request id, a correlation, closed-by-default headers, metrics, and an answer even
when a route breaks. Plain ASGI, because streaming answers must pass through untouched.
"""

from __future__ import annotations

import random
import re
import time

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audio_service.api.errors import app_error_answer
from audio_service.api.locale import preferred
from audio_service.api.metrics import HttpMetrics
from common.errors import AppError, InternalError, Locale
from common.observability.telemetry import TRACEPARENT, correlation, get_logger

log = get_logger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = TRACEPARENT.encode()
# RFC 9562 §5.4: four bits say the version, two the variant.
_UUID_4 = 4 << 76 | 2 << 62
_UUID_FREE = ~(0xF << 76 | 3 << 62)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Few, because every answer pays for each. A route that needs another policy (a page with scripts, a file that may be
# cached) sets the header itself. `default-src` stands for all that a body loads; what is for encrypted
# connections (Strict-Transport-Security) is for whoever ends them.
_DEFAULTS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class Observed:
    """The application inside its request id, metrics and last resort."""

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
            except Exception as exc:  # noqa: BLE001 - the last resort: whatever it was, it is logged and answered
                await self._answer_for(exc, exchange, receive)
            finally:
                self._count(exchange)

    async def _answer_for(self, exc: Exception, exchange: _Exchange, receive: Receive) -> None:
        # Starlette wraps what it would have answered, had the answer not begun.
        error = exc.__cause__ if exchange.status and isinstance(exc, RuntimeError) else exc
        if isinstance(error, AppError) and exchange.status:
            log.warning("http.cut", route=exchange.route, code=error.code, detail=error.detail)
        else:
            log.error("http.crashed", route=exchange.route, exc_info=exc)
        # An answer under way cannot be taken back: the server cuts the connection when we return.
        if not exchange.status:
            locale = preferred(exchange.accept_language, self._locale)
            await app_error_answer(InternalError(), locale)(exchange.scope, receive, exchange.send)

    def _count(self, exchange: _Exchange) -> None:
        method = exchange.scope["method"]
        labels = (exchange.route, method if method in _METHODS else "other", exchange.status)
        counted = self._counted.get(labels)
        if counted is None:
            # Labels come from closed sets, so this stays small; looking children up by name each time costs more.
            children = self._metrics.requests.labels(*labels), self._metrics.seconds.labels(exchange.route)
            counted = self._counted[labels] = children
        requests, seconds = counted
        requests.inc()
        seconds.observe((exchange.answered or time.perf_counter()) - exchange.began)


class _Exchange:
    """One request and what has been sent of its answer. `status` is 0 until the answer's head has gone out."""

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
        """Pass an event on; complete the answer's head."""
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

    `uuid4` asks the operating system, which lets other threads have the interpreter meanwhile; under load that wait
    was a tenth of a look-up.
    """
    bits = random.getrandbits(128) & _UUID_FREE | _UUID_4
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
