"""/metrics and nothing else, for METRICS_PORT: whoever may scrape need not reach the API, nor the other way round."""

from __future__ import annotations

from fastapi import FastAPI, Response

from audio_service.api.deps import ApiDeps
from audio_service.api.errors import add_error_handlers
from audio_service.api.metrics import HttpMetrics, metrics_page
from audio_service.api.middleware import Observed


def create_metrics_app(deps: ApiDeps, metrics: HttpMetrics) -> FastAPI:
    """Return the application; its requests are counted with the API's `metrics`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.deps = deps
    add_error_handlers(app, deps.settings.locale)
    app.add_middleware(Observed, metrics=metrics, locale=deps.settings.locale)
    app.add_api_route("/metrics", metrics_page, methods=["GET", "HEAD"], response_model=None, response_class=Response)
    return app
