"""`python -m audio_service.transcode_task`: brings one object of a bucket into the library, and ends.

S3_BUCKET and S3_KEY name it. REQUEST_ID is the request that the object was claimed under, by what started the task;
without it the request is made from the object as it is now. Everything else comes from the service's own settings.

Exit codes: 0 the song is in the library, or another task is at work on it; 1 it cannot be, and its status says why;
75 not finished, a task that is started again goes on; 78 the settings are wrong. Each but 0 has one line on stderr.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from audio_service.bootstrap import open_services
from audio_service.media.model import MediaStatus
from audio_service.pipelines.download import DownloadJob
from audio_service.pipelines.download_messages import DownloadProgress
from audio_service.pipelines.transcode import TRANSCODES, request_for
from audio_service.services import Services
from audio_service.settings import AudioSettings
from audio_service.sources.bucket import BucketSource, address_of, find_object
from audio_service.worker.pipeline import Outcome
from audio_service.worker.single import run_single
from common.aws import open_s3
from common.errors import AppError, SourceError
from common.messages.base import MAX_ID
from common.observability.telemetry import configure_logging
from common.observability.tracing import tracing_or_exit
from common.runtime import run
from common.settings import load_or_exit
from common.settings_errors import EX_CONFIG, EX_TEMPFAIL
from common.tasks import time_limit

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

FAILED = 1
_SIGNED_LONGER_SECONDS = 300.0
_BUDGETS = 2
"""A task that waits for its backends ends after so many times SERVICE_TIMEOUT, and is started again."""


class TaskSettings(BaseSettings):
    """Which object the task is for."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    s3_bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")]
    s3_key: Annotated[str, Field(min_length=1, max_length=1024)]
    request_id: Annotated[str, Field(max_length=MAX_ID)] = ""


@dataclass(slots=True)
class Ending:
    """How the task ends: the exit code, and the line that says why it is not 0."""

    code: int = EX_TEMPFAIL
    why: str = "not finished: it was stopped"

    def note(self, code: int, error: AppError) -> None:
        """Note a failure."""
        self.code, self.why = code, f"{error.code}: {error.detail}"


def main() -> int:
    """Return the process's exit code."""
    settings = load_or_exit(AudioSettings, Path(".env")).model_copy(update={"num_workers": 1})
    task = load_or_exit(TaskSettings)
    configure_logging(settings.log_level, settings.log_format)
    ending = Ending()

    async def program(_: asyncio.Event) -> None:
        # A signal gives it DRAIN_SECONDS to finish; then it is cancelled, which gives its claim back.
        await bring_in(task, settings, ending)

    with tracing_or_exit(settings, "butakero-transcode"):
        code = run(program, drain=timedelta(seconds=settings.drain_seconds))
    if ending.code:
        sys.stderr.write(f"{address_of(task.s3_bucket, task.s3_key)}: {ending.why}\n")
    return code if code == EX_CONFIG else ending.code


async def bring_in(task: TaskSettings, settings: AudioSettings, ending: Ending) -> None:
    """Do the task's work and note how it ended. Raises AppError where only an operator can help."""
    seconds = settings.service_timeout * 60
    try:
        async with open_services(settings) as opened, open_s3(settings) as client:
            source = BucketSource(
                client, max_bytes=settings.max_download_bytes, signed_seconds=seconds + _SIGNED_LONGER_SECONDS
            )
            async with time_limit(_BUDGETS * seconds):
                await _work(task, replace(opened, source=source), client, ending)
    except TimeoutError:
        ending.why = f"not finished within {_BUDGETS} times SERVICE_TIMEOUT"
    except AppError as exc:
        final = isinstance(exc, SourceError) and not exc.retryable
        ending.note(FAILED if final else EX_TEMPFAIL, exc)
        if exc.needs_operator:
            raise


async def _work(task: TaskSettings, services: Services, client: S3Client, ending: Ending) -> None:
    request_id, media_id = task.request_id, ""
    if not request_id:
        found = await find_object(client, task.s3_bucket, task.s3_key)
        request_id, media_id = found.request_id, found.media_id
    request = request_for(address_of(task.s3_bucket, task.s3_key), request_id)
    last: list[AppError | None] = []

    async def attempt(job: DownloadJob, services: Services, progress: DownloadProgress) -> Outcome | None:
        outcome = await TRANSCODES.run(job, services, progress)
        last.append(None)
        return outcome

    async def fail(job: DownloadJob, services: Services, error: AppError) -> Outcome | None:
        last.append(error)
        return await TRANSCODES.fail(job, services, error)

    await run_single(services, replace(TRANSCODES, run=attempt, fail=fail), request)
    ending.code = 0
    if last and (error := last[-1]) is not None:
        ending.note(FAILED, error)
    elif not last and media_id:
        media = await services.repository.get(media_id)
        if media is not None and media.status is MediaStatus.ERROR:
            ending.code, ending.why = FAILED, f"{media.error_code}: answered before; put the object again for a new try"


if __name__ == "__main__":
    sys.exit(main())
