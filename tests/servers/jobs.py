"""What the suite of the generic job needs of a kind of work: how it is asked for, its steps, and its client.

A kind fetches an address of the media site: holds, faults and the count of fetches are the site's, for all kinds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audio_service.bootstrap import open_services
from audio_service.pipelines.registry import Registry
from audio_service.services import Services
from audio_service.settings import AudioSettings
from audio_service.worker.pipeline import Pipeline
from audio_service.worker.worker import Worker
from common.broker import open_broker
from common.broker.base import Broker, Delivery, Message, dead_letter_topic
from common.messages.base import CORRELATION_ID
from tests.servers.media_site import MediaSite
from tests.servers.reaper import child_environment
from tests.servers.system import ROOT, ServiceProcess, answers, environment_of
from tests.waiting import patience, until

Watch = Callable[[Any, str], Any]
"""Wraps a port so that its calls are steps, under the given name; see `crashing_worker`."""


def unwatched(port: Any, _name: str) -> Any:  # noqa: ANN401 - any port
    """Leave a port as it is."""
    return port


class Kind(ABC):
    """A kind of work, as the suite sees it."""

    name: str
    program: str
    """Module that runs the service with this kind in its registry."""
    registry: str
    """`module:function` that makes the registry, given a Watch."""
    steps: tuple[str, ...]
    """The calls of an undisturbed job, in order, each named once."""
    stored: str
    """The step after which the work is not done again."""
    settled: str
    """The step after which no second status is published."""

    @abstractmethod
    def make_registry(self, watch: Watch = unwatched) -> Registry:
        """Return the pipelines, this kind's among them."""

    @abstractmethod
    def request(self, site: MediaSite, url: str) -> tuple[str, bytes]:
        """Return the id and the body of a request for what is at an address of the site."""

    @abstractmethod
    async def unfinished(self, settings: AudioSettings) -> list[str]:
        """Return the records that are not in a terminal state."""

    def pipeline(self) -> Pipeline[Any, Any]:
        """Return this kind's pipeline."""
        return self.make_registry()[self.name]


@dataclass(slots=True)
class JobClient:
    """Publishes requests of one kind, and receives every terminal status, in order."""

    kind: Kind
    site: MediaSite
    broker: Broker
    settings: AudioSettings
    group: str
    statuses: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def topic(self) -> str:
        """Where the requests go."""
        return self.kind.pipeline().request_topic(self.settings)

    async def ask(self, url: str, *, times: int = 1) -> str:
        """Publish a request `times` times; return its id."""
        request_id, body = self.kind.request(self.site, url)
        for _ in range(times):
            await self.publish(body, request_id)
        return request_id

    async def publish(self, body: bytes, correlation_id: str = "") -> None:
        """Publish a body as it is."""
        await self.broker.publish(self.topic, "key", body, {CORRELATION_ID: correlation_id, "schema_version": "1"})

    async def status(self, request_id: str) -> dict[str, Any]:
        """Wait for the first status of a request."""
        return (await self.all_of([request_id]))[0]

    async def all_of(self, request_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Wait until each request has a status; return the first of each."""
        wanted = list(request_ids)
        async with self.heard:
            await self.heard.wait_for(lambda: set(wanted) <= set(self.answers()))
        first = {status["request_id"]: status for status in reversed(self.statuses)}
        return [first[request_id] for request_id in wanted]

    def answers(self) -> Counter[str]:
        """Return how many statuses each request has so far."""
        return Counter(status["request_id"] for status in self.statuses)

    async def finished(self) -> None:
        """Wait until every request is acked, and every status that was published is in `statuses`."""
        pipeline = self.kind.pipeline()

        async def nothing_left() -> bool:
            requests = await self.broker.lag(self.topic, pipeline.group)
            return not requests and not await self.broker.lag(pipeline.status_topic(self.settings), self.group)

        await until(nothing_left)

    async def dead_letters(self) -> list[Message]:
        """Return the kind's dead letters."""
        return await self.broker.peek(dead_letter_topic(self.topic))


@asynccontextmanager
async def open_job_client(kind: Kind, site: MediaSite, settings: AudioSettings) -> AsyncGenerator[JobClient]:
    """Join the kind's status topic with a new group, from the beginning."""
    async with open_broker(settings) as broker, asyncio.TaskGroup() as tasks:
        client = JobClient(kind, site, broker, settings, f"client-{uuid.uuid4().hex[:8]}")
        joined = asyncio.Event()
        listener = tasks.create_task(_hear(client, joined))
        await joined.wait()
        yield client
        listener.cancel()


async def _hear(client: JobClient, joined: asyncio.Event) -> None:
    topic = client.kind.pipeline().status_topic(client.settings)
    seen: set[str] = set()
    async with client.broker.consume(topic, client.group, prefetch=20) as deliveries:
        joined.set()
        async for delivery in deliveries:
            # One that comes again, as its lease ran out here, is no second status.
            if delivery.message.position not in seen:
                seen.add(delivery.message.position)
                await _note(client, delivery)
            await delivery.ack()


async def _note(client: JobClient, delivery: Delivery) -> None:
    async with client.heard:
        client.statuses.append(json.loads(delivery.message.value))
        client.heard.notify_all()


@asynccontextmanager
async def open_job_worker(kind: Kind, settings: AudioSettings) -> AsyncGenerator[Services]:
    """Run the workers in this process; leaving drains them."""
    async with open_services(settings) as services:
        stop = asyncio.Event()
        work = asyncio.ensure_future(Worker(services, [kind.pipeline()]).run(stop))
        try:
            yield services
        finally:
            stop.set()
            await work


@asynccontextmanager
async def open_job_process(kind: Kind, settings: AudioSettings) -> AsyncGenerator[ServiceProcess]:
    """Run the service with this kind as a separate process, and wait until it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", kind.program, cwd=ROOT, env=child_environment(environment_of(settings))
    )
    service = ServiceProcess(process, f"http://{settings.http_host}:{settings.http_port}")
    try:
        await answers(process, f"{service.url}/readyz")
        yield service
    finally:
        await service.terminate()


async def run_until_killed(registry: str, settings: AudioSettings, step: str, trace: Path) -> int:
    """Run a worker that kills itself after `step` ("never": until it is terminated); return its exit code."""
    process = await start_crashing_worker(registry, settings, step, trace)
    try:
        async with asyncio.timeout(patience(60)):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def start_crashing_worker(
    registry: str, settings: AudioSettings, step: str, trace: Path
) -> asyncio.subprocess.Process:
    """Start `tests.servers.crashing_worker` with the pipelines of `registry`, `module:function`."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.servers.crashing_worker", registry, step, str(trace), cwd=ROOT,
        env=child_environment(environment_of(settings)),
    )  # fmt: skip
