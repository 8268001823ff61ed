"""Callers that have no permission, or not now."""

from __future__ import annotations

from common.errors.base import AppError, Text


class AccessError(AppError):
    """The caller has no permission, or not now."""


class Unauthorized(AccessError):
    """No valid key or token. Without a detail: none was sent."""

    code = "unauthorized"
    public_message = Text(
        "Hace falta una clave o un token de acceso válidos.", "A valid API key or access token is needed."
    )


class Forbidden(AccessError):
    """The key or token is valid but lacks `scope`."""

    code = "forbidden"
    public_message = Text(
        "Esa clave o ese token no tienen permiso para esto.", "That key or token may not be used for this."
    )

    def __init__(self, detail: str = "", *, scope: str = "") -> None:
        super().__init__(detail)
        self.scope = scope


class RateLimited(AccessError):
    """Too many requests of one caller; the next one is allowed after `retry_after_seconds`."""

    code = "rate_limited"
    retryable = True
    public_message = Text(
        "Demasiados pedidos seguidos. Esperá un momento.", "Too many requests in a row. Wait a moment."
    )

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class AccessUnavailable(AccessError):
    """The permission cannot be checked: the issuer of the tokens does not answer."""

    code = "access_unavailable"
    retryable = True
    public_message = Text(
        "No se pudo comprobar el permiso. Probá de nuevo en un rato.",
        "The permission could not be checked. Try again in a while.",
    )
