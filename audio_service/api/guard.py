"""What stands before a route that not everybody may use: a FastAPI dependency, because those come before parameters are
looked at, and what the OpenAPI document says of it. Without access control and limits there is none, and no cost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request

from audio_service.access.gate import Gate
from audio_service.access.scopes import Scope

SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or an OAuth2 access token (JWT) with the scope.",
    },
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key with the scope."},
}


def guard(gate: Gate, needs: Scope | None) -> Callable[[Request], Awaitable[None]]:
    """Return the dependency that lets through who has the scope; with None it counts, and lets everybody through."""

    async def admit(request: Request) -> None:
        address = request.client.host if request.client else ""
        headers = request.headers
        await gate.admit(headers.get("authorization", ""), headers.get("x-api-key", ""), address, needs)

    return admit


def security_of(gate: Gate, needs: Scope | None) -> list[dict[str, list[str]]]:
    """Return an operation's `security`: one of the two schemes, none where everybody may."""
    return [{"bearer": []}, {"api_key": []}] if gate.closed and needs is not None else []
