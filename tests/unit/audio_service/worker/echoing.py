"""A pipeline without records: it does what the request says, and counts how often it ran."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from audio_service.services import Services
from audio_service.worker.pipeline import HandBack, Job, Outcome, Pipeline, TerminalStatus
from audio_service.worker.progress import ProgressFeed
from audio_service.worker.worker import Worker
from common.errors import AppError, LeaseLost, MediaNotFound, SourceUnavailable
from common.messages.base import JobRequest, Salvaged, WireModel, parse


class EchoRequest(JobRequest):
    """Says what becomes of it."""

    order: str = "echo"
    user_id: str = ""

    @property
    def requester(self) -> str:
        """See JobRequest."""
        return self.user_id


class EchoStatus(WireModel):
    """The terminal status."""

    request_id: str
    error_code: str = ""


class EchoProgress(ProgressFeed):
    """Publishes nothing."""

    def __init__(self, _job: Job[EchoRequest], services: Services) -> None:
        super().__init__("echoing", services.metrics.stage_seconds)

    async def publish(self) -> None:
        """See ProgressFeed."""


@dataclass(slots=True)
class Echo:
    """One such pipeline, on topics of its name, and what it saw."""

    name: str
    runs: list[str] = field(default_factory=list[str])
    jobs: list[Job[EchoRequest]] = field(default_factory=list[Job[EchoRequest]])
    deadlines: list[float] = field(default_factory=list[float])
    running: int = 0
    most: int = 0
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    yielded: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    renewed: asyncio.Event = field(default_factory=asyncio.Event)
    leases: list[timedelta] = field(default_factory=list[timedelta])
    late: list[str] = field(default_factory=list[str])
    """Requests that settling finds on the waiting list."""

    async def renew(self, _record_id: str, _fence: int, lease: timedelta, /) -> None:
        """See ClaimedRecords."""
        self.leases.append(lease)
        self.renewed.set()

    async def yield_claim(self, record_id: str, fence: int, /) -> None:
        """See ClaimedRecords."""
        self.yielded.append((record_id, fence))

    @property
    def pipeline(self) -> Pipeline[Any, Any]:
        """What the worker is given."""
        return Pipeline(
            name=self.name,
            group="workers",
            request=EchoRequest,
            request_topic=lambda _: f"{self.name}.requests",
            status_topic=lambda _: f"{self.name}.status",
            answer_topics=lambda _: (f"{self.name}.status",),
            records=lambda _: self,
            progress=EchoProgress,
            run=self._run,
            fail=self._fail,
            refusal=self._refusal,
        )

    async def ask(self, services: Services, order: str = "echo", *, request_id: str = "", user: str = "") -> str:
        """Publish a request."""
        request = EchoRequest(request_id=request_id or str(uuid.uuid4()), order=order, user_id=user)
        await services.broker.publish(f"{self.name}.requests", "key", request.to_bytes(), {})
        return request.request_id

    async def statuses(self, services: Services) -> list[tuple[str, str]]:
        """Return (request id, error code) of every status so far."""
        messages = await services.broker.peek(f"{self.name}.status")
        return [(status.request_id, status.error_code) for status in (parse(EchoStatus, m.value) for m in messages)]

    async def finished(self, services: Services) -> bool:
        """Whether every request is acked or rejected."""
        return not await services.broker.lag(f"{self.name}.requests", "workers")

    async def _run(self, job: Job[EchoRequest], _services: Services, _progress: EchoProgress) -> Outcome | None:
        self.runs.append(job.request.request_id)
        self.jobs.append(job)
        self.deadlines.append(job.deadline_seconds)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._obey(job)
        finally:
            self.running -= 1

    async def _obey(self, job: Job[EchoRequest]) -> Outcome | None:
        request_id, first = job.request.request_id, self.runs.count(job.request.request_id) == 1
        match job.request.order:
            case "wait":
                job.record_id, job.fence = "record", 7
                self.entered.set()
                await self.gate.wait()
            case "unavailable once" if first:
                job.record_id, job.fence = "record", 7
                raise SourceUnavailable("once")
            case "unavailable":
                raise SourceUnavailable("always")
            case "missing":
                raise MediaNotFound("never")
            case "defect":
                raise ValueError("a bug")
            case "not mine once" if first:
                raise HandBack("elsewhere", timedelta(0))
            case "lease lost once" if first:
                raise LeaseLost("record")
            case "joined":
                return None
            case "waiting list":
                job.record_id, job.fence = "record", 7
                return Outcome([self._status(request_id)], self._settle)
            case _:
                pass
        return Outcome([self._status(request_id)])

    async def _fail(self, job: Job[EchoRequest], _services: Services, error: AppError) -> Outcome:
        return Outcome([self._status(job.request.request_id, error.code)])

    def _refusal(self, salvaged: Salvaged, _services: Services, error: AppError) -> TerminalStatus:
        return self._status(salvaged.request_id, error.code)

    async def _settle(self, _answered: object) -> list[TerminalStatus]:
        late, self.late = self.late, []
        return [self._status(request_id) for request_id in late]

    def _status(self, request_id: str, error_code: str = "") -> TerminalStatus:
        status = EchoStatus(request_id=request_id, error_code=error_code)
        return TerminalStatus(request_id, request_id, status, error_code)


@asynccontextmanager
async def working(services: Services, *echoes: Echo) -> AsyncGenerator[asyncio.Event]:
    """Run a worker that serves these pipelines; yield its stop event. Leaving drains it."""
    stop = asyncio.Event()
    work = asyncio.ensure_future(Worker(services, [echo.pipeline for echo in echoes]).run(stop))
    try:
        yield stop
    finally:
        stop.set()
        for echo in echoes:
            echo.gate.set()
        await work
