"""The state of the service and its dependencies. Three questions: does the process answer (`/livez`), should it be sent
requests (`/readyz`), and what is wrong (`/api/v1/health`).

A port's description of a failure may hold paths and addresses: it is logged, and the response has the public message
of that kind of error.
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
from audio_service.api.errors import preferred_locale
from audio_service.api.responses import DEFAULT, REFUSED, Responses, json_example, with_headers
from audio_service.api.routing import API, Router
from audio_service.api.schemas import HealthBody, LivenessBody, ReadinessBody
from common.errors import AppError, BrokerUnavailable, DatabaseUnavailable, Locale, StorageFull, StorageUnavailable
from common.health import Health
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

TIMEOUT_SECONDS = 2.0
_UNAVAILABLE = 503
BROKERS = {"embedded": "embedded_broker", "kafka": "kafka", "sqs": "sqs"}
DATABASES = {"sqlite": "sqlite", "mongodb": "mongo_db", "dynamodb": "dynamo_db"}
STORES = {"local": "local_storage", "s3": "s3"}
"""The key of each backend under `services`."""

_UP: dict[str, Any] = {"metadata": {}, "status": texts.HEALTHY}
_DOWN: dict[str, Any] = {"metadata": {}, "status": texts.UNHEALTHY, "error": DatabaseUnavailable().message()}
_HEALTH: Responses = {
    200: json_example(
        HealthBody,
        {"environment": "local", "services": {"sqlite": _UP}, "status": texts.ALL_HEALTHY},
        "Every dependency works.",
    ),
    503: json_example(
        HealthBody,
        {"environment": "local", "services": {"sqlite": _DOWN}, "status": texts.SOME_UNHEALTHY},
        "At least one does not.",
    ),
    429: REFUSED[429],
    **DEFAULT,
}
_READINESS: Responses = {
    200: json_example(ReadinessBody, {"ready": True, "services": {"sqlite": True}}, "Send requests here."),
    503: json_example(ReadinessBody, {"ready": False, "services": {"sqlite": False}}, "Send them elsewhere."),
    **DEFAULT,
}
_LIVENESS: Responses = {200: json_example(LivenessBody, {"alive": True}, "It does."), **DEFAULT}

router = Router(prefix=API, tags=["operations"])
probes = Router(tags=["operations"])


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of one dependency. `failure` is None when it works."""

    name: str
    metadata: Mapping[str, Any]
    failure: AppError | None


@router.get("/health", summary="How every dependency is", responses=with_headers(_HEALTH))
async def health(request: Request) -> Response:
    """Return every dependency with its state: 200 when all work, else 503."""
    deps = deps_of(request)
    states = await examine(deps)
    locale = preferred_locale(request.headers.get("accept-language", ""), deps.settings.locale)
    ok = all(state.failure is None for state in states)
    body = {
        "environment": deps.settings.environment,
        "services": {state.name: _service(state, locale) for state in states},
        "status": texts.ALL_HEALTHY if ok else texts.SOME_UNHEALTHY,
    }
    return _json(body, ok=ok)


@probes.get("/livez", summary="Does the process answer", responses=with_headers(_LIVENESS))
async def liveness() -> Response:
    """Return 200 as long as the process answers at all; checks no dependency."""
    return _json({"alive": True}, ok=True)


@probes.get("/readyz", summary="Should requests be sent here", responses=with_headers(_READINESS))
async def readiness(request: Request) -> Response:
    """Return whether the dependencies work: 200, else 503."""
    states = await examine(deps_of(request))
    ready = all(state.failure is None for state in states)
    return _json({"ready": ready, "services": {state.name: state.failure is None for state in states}}, ok=ready)


async def examine(deps: ApiDeps) -> list[ServiceState]:
    """Check all dependencies concurrently, each for at most TIMEOUT_SECONDS."""
    settings = deps.settings
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_check(BROKERS[settings.messaging_backend], deps.broker.health(), BrokerUnavailable)),
            group.create_task(
                _check(DATABASES[settings.database_backend], deps.repository.health(), DatabaseUnavailable)
            ),
            group.create_task(_check(STORES[settings.storage_backend], deps.blobs.health(), StorageUnavailable)),
        ]
    return [task.result() for task in tasks]


async def _check(name_on_timeout: str, check: Awaitable[Health], failure: type[AppError]) -> ServiceState:
    try:
        async with time_limit(TIMEOUT_SECONDS):
            found = await check
    except TimeoutError:
        log.warning("health.silent", service=name_on_timeout, seconds=TIMEOUT_SECONDS)
        return ServiceState(name_on_timeout, {}, failure("no answer"))
    if found.ok:
        return ServiceState(found.name, found.metadata, None)
    log.warning("health.failed", service=found.name, error=found.error)
    kind = StorageFull if found.disk_full else failure
    return ServiceState(found.name, found.metadata, kind(found.error))


def _service(state: ServiceState, locale: Locale) -> dict[str, Any]:
    if state.failure is None:
        return {"metadata": dict(state.metadata), "status": texts.HEALTHY}
    return {"metadata": {}, "status": texts.UNHEALTHY, "error": state.failure.message(locale)}


def _json(body: Mapping[str, Any], *, ok: bool) -> Response:
    return Response(orjson.dumps(body), status_code=200 if ok else _UNAVAILABLE, media_type="application/json")
