"""From errors to HTTP responses: the statuses, and the one shape of every error body.

    {"error": {"code": …, "message": …, further fields}, "success": false}

The message is in the client's language (`Accept-Language`; else the LOCALE setting). Details of errors are logged and
never part of a response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from audio_service import texts
from common.errors import (
    AppError,
    Forbidden,
    InternalError,
    InvalidInput,
    InvalidVideoId,
    Locale,
    RateLimited,
    Text,
    Unauthorized,
)
from common.observability.telemetry import get_logger

log = get_logger(__name__)

E = TypeVar("E", bound=Exception)

# Codes from CONTRACTS.md keep their statuses; the others are 4xx when the same request fails again, 5xx when it may
# succeed. Codes that appear in status messages and records alone have one too, so that the table is complete.
HTTP_STATUS: dict[str, int] = {
    "invalid_input": 400,
    "invalid_video_id": 400,
    "invalid_message": 400,
    "provider_not_found": 404,
    "url_not_allowed": 400,
    "file_not_allowed": 422,
    "file_corrupt": 422,
    "upload_missing": 409,
    "upload_mismatch": 409,
    "upload_refused": 403,
    "upload_too_large": 413,
    "quota_exceeded": 429,
    "asset_not_found": 404,
    "media_not_found": 404,
    "media_too_long": 422,
    "media_too_large": 422,
    "media_live": 422,
    "media_private": 403,
    "media_removed": 410,
    "media_region_locked": 451,
    "media_age_restricted": 403,
    "media_unsupported": 422,
    "media_encrypted": 422,
    "media_corrupt": 500,
    "source_auth_required": 403,
    "source_forbidden": 403,
    "source_truncated": 502,
    "source_unavailable": 502,
    "search_video_id_failed": 500,
    "get_media_details_failed": 500,
    "youtube_api_error": 503,
    "processing_crashed": 500,
    "processing_timeout": 504,
    "processing_limit": 422,
    "storage_full": 507,
    "storage_unavailable": 503,
    "blob_not_found": 404,
    "db_connection_failed": 500,
    "duplicate_record": 409,
    "lease_lost": 409,
    "broker_unavailable": 503,
    "queue_unavailable": 503,
    "queue_full": 503,
    "message_too_large": 413,
    "unauthorized": 401,
    "forbidden": 403,
    "rate_limited": 429,
    "access_unavailable": 503,
    "audio_service_unavailable": 503,
    "misconfigured": 500,
    "internal_error": 500,
}

# Errors of HTTP itself. They have no class in the tree, because only an HTTP response carries them.
_PROTOCOL: dict[int, tuple[str, Text]] = {
    404: ("route_not_found", texts.ROUTE_NOT_FOUND),
    405: ("method_not_allowed", texts.METHOD_NOT_ALLOWED),
    413: ("body_too_large", texts.BODY_TOO_LARGE),
    414: ("query_too_long", texts.QUERY_TOO_LONG),
    416: ("range_not_satisfiable", texts.RANGE_NOT_SATISFIABLE),
    431: ("header_too_long", texts.HEADER_TOO_LONG),
}

# pydantic's error types, and the key of the limit in the error's context.
_REASONS: dict[str, tuple[Text, str]] = {
    "missing": (texts.PARAMETER_MISSING, ""),
    "string_too_short": (texts.PARAMETER_EMPTY, ""),
    "string_too_long": (texts.PARAMETER_TOO_LONG, "max_length"),
    "greater_than_equal": (texts.PARAMETER_TOO_SMALL, "ge"),
    "less_than_equal": (texts.PARAMETER_TOO_LARGE, "le"),
    "int_parsing": (texts.PARAMETER_NOT_A_NUMBER, ""),
}
# Parameters whose pattern has an error of the tree; these errors name no field.
_PATTERN_ERRORS: dict[str, type[AppError]] = {"video_id": InvalidVideoId, "cursor": InvalidInput}

# RFC 9110 §12.5.4; parts beyond the tenth are ignored.
_LANGUAGE = re.compile(
    r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]{1,60})?\s*(?:;\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
_MAX_LANGUAGES = 10


class InvalidParameter(InvalidInput):
    """A parameter of the HTTP request is missing or malformed. The message names it and never quotes its value."""

    def __init__(self, field: str, text: Text, limit: int | str = "") -> None:
        super().__init__(f"{field}: {text.en}")
        self.field = field
        self._text = text
        self._limit = limit

    def message(self, locale: Locale = "es") -> str:
        """Return the sentence for people in the given locale."""
        text = self._text.to(locale)
        return text.format(field=self.field, limit=self._limit)


class ApiError(Exception):
    """An error of the tree with further fields for the response body, beside code and message."""

    def __init__(self, error: AppError, **fields: str) -> None:
        super().__init__(error.detail)
        self.error = error
        self.fields = fields


def preferred_locale(accept_language: str, default: Locale) -> Locale:
    """Return the language of ours with the highest quality in an `Accept-Language` header.

    The first one wins a tie; `default` where neither is accepted.
    """
    best: tuple[float, Locale] = (0.0, default)
    for part in accept_language.split(",", _MAX_LANGUAGES)[:_MAX_LANGUAGES]:
        match = _LANGUAGE.fullmatch(part)
        if match is None:
            continue
        language, quality = match[1].lower(), float(match[2] or 1)
        if quality <= best[0]:
            continue
        if language == "es":
            best = (quality, "es")
        elif language == "en":
            best = (quality, "en")
        elif language == "*":
            best = (quality, default)
    return best[1]


def error_response(
    status: int, error: Mapping[str, str], locale: Locale, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response in the one shape; `error` has code, message and further fields."""
    return Response(
        orjson.dumps({"error": error, "success": False}),
        status_code=status,
        media_type="application/json",
        headers={"Content-Language": locale, "Vary": "Accept-Language", **(headers or {})},
    )


