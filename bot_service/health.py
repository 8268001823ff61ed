"""How the bot is, for machines: `/api/v1/health`, `/livez`, `/readyz`, `/metrics` on BOT_HTTP_PORT.

The bot is down when Discord is not connected, degraded when a part is missing without which songs of the library may
still play. What went wrong in detail is in the log, not in an answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol

import orjson
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot_service.audio_api import AudioHealth
from bot_service.discord_ui.replies import texts
from bot_service.services import Services
from common.errors import Text
from common.health import Health
from common.messages.base import utc_now, wire_time
from common.observability.telemetry import get_logger

log = get_logger(__name__)

TIMEOUT_SECONDS = 3.5
_DOWN = 503
_MESSAGES = {
    "operational": "Todo funciona",
    "degraded": "El bot funciona, pero le falta algo de lo que usa",
    "down": "Discord no está conectado",
}
Status = Literal["operational", "degraded", "down"]


class DiscordState(Protocol):
    """What health asks the Discord client."""

    @property
    def online(self) -> bool:
        """Whether the gateway is connected."""
        ...

    @property
    def is_serving(self) -> bool:
        """Whether commands are taken: connected, and what was saved is back."""
        ...

    @property
    def latency(self) -> float:
        """Seconds of the gateway's last heartbeat; may be nan or inf."""
        ...

    @property
    def session_id(self) -> str:
        """The gateway session's, "" without one."""
        ...

    def counts(self) -> tuple[int, int]:
        """Return how many guilds and voice connections there are."""
        ...

    def queued(self) -> int:
        """Return how many songs wait in all queues."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the bot uses."""

    title: Text
    ok: bool


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found: the audio service's own words, and a line for each thing the bot uses."""

    audio: AudioHealth
    checks: list[Check]


async def examine(services: Services) -> Examination:
    """Ask everything the bot uses at once, each for at most TIMEOUT_SECONDS."""
    async with asyncio.TaskGroup() as tasks:
        audio = tasks.create_task(services.api.health())
        checks = [
            tasks.create_task(_ask(texts.STATUS_QUEUE, services.broker.health())),
            tasks.create_task(_ask(texts.STATUS_STORE, services.store.health())),
            tasks.create_task(_ask(texts.STATUS_FILES, services.blobs.health())),
        ]
    lines = [Check(texts.STATUS_AUDIO, audio.result().connected), *(task.result() for task in checks)]
    return Examination(audio.result(), lines)


def create_app(services: Services, client: DiscordState) -> Starlette:
    """Return the HTTP application. Four questions without parameters: FastAPI would be a fifth of the bot's start."""

    async def health(_: Request) -> Response:
        found = await examine(services)
        status = _status_of(client, all(check.ok for check in found.checks))
        return _json(_health_answer(client, found.audio, status), well=status != "down")

    async def liveness(_: Request) -> Response:
        return _json({"alive": True}, well=True)

    async def readiness(_: Request) -> Response:
        return _json({"ready": client.is_serving}, well=client.is_serving)

    async def metrics(_: Request) -> Response:
        guilds, voice = client.counts()
        services.metrics.guilds.set(guilds)
        services.metrics.voice_connections.set(voice)
        services.metrics.queue_length.set(client.queued())
        return Response(generate_latest(services.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    routes = {"/api/v1/health": health, "/livez": liveness, "/readyz": readiness, "/metrics": metrics}
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in routes.items()])


def _status_of(client: DiscordState, all_well: bool) -> Status:  # noqa: FBT001 - one caller, beside it
    if not client.online:
        return "down"
    return "operational" if all_well else "degraded"


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


async def _ask(title: Text, question: Awaitable[Health]) -> Check:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer = await question
    except TimeoutError:
        log.warning("health.silent", service=title.en)
        return Check(title, ok=False)
    if not answer.ok:
        log.warning("health.failed", service=title.en, error=answer.error)
    return Check(title, ok=answer.ok)


def _version() -> str:
    try:
        return version("butakero-music-bot")
    except PackageNotFoundError:
        return "0"


def _json(answer: dict[str, Any], *, well: bool) -> Response:
    return Response(
        orjson.dumps(answer),
        status_code=200 if well else _DOWN,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
