"""The function's entry: `audio_service.lambdas.handler.handle`. An event that raises is run again by Lambda."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from audio_service.lambdas.events import DeadTask, Event, arrivals, dead_task
from audio_service.lambdas.starting import Office, Start, TaskPlace, start_again, start_new
from audio_service.media.repository import open_repository
from audio_service.metrics import WorkerMetrics
from audio_service.settings import AudioSettings
from audio_service.sources.bucket import find_object
from common.aws import open_ecs, open_s3
from common.broker import open_broker
from common.errors import MediaNotFound
from common.observability.telemetry import configure_logging, get_logger
from common.settings import load

log = get_logger(__name__)

PREFIX, SUFFIX = "audio_input_raw/", ".m4a"


def handle(event: Event, _context: object = None) -> dict[str, int]:
    """Start the tasks that an event asks for; return how many objects or dead tasks it was about.

    Raises:
        SettingsError: a setting is missing; its name is in the text.
        AppError: a backend does not answer, or refuses: Lambda tries again, and keeps the event at last.
    """
    settings, place = load(AudioSettings), load(TaskPlace)
    configure_logging(settings.log_level, settings.log_format)
    if place.access_key or place.secret_key:
        log.warning("lambda.keys_ignored", settings="ACCESS_KEY, SECRET_KEY", detail="the function's role is used")
    return {"handled": asyncio.run(_handle(event, settings, place))}


async def _handle(event: Event, settings: AudioSettings, place: TaskPlace) -> int:
    arrived = [each for each in arrivals(event) if each.key.startswith(PREFIX) and each.key.lower().endswith(SUFFIX)]
    died = dead_task(event)
    begun = _start_of(died) if died else None
    if not arrived and begun is None:
        return 0
    async with (
        open_repository(settings) as repository,
        open_broker(settings) as broker,
        open_ecs(settings) as ecs,
        open_s3(settings) as s3,
    ):
        office = Office(settings, repository, broker, WorkerMetrics.on(CollectorRegistry()), ecs, place)
        for each in arrived:
            try:
                found = await find_object(s3, each.bucket, each.key)
            except MediaNotFound as exc:
                log.info("lambda.object_gone", detail=exc.detail)
                continue
            await start_new(office, found)
        if died is not None and begun is not None:
            await start_again(office, begun, died.reason or "no reason given")
    return len(arrived) + (begun is not None)


def _start_of(died: DeadTask) -> Start | None:
    """Return which start a dead task was; None for a task that was started by something else."""
    variables: dict[str, Any] = dict(died.environment)
    if not {"S3_BUCKET", "S3_KEY", "REQUEST_ID"} <= variables.keys():
        return None
    number = str(variables.get("START", "1"))
    return Start(
        variables["S3_BUCKET"], variables["S3_KEY"], variables["REQUEST_ID"], int(number) if number.isdecimal() else 1
    )
