"""The HTTP API, assembled: every route with what it answers. Opens nothing; `create_app` may be called many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
from fastapi import Depends, FastAPI, Response

from audio_service.access.gate import Gate
from audio_service.access.scopes import Scope
from audio_service.api import answers, audio, docs, health, media, metrics, ogg, pages, sources
from audio_service.api.answers import Responses
from audio_service.api.bounds import Bounded
from audio_service.api.cors import Cors
from audio_service.api.deps import ApiDeps
from audio_service.api.direct import DirectRoute
from audio_service.api.errors import add_error_handlers
from audio_service.api.guard import SECURITY_SCHEMES, guard, security_of
from audio_service.api.metrics import HttpMetrics
from audio_service.api.middleware import Observed

API = "/api/v1"


class _Api(FastAPI):
    """FastAPI, whose document says how to be let in."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        document["components"]["securitySchemes"] = SECURITY_SCHEMES
        return document


def create_app(deps: ApiDeps) -> FastAPI:
    """Return the application. Its metrics are created on `deps.registry`, so a registry serves one application.

    Raises:
        KeysUnusable: API_KEYS_FILE holds something else.
    """
    settings = deps.settings
    gate = Gate(settings)
    gate.check()
    app = _Api(
        title="Butakero audio service",
        version="1",
        description="The library of songs that were asked for. Downloads are never started here: they go through "
        "the queue. HTTP answers questions.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Traces and metrics are ours (`common.observability`): FastAPI's own look for a provider at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.deps = deps
    app.state.ogg_threads = anyio.CapacityLimiter(ogg.THREADS)
    app.state.metrics = HttpMetrics.on(deps.registry)
    add_error_handlers(app, settings.locale)
    app.add_middleware(Bounded, locale=settings.locale)
    if settings.origins:
        app.add_middleware(Cors, origins=settings.origins, locale=settings.locale)
    app.add_middleware(Observed, metrics=app.state.metrics, locale=settings.locale)
    for route in _ROUTES:
        if route.path != _METRICS or settings.metrics_port is None:
            _add(app, route, gate)
    return app


class _Route(NamedTuple):
    path: str
    endpoint: Callable[..., Any]
    tag: str
    summary: str
    needs: Scope | None
    """The scope that it takes where access is controlled; None: everybody may."""
    responses: Responses
    shown: bool = True
    extra: dict[str, Any] | None = None
    direct: bool = False
    """Its endpoint takes the request and nothing else, and is asked often."""


_METRICS = "/metrics"
# Whoever supervises the process asks these, and takes a refusal for a failure.
_NEVER_REFUSED = frozenset({"/livez", "/readyz"})
_MEDIA = f"{API}/media"
_SOURCES = f"{API}/sources"
_ROUTES = (
    _Route(
        f"{_MEDIA}/",
        media.look_up,
        "library",
        "Look a record up by its id",
        "media:read",
        answers.LOOK_UP,
        extra=answers.LOOK_UP_PARAMETERS,
        direct=True,
    ),
    _Route(
        _MEDIA,
        media.look_up,
        "library",
        "Look a record up by its id",
        "media:read",
        answers.LOOK_UP,
        shown=False,
        direct=True,
    ),
    _Route(f"{_MEDIA}/search", media.search, "library", "Search by a part of the title", "media:read", answers.SEARCH),
    _Route(f"{_MEDIA}/{{video_id}}/audio", audio.dca_file, "library", "The DCA file", "media:read", answers.AUDIO),
    _Route(
        f"{_MEDIA}/{{video_id}}/audio.ogg", audio.ogg_file, "library", "The song as Ogg Opus", "media:read", answers.OGG
    ),
    _Route(
        f"{_SOURCES}/search", sources.search, "sources", "Search at the source", "sources:read", answers.SOURCE_SEARCH
    ),
    _Route(
        f"{_SOURCES}/playlist",
        sources.playlist,
        "sources",
        "What a playlist holds",
        "sources:read",
        answers.SOURCE_PLAYLIST,
    ),
    _Route(f"{API}/health", health.health, "operations", "How every dependency is", None, answers.HEALTH),
    _Route("/livez", health.liveness, "operations", "Does the process answer", None, answers.LIVENESS),
    _Route("/readyz", health.readiness, "operations", "Should requests be sent here", None, answers.READINESS),
    _Route(_METRICS, metrics.metrics_page, "operations", "Prometheus metrics", "metrics:read", answers.METRICS),
    _Route("/", pages.index, "people", "Search and listen", None, {}, shown=False),
    _Route("/web/{name}", pages.asset, "people", "A file of that page", None, {}, shown=False),
    _Route("/docs", docs.docs_page, "operations", "The API's description for people", None, {}, shown=False),
)


def _add(app: FastAPI, route: _Route, gate: Gate) -> None:
    """Add a route for GET, and for HEAD beside it: one route with both would be two operations with one id."""
    limited = gate.needed and route.path not in _NEVER_REFUSED
    for method in ("GET", "HEAD"):
        app.router.add_api_route(
            route.path,
            route.endpoint,
            methods=[method],
            response_model=None,
            response_class=Response,
            summary=route.summary,
            tags=[route.tag],
            dependencies=[Depends(guard(gate, route.needs))] if limited else [],
            responses=route.responses,
            openapi_extra={**(route.extra or {}), "security": security_of(gate, route.needs)},
            include_in_schema=route.shown and method == "GET",
            route_class_override=DirectRoute if route.direct and not limited else None,
        )