def app_error_response(error: AppError, locale: Locale, fields: Mapping[str, str] | None = None) -> Response:
    """Return the response for an error of the tree. 5xx are logged."""
    status = HTTP_STATUS.get(error.code, 500)
    if status >= HTTP_STATUS[InternalError.code]:
        log.warning("http.failed", code=error.code, detail=error.detail, status=status)
    if isinstance(error, InvalidParameter):
        fields = {"field": error.field, **(fields or {})}
    body = {"code": error.code, "message": error.message(locale), **(fields or {})}
    return error_response(status, body, locale, _headers_of(error))


def _headers_of(error: AppError) -> dict[str, str]:
    """Return the headers of a refusal: the challenge (RFC 6750 §3), or when to retry (RFC 6585 §4)."""
    match error:
        case Unauthorized():
            # No error code for a request without credentials (RFC 6750 §3.1).
            code = "" if error.detail == error.code else ', error="invalid_token"'
            return {"WWW-Authenticate": f'Bearer realm="butakero"{code}'}
        case Forbidden():
            return {"WWW-Authenticate": f'Bearer realm="butakero", error="insufficient_scope", scope="{error.scope}"'}
        case RateLimited():
            return {"Retry-After": str(error.retry_after_seconds)}
        case _:
            return {}


def add_error_handlers(app: FastAPI, default: Locale) -> None:
    """Add a handler for every error that a route raises. Others are `Instrumentation`'s, as internal_error."""

    def locale_of(request: Request) -> Locale:
        return preferred_locale(request.headers.get("accept-language", ""), default)

    async def on_app_error(request: Request, exc: Exception) -> Response:
        return app_error_response(_as(AppError, exc), locale_of(request))

    async def on_api_error(request: Request, exc: Exception) -> Response:
        api_error = _as(ApiError, exc)
        return app_error_response(api_error.error, locale_of(request), api_error.fields)

    async def on_invalid(request: Request, exc: Exception) -> Response:
        return app_error_response(_explain(_as(RequestValidationError, exc)), locale_of(request))

    async def on_protocol(request: Request, exc: Exception) -> Response:
        return protocol_response(_as(HTTPException, exc), locale_of(request))

    app.add_exception_handler(AppError, on_app_error)
    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_protocol)


def _as(kind: type[E], exc: Exception) -> E:
    if not isinstance(exc, kind):
        raise TypeError(f"the handler of {kind.__name__} was given {type(exc).__name__}")
    return exc


def _explain(exc: RequestValidationError) -> AppError:
    first: dict[str, Any] = exc.errors()[0]
    field = str(first["loc"][-1])
    if first["type"] == "string_pattern_mismatch" and field in _PATTERN_ERRORS:
        return _PATTERN_ERRORS[field]()
    text, limit = _REASONS.get(first["type"], (texts.PARAMETER_INVALID, ""))
    return InvalidParameter(field, text, first.get("ctx", {}).get(limit, ""))


def protocol_response(exc: HTTPException, locale: Locale) -> Response:
    """Return the response for an error of HTTP itself."""
    code, text = _PROTOCOL.get(exc.status_code, ("bad_request", texts.BAD_REQUEST))
    headers = dict(exc.headers or {})
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED and headers.get("Allow") in {None, "GET", "HEAD"}:
        # Each path has one route for GET and one for HEAD; the framework names the method of the first.
        headers["Allow"] = "GET, HEAD"
    error = {"code": code, "message": text.to(locale)}
    return error_response(exc.status_code, error, locale, headers)
