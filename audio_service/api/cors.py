"""Pages of other origins: none, unless CORS_ORIGINS names them. Cookies play no part: nothing here uses any."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from audio_service import texts
from audio_service.api.errors import error_answer
from common.errors import Locale

_ASKED = ("Accept-Language", "Authorization", "If-None-Match", "Range", "X-API-Key", "X-Request-ID")
_SHOWN = ("Content-Range", "ETag", "Retry-After", "WWW-Authenticate", "X-Request-ID")


class Cors(CORSMiddleware):
    """Starlette's, whose refusals have the shape of every other error."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], locale: Locale) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=("GET", "HEAD"), allow_headers=_ASKED, expose_headers=_SHOWN
        )
        self._locale: Locale = locale

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer the question that a browser asks first."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:  # noqa: PLR2004 - the statuses of errors begin there
            return answer
        error = {"code": "origin_not_allowed", "message": texts.ORIGIN_NOT_ALLOWED.to(self._locale)}
        return error_answer(403, error, self._locale)
