"""Assembles the HTTP applications out of the routers. Opens nothing; both functions may be called many times."""

from __future__ import annotations

import anyio
from fastapi import FastAPI

from audio_service.access.gate import Gate
from audio_service.api import (
    assets,
    audio,
    events,
    health,
    media,
    metrics,
    ogg,
    own_assets,
    pages,
    requests,
    sources,
    tickets,
    uploads,
)
from audio_service.api.deps import ApiDeps
from audio_service.api.errors import add_error_handlers
from audio_service.api.metrics import HttpMetrics
from audio_service.api.middleware import Cors, Instrumentation, SizeLimits
from audio_service.api.routing import requires
from audio_service.assets.hub import Hub


def create_app(deps: ApiDeps) -> FastAPI:
    """Return the API. Its metrics are created on `deps.registry`, so a registry serves one application.

    Raises:
        KeysUnusable: API_KEYS_FILE cannot be read as a list of keys.
    """
    settings = deps.settings
    gate = Gate(settings)
    gate.check()
    app = FastAPI(
        title="Butakero audio service",
        version="1",
        description="The library of songs that were asked for. Downloads are never started here: they go through "
        "the queue. HTTP answers questions, and takes requests back.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Traces and metrics are ours (`common.observability`): FastAPI's own look for a provider at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.deps = deps
    app.state.ogg_threads = anyio.CapacityLimiter(ogg.THREADS)
    app.state.gate = gate
    app.state.hub = Hub()
    app.state.metrics = HttpMetrics.on(deps.registry)
    add_error_handlers(app, settings.locale)
    # The last one added is the outermost.
    if settings.origins:
        methods = ("GET", "HEAD", "POST", "PUT", "DELETE") if settings.uploads else ("GET", "HEAD")
        app.add_middleware(Cors, origins=settings.origins, locale=settings.locale, methods=methods)
    app.add_middleware(SizeLimits, locale=settings.locale, uploads=uploads.uploads_of(settings))
    app.add_middleware(Instrumentation, metrics=app.state.metrics, locale=settings.locale)
    if not gate.needed:
        app.router.routes.extend(media.PLAIN_LOOK_UPS)
    app.include_router(media.router, dependencies=requires(gate, "media:read"))
    app.include_router(audio.router, dependencies=requires(gate, "media:read"))
    app.include_router(sources.router, dependencies=requires(gate, "sources:read"))
    app.include_router(requests.router, dependencies=requires(gate, "requests:cancel"))
    if settings.uploads:
        app.include_router(uploads.router, dependencies=requires(gate, "uploads:write"))
        # Its URL is the permission.
        app.include_router(uploads.signed, dependencies=requires(gate, None))
        app.include_router(assets.router, dependencies=requires(gate, "assets:read"))
        app.include_router(own_assets.router, dependencies=requires(gate, "assets:read"))
        app.include_router(own_assets.owned, dependencies=requires(gate, "uploads:write"))
        app.include_router(tickets.router, dependencies=requires(gate, "assets:read"))
        # These are admitted by a ticket too, which they check themselves.
        app.include_router(events.router, dependencies=requires(gate, None))
        app.router.routes.extend(events.sockets)
    app.include_router(health.router, dependencies=requires(gate, None))
    # Never refused: a supervisor takes a refusal for a failure.
    app.include_router(health.probes)
    if settings.metrics_port is None:
        app.include_router(metrics.router, dependencies=requires(gate, "metrics:read"))
    app.include_router(pages.router, dependencies=requires(gate, None))
    return app


def create_metrics_app(deps: ApiDeps, metrics_of_api: HttpMetrics) -> FastAPI:
    """Return an application with /metrics alone, for METRICS_PORT: access to one port gives no access to the other.

    Its requests are counted with the API's metrics.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.deps = deps
    add_error_handlers(app, deps.settings.locale)
    app.add_middleware(SizeLimits, locale=deps.settings.locale)
    app.add_middleware(Instrumentation, metrics=metrics_of_api, locale=deps.settings.locale)
    app.include_router(metrics.router)
    return app
