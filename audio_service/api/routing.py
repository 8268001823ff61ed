"""What every module of endpoints is built from: its router, and the dependency that admits requests.

Authentication runs before the parameters are read, because FastAPI resolves a router's dependencies first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.params import Depends as Dependency
from fastapi.security import APIKeyHeader, HTTPBearer

from audio_service.access.gate import Gate
from audio_service.access.scopes import Scope

API: Final = "/api/v1"

# For the OpenAPI document alone: `Gate.admit` reads the headers, and answers in the shape of every other error.
_BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key, or an OAuth2 access token (JWT) with the scope.", auto_error=False
)
_API_KEY = APIKeyHeader(
    name="X-API-Key", scheme_name="api_key", description="An API key with the scope.", auto_error=False
)


class Router(APIRouter):
    """An APIRouter whose GET routes also answer HEAD (RFC 9110 §9.3.2), once in the OpenAPI document.

    One route with both methods would be two operations with the same id. Endpoints return their own `Response`:
    nothing is validated or serialised by FastAPI.
    """

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - what APIRouter takes
        """Add the route, and the same for HEAD after it when its method is GET."""
        options |= {"response_model": None, "response_class": Response}
        super().add_api_route(path, endpoint, **options)
        if options.get("methods") == ["GET"]:
            options |= {"methods": ["HEAD"], "include_in_schema": False}
            super().add_api_route(path, endpoint, **options)


def caller_of(request: Request) -> str:
    """Return the authenticated caller's name, "" where access is not controlled."""
    name: str = getattr(request.state, "caller", "")
    return name


def requires(gate: Gate, scope: Scope | None) -> list[Dependency]:
    """Return the dependencies of a router whose endpoints need `scope`; None: public, but rate-limited.

    Without access control and rate limit the list is empty: a dependency costs every request, even an idle one.
    """
    if not gate.needed:
        return []
    schemes = [Security(_BEARER), Security(_API_KEY)] if gate.closed and scope is not None else []
    return [Depends(_admission(gate, scope)), *schemes]


def _admission(gate: Gate, scope: Scope | None) -> Callable[[Request], Awaitable[None]]:
    async def admit(request: Request) -> None:
        address = request.client.host if request.client else ""
        headers = request.headers
        request.state.caller = await gate.admit(
            headers.get("authorization", ""), headers.get("x-api-key", ""), address, scope
        )

    return admit
