"""Limits on a request's size beyond its head's, which is the protocol's to limit: query and body.

The API reads no body. A small one is ignored, as HTTP asks for; a large one is refused before any of it is taken.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from audio_service.api.errors import protocol_answer
from audio_service.api.locale import preferred
from common.errors import Locale
from common.http.protocol import MAX_BODY_BYTES

MAX_QUERY_BYTES = 16 * 1024
_MAX_DIGITS = 18


class Bounded:
    """The application behind the limits: 414 and 413, after which the connection is not used again."""

    def __init__(self, app: ASGIApp, *, locale: Locale) -> None:
        self._app = app
        self._locale: Locale = locale

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one exchange."""
        if scope["type"] == "http" and (status := _refusal(scope)):
            locale = preferred(Headers(scope=scope).get("accept-language", ""), self._locale)
            refused = HTTPException(status, headers={"Connection": "close"})
            await protocol_answer(refused, locale)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _refusal(scope: Scope) -> int:
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        return 414
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:_MAX_DIGITS]) > MAX_BODY_BYTES):
            return 413
    return 0
