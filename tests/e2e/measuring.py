"""A made-up kind of work: fetch an address and record how many bytes are there. Nothing of it is known outside.

It has a message, a record with claims and fencing in a SQLite file, and a status of its own. `python -m
tests.e2e.measuring` runs the service with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx

from audio_service.__main__ import main
from audio_service.pipelines.registry import PIPELINES, Registry
from audio_service.services import Services
from audio_service.settings import AudioSettings
from audio_service.worker.pipeline import HandBack, Job, Outcome, Pipeline, TerminalStatus
from audio_service.worker.progress import ProgressFeed
from common.errors import AppError, LeaseLost, MediaNotFound, SourceUnavailable
from common.messages.base import JobRequest, Salvaged, WireModel
from common.observability.telemetry import outgoing_headers
from tests.servers.jobs import Kind, Watch, unwatched
from tests.servers.media_site import MediaSite

T = TypeVar("T")


class MeasureRequest(JobRequest):
    """Asks how many bytes are at an address."""

    url: str


class MeasureStatus(WireModel):
    """The terminal status."""

    request_id: str
    success: bool
    size: int | None = None
    error_code: str | None = None


class Measurements:
    """The records: an address's size, claimed with a fencing token while it is measured."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def claim(self, record_id: str, holder: str, lease: timedelta) -> tuple[int, int | None]:
        """Return (fence, size): a size means that it was measured. Raises HandBack while another request has it."""

        def step(db: sqlite3.Connection) -> tuple[int, int | None]:
            db.execute("INSERT OR IGNORE INTO measured VALUES (?, 0, '', 0, NULL, NULL)", (record_id,))
            fence, owner, until, size = db.execute(
                "SELECT fence, holder, until, size FROM measured WHERE id = ?", (record_id,)
            ).fetchone()
            if size is not None:
                return fence, size
            if owner != holder and until > time.time():
                raise HandBack("measured_elsewhere", timedelta(seconds=until - time.time()))
            db.execute(
                "UPDATE measured SET fence = ?, holder = ?, until = ?, error = NULL WHERE id = ?",
                (fence + 1, holder, time.time() + lease.total_seconds(), record_id),
            )
            return fence + 1, None

        return await self._in_transaction(step)

    async def renew(self, record_id: str, fence: int, lease: timedelta) -> None:
        """Extend a claim. Raises LeaseLost when a newer fence exists."""
        await self._guarded(record_id, fence, "until = ?", time.time() + lease.total_seconds())

    async def yield_claim(self, record_id: str, fence: int) -> None:
        """End a claim's lease."""
        await self._in_transaction(
            lambda db: db.execute("UPDATE measured SET until = 0 WHERE id = ? AND fence = ?", (record_id, fence))
        )

    async def finish(self, record_id: str, fence: int, size: int) -> None:
        """Record the size. Raises LeaseLost when a newer fence exists."""
        await self._guarded(record_id, fence, "size = ?", size)

    async def fail(self, record_id: str, code: str) -> None:
        """Record why there is no size."""
        await self._in_transaction(
            lambda db: db.execute(
                "INSERT INTO measured VALUES (?, 1, '', 0, NULL, ?) "
                "ON CONFLICT (id) DO UPDATE SET error = excluded.error",
                (record_id, code),
            )
        )

    async def unfinished(self) -> list[str]:
        """Return the records with neither size nor error."""
        rows = await self._in_transaction(
            lambda db: db.execute("SELECT id FROM measured WHERE size IS NULL AND error IS NULL").fetchall()
        )
        return [row[0] for row in rows]

    async def _guarded(self, record_id: str, fence: int, change: str, value: float) -> None:
        def step(db: sqlite3.Connection) -> None:
            changed = db.execute(
                f"UPDATE measured SET {change} WHERE id = ? AND fence = ?",  # noqa: S608 - names come from this module
                (value, record_id, fence),
            )
            if not changed.rowcount:
                raise LeaseLost(record_id)

        await self._in_transaction(step)

    async def _in_transaction(self, step: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(
                    "CREATE TABLE IF NOT EXISTS measured "
                    "(id TEXT PRIMARY KEY, fence INT, holder TEXT, until REAL, size INT, error TEXT)"
                )
                result = step(db)
                db.execute("COMMIT")
                return result

        return await asyncio.to_thread(run)


class MeasureProgress(ProgressFeed):
    """Publishes the stage's name."""

    def __init__(self, job: Job[MeasureRequest], services: Services) -> None:
        super().__init__("measuring", services.metrics.stage_seconds)
        self._request_id = job.request.request_id
        self._services = services

    async def publish(self) -> None:
        """See ProgressFeed."""
        topic = topic_of(self._services.settings, "progress")
        await self._services.broker.publish(topic, self._request_id, b"{}", outgoing_headers())


def topic_of(settings: AudioSettings, what: str) -> str:
    """Return a topic's name, different for each system under test."""
    return f"{settings.topic_download_requests}.measure.{what}"


def records_of(settings: AudioSettings) -> Measurements:
    """Return the records of a system."""
    return Measurements(settings.local_storage_path.parent / "measured.db")


def status_of(request_id: str, *, size: int | None = None, error_code: str = "") -> TerminalStatus:
    """Return a terminal status; without an error code it is a success."""
    status = MeasureStatus(request_id=request_id, success=not error_code, size=size, error_code=error_code or None)
    return TerminalStatus(request_id, request_id, status, error_code)


def record_id_of(request: MeasureRequest) -> str:
    """Return the id of an address's record."""
    return hashlib.sha256(request.url.encode()).hexdigest()


async def size_at(url: str) -> int:
    """Fetch an address. Raises MediaNotFound, or SourceUnavailable, which is retryable."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        try:
            answer = await http.get(url)
        except httpx.TransportError as exc:
            raise SourceUnavailable(repr(exc)) from exc
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise MediaNotFound(url)
    if not answer.is_success:
        raise SourceUnavailable(str(answer.status_code))
    return len(answer.content)


def registry(watch: Watch = unwatched) -> Registry:
    """Return the product's pipelines and this one."""

    def records(services: Services) -> Measurements:
        return watch(records_of(services.settings), "records")

    async def measure(job: Job[MeasureRequest], services: Services, progress: MeasureProgress) -> Outcome:
        request = job.request
        job.record_id = record_id_of(request)
        lease = timedelta(seconds=services.settings.lease_seconds)
        fence, size = await records(services).claim(job.record_id, request.request_id, lease)
        if size is None:
            job.fence = fence
            progress.changed("fetching")
            size = await size_at(request.url)
            await records(services).finish(job.record_id, fence, size)
        return Outcome([status_of(request.request_id, size=size)])

    async def fail(job: Job[MeasureRequest], services: Services, error: AppError) -> Outcome:
        await records(services).fail(record_id_of(job.request), error.code)
        return Outcome([status_of(job.request.request_id, error_code=error.code)])

    def refusal(salvaged: Salvaged, _services: Services, error: AppError) -> TerminalStatus:
        return status_of(salvaged.request_id, error_code=error.code)

    pipeline: Pipeline[Any, Any] = Pipeline(
        name="measure",
        group="measurers",
        request=MeasureRequest,
        request_topic=lambda settings: topic_of(settings, "requests"),
        status_topic=lambda settings: topic_of(settings, "status"),
        answer_topics=lambda settings: (topic_of(settings, "status"),),
        records=records,
        progress=MeasureProgress,
        run=measure,
        fail=fail,
        refusal=refusal,
    )
    return {**PIPELINES, "measure": pipeline}


class Measuring(Kind):
    """The made-up kind, as the suite of the generic job sees it."""

    name = "measure"
    program = "tests.e2e.measuring"
    registry = "tests.e2e.measuring:registry"
    steps = (
        "broker.deliver",
        "repository.is_answered",
        "repository.acquire:request",
        "records.claim",
        "records.finish",
        "broker.publish:status",
        "repository.mark_answered",
        "delivery.ack",
        "repository.surrender:request",
    )
    stored = "records.finish"
    settled = "repository.mark_answered"

    def make_registry(self, watch: Watch = unwatched) -> Registry:
        """See the port."""
        return registry(watch)

    def request(self, site: MediaSite, url: str) -> tuple[str, bytes]:
        """Ask for the size of the address itself."""
        assert url.startswith(site.url)
        request = MeasureRequest(request_id=str(uuid.uuid4()), url=url)
        return request.request_id, request.to_bytes()

    async def unfinished(self, settings: AudioSettings) -> list[str]:
        """Records with neither size nor error."""
        return await records_of(settings).unfinished()


if __name__ == "__main__":
    sys.exit(main(registry()))
