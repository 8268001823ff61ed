"""Serves the API, and /metrics on METRICS_PORT if set. Warns when the API is reachable without access control."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from audio_service.api.app import create_app, create_metrics_app
from audio_service.api.deps import ApiDeps
from audio_service.api.uploads import uploads_of
from audio_service.assets.following import follow_statuses
from audio_service.settings import AudioSettings
from common.http.connections import Connections
from common.http.server import listen, serve
from common.observability.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Bound sockets. `metrics` is None where /metrics is a route of the API."""

    api: socket.socket
    metrics: socket.socket | None


@contextmanager
def open_listeners(settings: AudioSettings, inherited: int | None = None) -> Generator[Listeners]:
    """Bind before anything else is opened; the API's socket may be inherited. Raises AddressInUse."""
    with ExitStack() as stack:
        api = stack.enter_context(listen(settings.http_host, settings.http_port, inherited=inherited))
        metrics = None
        if settings.metrics_port is not None:
            metrics = stack.enter_context(listen(settings.http_host, settings.metrics_port, key="METRICS_PORT"))
        yield Listeners(api, metrics)


async def serve_http(deps: ApiDeps, listeners: Listeners, stop: asyncio.Event) -> None:
    """Serve until `stop`, then finish the responses under way.

    Raises:
        KeysUnusable: API_KEYS_FILE cannot be read as a list of keys.
    """
    warn_if_open(deps.settings)
    app = create_app(deps)
    connections = Connections(deps.registry)
    async with asyncio.TaskGroup() as tasks:
        settings, large = deps.settings, uploads_of(deps.settings)
        if deps.assets is not None:
            tasks.create_task(follow_statuses(settings, deps.broker, deps.assets, app.state.hub, stop))
        api = serve(
            app,
            listeners.api,
            stop,
            connections,
            settings.forwarded_allow_ips,
            large,
            websockets=settings.uploads,
        )
        tasks.create_task(api)
        if listeners.metrics is not None:
            metrics_app = create_metrics_app(deps, app.state.metrics)
            tasks.create_task(serve(metrics_app, listeners.metrics, stop, connections))


def warn_if_open(settings: AudioSettings) -> None:
    """Log a warning when the API is reachable from other machines and access is not controlled."""
    if not settings.access_controlled and not is_loopback(settings.http_host):
        log.warning(
            "access.open",
            host=settings.http_host,
            detail="WITHOUT ACCESS CONTROL: whoever reaches this address may use the API. Set API_KEYS_FILE or "
            "OAUTH_ISSUER, or HTTP_HOST=127.0.0.1",
            rate_limited=settings.rate_limit_per_minute > 0,
        )


def is_loopback(host: str) -> bool:
    """Whether `host` is reachable from this machine alone. Of names only localhost is known to be."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
