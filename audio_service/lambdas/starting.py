"""Starts the task of one object: never twice for one start, and never forgotten.

Each step can be repeated, as Lambda runs an event again that failed. ADR 32 has the order and the reasons.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from audio_service.media.repository.base import Finished, Joined, MediaRepository, Waiter
from audio_service.metrics import WorkerMetrics
from audio_service.pipelines.download import fail
from audio_service.pipelines.transcode import TRANSCODES, request_for
from audio_service.settings import AudioSettings
from audio_service.sources.bucket import StoredObject, address_of
from audio_service.worker.announcer import ANSWERED_KEEP, Announcer
from audio_service.worker.pipeline import Job
from common.aws import AWS_ERRORS, failure_of
from common.broker.base import Broker
from common.errors import InternalError
from common.observability.telemetry import get_logger

if TYPE_CHECKING:
    from types_aiobotocore_ecs import ECSClient
    from types_aiobotocore_ecs.type_defs import KeyValuePairTypeDef, TaskOverrideTypeDef

log = get_logger(__name__)

_LEASE = timedelta(seconds=60)
_TRIES = 3
_KNOWN_START = "ConflictException"
"""ECS knows the token with other parameters: the start went through before a setting was changed."""


class TaskPlace(BaseSettings):
    """Where tasks run. The names are those of existing deployments."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    cluster_name: Annotated[str, Field(min_length=1)]
    task_definition: Annotated[str, Field(min_length=1)]
    subnets: Annotated[str, Field(min_length=1, description="Their ids, separated by commas.")]
    security_group: Annotated[str, Field(min_length=1)]
    task_execution_arn: str = ""
    task_role_arn: str = ""
    container_name: str = "transcode"
    assign_public_ip: bool = False
    access_key: str = ""
    secret_key: str = ""


@dataclass(frozen=True, slots=True)
class Office:
    """What starting takes; also what answering does (`services.Answering`)."""

    settings: AudioSettings
    repository: MediaRepository
    broker: Broker
    metrics: WorkerMetrics
    ecs: ECSClient
    place: TaskPlace


@dataclass(frozen=True, slots=True)
class Start:
    """The start of an object's task. `number`: 1 for the object's own event, one more for each task that died."""

    bucket: str
    key: str
    request_id: str
    number: int = 1

    @property
    def name(self) -> str:
        """Names it in leases and marks."""
        return f"start:{self.request_id}/{self.number}"

    @property
    def token(self) -> str:
        """The idempotency token: ECS starts one task for it, however often it is asked."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def environment(self) -> list[KeyValuePairTypeDef]:
        """The variables of the task, which come back in the event of its death."""
        variables = {
            "S3_BUCKET": self.bucket,
            "S3_KEY": self.key,
            "REQUEST_ID": self.request_id,
            "START": str(self.number),
        }
        return [{"name": name, "value": value} for name, value in variables.items()]


async def start_new(office: Office, found: StoredObject) -> None:
    """Claim the record of an object that arrived, and start its task; no-op for a copy of the event."""
    start = Start(found.bucket, found.key, found.request_id)
    lease = timedelta(seconds=office.settings.lease_seconds)
    waiter = Waiter(start.request_id, "")

    async def is_wanted() -> bool:
        claim = await office.repository.claim(found.media_id, waiter, found.metadata, lease)
        return not isinstance(claim, Finished | Joined)

    await _start_once(office, start, is_wanted=is_wanted)


async def start_again(office: Office, died: Start, why: str) -> None:
    """Start a dead task's successor, or record the failure when SERVICE_MAX_ATTEMPTS have died."""
    following = Start(died.bucket, died.key, died.request_id, died.number + 1)
    if await office.repository.is_answered(died.request_id):
        return
    if following.number > office.settings.service_max_attempts:
        await _give_up(office, following, f"task {died.number} of {office.settings.service_max_attempts} died: {why}")
        return
    await _start_once(office, following)


async def _start_once(office: Office, start: Start, *, is_wanted: Callable[[], Awaitable[bool]] | None = None) -> None:
    repository, owner = office.repository, str(uuid.uuid4())
    if await repository.acquire(start.name, owner, _LEASE) is not None:
        log.info("start.elsewhere", start=start.name)
        return
    try:
        if await repository.is_answered(start.name) or await repository.is_answered(start.request_id):
            return
        if is_wanted is not None and not await is_wanted():
            return
        if failure := await _run_task(office, start):
            await _give_up(office, start, failure)
        else:
            await repository.mark_answered(start.name, keep=ANSWERED_KEEP)
    finally:
        await repository.surrender(start.name, owner)


async def _run_task(office: Office, start: Start) -> str:
    """Ask ECS for the task; return why there is none, "" when there is one. Raises InternalError: ECS is away."""
    place, reasons = office.place, ""
    overrides: TaskOverrideTypeDef = {
        "containerOverrides": [{"name": place.container_name, "environment": start.environment}]
    }
    if place.task_execution_arn:
        overrides["executionRoleArn"] = place.task_execution_arn
    if place.task_role_arn:
        overrides["taskRoleArn"] = place.task_role_arn
    for _ in range(_TRIES):
        try:
            answer = await office.ecs.run_task(
                cluster=place.cluster_name,
                taskDefinition=place.task_definition,
                launchType="FARGATE",
                count=1,
                clientToken=start.token,
                startedBy=start.request_id[:36],
                networkConfiguration={
                    "awsvpcConfiguration": {
                        "subnets": [each.strip() for each in place.subnets.split(",")],
                        "securityGroups": [place.security_group],
                        "assignPublicIp": "ENABLED" if place.assign_public_ip else "DISABLED",
                    }
                },
                overrides=overrides,
            )
        except AWS_ERRORS as exc:
            failure = failure_of(exc)
            if failure.code == _KNOWN_START:
                return ""
            raise InternalError(f"RunTask in {place.cluster_name}: {failure.detail}") from exc
        failures = answer.get("failures", [])
        if not failures:
            log.info("start.done", start=start.name, address=address_of(start.bucket, start.key))
            return ""
        reasons = "; ".join(f"{each.get('reason', '')} {each.get('detail', '')}".strip() for each in failures)
        log.warning("start.failed", start=start.name, reasons=reasons)
    return f"RunTask in {place.cluster_name}: {reasons}"


async def _give_up(office: Office, start: Start, why: str) -> None:
    """Record that there will be no song, and answer the request."""
    error = InternalError(why)
    job = Job(request_for(address_of(start.bucket, start.key), start.request_id), owner=str(uuid.uuid4()))
    outcome = await fail(job, office, error)
    if outcome is not None:
        await Announcer(office, TRANSCODES).announce(job, outcome)
    log.error("start.given_up", start=start.name, detail=why)
