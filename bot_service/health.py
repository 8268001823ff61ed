"""Health and metrics over HTTP: `/api/v1/health`, `/livez`, `/readyz`, `/metrics` on BOT_HTTP_PORT.

The bot is down while Discord is not connected, degraded while another part fails: songs of the library may still play.
Details of a failure are logged, not returned.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol

import orjson
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot_service.audio_api import AudioHealth
from bot_service.services import Services
from common.health import Health
from common.messages.base import utc_now, wire_time
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

TIMEOUT_SECONDS = 3.5
_DOWN = 503
_MESSAGES = {
    "operational": "Todo funciona",
    "degraded": "El bot funciona, pero le falta algo de lo que usa",
    "down": "Discord no está conectado",
}
Status = Literal["operational", "degraded", "down"]


class Part(StrEnum):
    """What the bot depends on besides Discord."""

    AUDIO_SERVICE = "audio_service"
    BROKER = "broker"
    STORE = "store"
    BLOBS = "blobs"


class DiscordState(Protocol):
    """What the health endpoint reads from the Discord client."""

    @property
    def online(self) -> bool:
        """Whether the gateway is connected."""
        ...

    @property
    def is_serving(self) -> bool:
        """Whether commands are accepted: connected, and saved players are restored."""
        ...

    @property
    def latency(self) -> float:
        """Latency of the last gateway heartbeat in seconds; may be nan or inf."""
        ...

    @property
    def session_id(self) -> str:
        """The id of the gateway session, "" without one."""
        ...

    def counts(self) -> tuple[int, int]:
        """Return the number of guilds and of voice connections."""
        ...

    def queued(self) -> int:
        """Return the number of entries in all queues."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """The result for one part."""

    part: Part
    ok: bool


@dataclass(frozen=True, slots=True)
class Checks:
    """The audio service's own health, and one check per part."""

    audio: AudioHealth
    checks: list[Check]


async def check_all(services: Services) -> Checks:
    """Check all parts concurrently, each for at most TIMEOUT_SECONDS."""
    async with asyncio.TaskGroup() as tasks:
        audio = tasks.create_task(services.api.health())
        checks = [
            tasks.create_task(_check(Part.BROKER, services.broker.health())),
            tasks.create_task(_check(Part.STORE, services.store.health())),
            tasks.create_task(_check(Part.BLOBS, services.blobs.health())),
        ]
    results = [Check(Part.AUDIO_SERVICE, audio.result().connected), *(task.result() for task in checks)]
    return Checks(audio.result(), results)


def create_app(services: Services, client: DiscordState) -> Starlette:
    """Return the HTTP application. Starlette: FastAPI would take a fifth of the bot's start-up time."""

    async def health(_: Request) -> Response:
        found = await check_all(services)
        status = _status_of(client, all(check.ok for check in found.checks))
        return _json(_health_answer(client, found.audio, status), ok=status != "down")

    async def liveness(_: Request) -> Response:
        return _json({"alive": True}, ok=True)

    async def readiness(_: Request) -> Response:
        return _json({"ready": client.is_serving}, ok=client.is_serving)

    async def metrics(_: Request) -> Response:
        guilds, voice = client.counts()
        services.metrics.guilds.set(guilds)
        services.metrics.voice_connections.set(voice)
        services.metrics.queue_length.set(client.queued())
        return Response(generate_latest(services.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    routes = {"/api/v1/health": health, "/livez": liveness, "/readyz": readiness, "/metrics": metrics}
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in routes.items()])


def _status_of(client: DiscordState, all_ok: bool) -> Status:  # noqa: FBT001 - one caller, beside it
    if not client.online:
        return "down"
    return "operational" if all_ok else "degraded"


def _health_answer(client: DiscordState, audio: AudioHealth, status: Status) -> dict[str, Any]:
    guilds, voice = client.counts()
    latency_ms = client.latency * 1000
    return {
        "status": status,
        "discord": {
            "connected": client.online,
            "heartbeat_latency_ms": round(latency_ms, 1) if math.isfinite(latency_ms) else None,
            "guilds": guilds,
            "voice_connections": voice,
            "session_id": client.session_id,
        },
        "audio_service": {
            "connected": audio.connected,
            "latency_ms": round(audio.latency_ms, 1),
            "status": audio.status,
        },
        "timestamp": wire_time(utc_now()),
        "version": _version(),
        "message": _MESSAGES[status],
    }


async def _check(part: Part, health: Awaitable[Health]) -> Check:
    try:
        async with time_limit(TIMEOUT_SECONDS):
            answer = await health
    except TimeoutError:
        log.warning("health.silent", service=part.value)
        return Check(part, ok=False)
    if not answer.ok:
        log.warning("health.failed", service=part.value, error=answer.error)
    return Check(part, ok=answer.ok)


def _version() -> str:
    try:
        return version("butakero-music-bot")
    except PackageNotFoundError:
        return "0"


def _json(answer: dict[str, Any], *, ok: bool) -> Response:
    return Response(
        orjson.dumps(answer),
        status_code=200 if ok else _DOWN,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
