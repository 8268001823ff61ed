"""The API's Prometheus metrics, and /metrics, which shows all metrics of the process. Labels are route templates,
methods and statuses, never raw paths: every id would be a time series.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from audio_service.api.deps import deps_of
from audio_service.api.responses import DEFAULT, REFUSED, Responses, with_headers
from audio_service.api.routing import Router

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


@dataclass(frozen=True, slots=True)
class HttpMetrics:
    """The API's counters and histogram."""

    requests: Counter
    seconds: Histogram
    disconnects: Counter

    @classmethod
    def on(cls, registry: CollectorRegistry) -> HttpMetrics:
        """Create the metrics on `registry`, which may hold one set of them."""
        return cls(
            requests=Counter(
                "butakero_http_requests",
                "HTTP requests answered.",
                ["route", "method", "status"],
                registry=registry,
            ),
            seconds=Histogram(
                "butakero_http_request_seconds",
                "Time from a request's head to its answer's head.",
                ["route"],
                buckets=_SECONDS,
                registry=registry,
            ),
            disconnects=Counter(
                "butakero_http_client_disconnects", "Clients that left before the end of a file.", registry=registry
            ),
        )


_METRICS: Responses = {
    200: {"description": "Text format 0.0.4.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **REFUSED,
    **DEFAULT,
}

router = Router(tags=["operations"])


@router.get("/metrics", summary="Prometheus metrics", responses=with_headers(_METRICS))
async def metrics_page(request: Request) -> Response:
    """Return every metric of this process in Prometheus' text format 0.0.4."""
    return Response(generate_latest(deps_of(request).registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
