"""How the service and what it depends on are. Three questions: does the process answer (`/livez`), should it be sent
requests (`/readyz`), and what is wrong (`/api/v1/health`).

What a port says about a failure may hold paths and addresses: it goes to the log, and the answer has the public
sentence of that kind of error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response

from audio_service import texts
from audio_service.api.deps import ApiDeps, deps_of
from audio_service.api.locale import preferred
from common.errors import AppError, BrokerUnavailable, DatabaseUnavailable, Locale, StorageUnavailable
from common.health import Health
from common.observability.telemetry import get_logger

log = get_logger(__name__)

TIMEOUT_SECONDS = 2.0
_DOWN = 503
_BROKERS = {"embedded": "embedded_broker", "kafka": "kafka"}
_DATABASES = {"sqlite": "sqlite", "mongodb": "mongo_db"}


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency. `failure` is None when it works."""

    name: str
    metadata: Mapping[str, Any]
    failure: AppError | None


async def health(request: Request) -> Response:
    """Return every dependency with its state: 200 when all work, else 503."""
    deps = deps_of(request)
    checks = await examine(deps)
    locale = preferred(request.headers.get("accept-language", ""), deps.settings.locale)
    well = all(check.failure is None for check in checks)
    answer = {
        "environment": deps.settings.environment,
        "services": {check.name: _shown(check, locale) for check in checks},
        "status": texts.ALL_HEALTHY if well else texts.SOME_UNHEALTHY,
    }
    return _json(answer, well=well)


async def readiness(request: Request) -> Response:
    """Return whether the dependencies work: 200, else 503."""
    checks = await examine(deps_of(request))
    ready = all(check.failure is None for check in checks)
    return _json({"ready": ready, "services": {check.name: check.failure is None for check in checks}}, well=ready)


async def liveness() -> Response:
    """Return 200 as long as the process answers at all; asks nobody else."""
    return _json({"alive": True}, well=True)


async def examine(deps: ApiDeps) -> list[Check]:
    """Ask all dependencies at once, each for at most TIMEOUT_SECONDS."""
    settings = deps.settings
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_ask(_BROKERS[settings.messaging_backend], deps.broker.health(), BrokerUnavailable)),
            group.create_task(
                _ask(_DATABASES[settings.database_backend], deps.repository.health(), DatabaseUnavailable)
            ),
            group.create_task(_ask(f"{settings.storage_backend}_storage", deps.blobs.health(), StorageUnavailable)),
        ]
    return [task.result() for task in tasks]


async def _ask(name_when_silent: str, question: Awaitable[Health], failure: type[AppError]) -> Check:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer = await question
    except TimeoutError:
        log.warning("health.silent", service=name_when_silent, seconds=TIMEOUT_SECONDS)
        return Check(name_when_silent, {}, failure("no answer"))
    if answer.ok:
        return Check(answer.name, answer.metadata, None)
    log.warning("health.failed", service=answer.name, error=answer.error)
    return Check(answer.name, answer.metadata, failure(answer.error))


def _shown(check: Check, locale: Locale) -> dict[str, Any]:
    if check.failure is None:
        return {"metadata": dict(check.metadata), "status": texts.HEALTHY}
    return {"metadata": {}, "status": texts.UNHEALTHY, "error": check.failure.message(locale)}


def _json(answer: Mapping[str, Any], *, well: bool) -> Response:
    return Response(orjson.dumps(answer), status_code=200 if well else _DOWN, media_type="application/json")
