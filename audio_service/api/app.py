"""The HTTP API, assembled: every route with what it answers. Opens nothing; `create_app` may be called many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
from fastapi import FastAPI, Response

from audio_service.api import answers, audio, docs, health, media, metrics, ogg, pages, sources
from audio_service.api.answers import Responses
from audio_service.api.deps import ApiDeps
from audio_service.api.errors import add_error_handlers
from audio_service.api.metrics import HttpMetrics
from audio_service.api.middleware import Observed

API = "/api/v1"


def create_app(deps: ApiDeps) -> FastAPI:
    """Return the application. Its metrics are created on `deps.registry`, so a registry serves one application."""
    app = FastAPI(
        title="Butakero audio service",
        version="1",
        description="The library of songs that were asked for. Downloads are never started here: they go through "
        "the queue. HTTP answers questions.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.deps = deps
    app.state.ogg_threads = anyio.CapacityLimiter(ogg.THREADS)
    app.state.metrics = HttpMetrics.on(deps.registry)
    add_error_handlers(app, deps.settings.locale)
    app.add_middleware(Observed, metrics=app.state.metrics, locale=deps.settings.locale)
    for route in _ROUTES:
        _add(app, route)
    return app


class _Route(NamedTuple):
    path: str
    endpoint: Callable[..., Any]
    tag: str
    summary: str
    responses: Responses
    shown: bool = True
    extra: dict[str, Any] | None = None


_MEDIA = f"{API}/media"
_SOURCES = f"{API}/sources"
_ROUTES = (
    _Route(
        f"{_MEDIA}/",
        media.look_up,
        "library",
        "Look a record up by its id",
        answers.LOOK_UP,
        extra=answers.LOOK_UP_PARAMETERS,
    ),
    _Route(_MEDIA, media.look_up, "library", "Look a record up by its id", answers.LOOK_UP, shown=False),
    _Route(f"{_MEDIA}/search", media.search, "library", "Search by a part of the title", answers.SEARCH),
    _Route(f"{_MEDIA}/{{video_id}}/audio", audio.dca_file, "library", "The DCA file", answers.AUDIO),
    _Route(f"{_MEDIA}/{{video_id}}/audio.ogg", audio.ogg_file, "library", "The song as Ogg Opus", answers.OGG),
    _Route(f"{_SOURCES}/search", sources.search, "sources", "Search at the source", answers.SOURCE_SEARCH),
    _Route(f"{_SOURCES}/playlist", sources.playlist, "sources", "What a playlist holds", answers.SOURCE_PLAYLIST),
    _Route(f"{API}/health", health.health, "operations", "How every dependency is", answers.HEALTH),
    _Route("/livez", health.liveness, "operations", "Does the process answer", answers.LIVENESS),
    _Route("/readyz", health.readiness, "operations", "Should requests be sent here", answers.READINESS),
    _Route("/metrics", metrics.metrics_page, "operations", "Prometheus metrics", answers.METRICS),
    _Route("/", pages.index, "people", "Search and listen", {}, shown=False),
    _Route("/web/{name}", pages.asset, "people", "A file of that page", {}, shown=False),
    _Route("/docs", docs.docs_page, "operations", "The API's description for people", {}, shown=False),
)


def _add(app: FastAPI, route: _Route) -> None:
    """Add a route for GET, and for HEAD beside it: one route with both would be two operations with one id."""
    for method in ("GET", "HEAD"):
        app.add_api_route(
            route.path,
            route.endpoint,
            methods=[method],
            response_model=None,
            response_class=Response,
            summary=route.summary,
            tags=[route.tag],
            responses=route.responses,
            openapi_extra=route.extra,
            include_in_schema=route.shown and method == "GET",
        )
