"""The audio service for whole-system tests: settings in a temporary directory, workers in this process or in
separate ones, and a client that publishes and consumes as a bot does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from audio_service.bootstrap import open_services
from audio_service.pipelines.registry import chosen
from audio_service.services import Services
from audio_service.settings import AudioSettings
from audio_service.worker.worker import Worker
from common.broker import open_broker
from common.broker.base import Broker, Delivery
from common.errors import BrokerUnavailable
from common.messages.base import CORRELATION_ID, parse
from common.messages.downloads import DownloadRequest, ProgressEvent, StatusEvent
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.reaper import child_environment
from tests.waiting import until

ROOT = Path(__file__).parents[2]


def settings_for(directory: Path, *allowed: str, **overrides: Any) -> AudioSettings:  # noqa: ANN401 - any setting
    """Return settings that keep everything in `directory`, with short leases."""
    values: dict[str, Any] = {
        "embedded_broker_path": directory / "broker.db",
        "sqlite_path": directory / "library.db",
        "local_storage_path": directory / "storage",
        "temp_path": directory / "tmp",
        "network_allow": ",".join(allowed),
        "network_timeout_seconds": 3.0,
        "http_port": 0,
        "log_level": "warning",
        "lease_seconds": 1.0,
        "broker_lease_seconds": 1.0,
        "retry_base_seconds": 0.05,
        "retry_max_seconds": 0.1,
        **overrides,
    }
    return AudioSettings(**values)


def environment_of(settings: AudioSettings) -> dict[str, str]:
    """Return the environment that makes a process load the same settings."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    ours = {
        name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
        if value is not None
    }
    inherited = {"PATH", "HOME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    return {**{name: value for name, value in os.environ.items() if name in inherited}, **ours}


@dataclass(slots=True)
class Client:
    """Publishes requests, and receives every status and progress event, in order."""

    broker: Broker
    settings: AudioSettings
    group: str
    statuses: list[StatusEvent] = field(default_factory=list[StatusEvent])
    progress: list[ProgressEvent] = field(default_factory=list[ProgressEvent])
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def ask(self, song: str, *, provider: str = "youtube", times: int = 1, key: str = "key") -> DownloadRequest:
        """Publish a request `times` times. `key` chooses the partition, if the broker has them."""
        request = DownloadRequest.new(song, user_id="42", provider_type=provider)
        for _ in range(times):
            await self.publish(request.to_bytes(), request.request_id, key=key)
        return request

    async def publish(self, body: bytes, correlation_id: str = "", *, key: str = "key") -> None:
        """Publish a body as it is."""
        headers = {CORRELATION_ID: correlation_id, "schema_version": "1"}
        await self.broker.publish(self.settings.topic_download_requests, key, body, headers)

    async def status(self, request: DownloadRequest | str) -> StatusEvent:
        """Wait for the status of one request."""
        wanted = request if isinstance(request, str) else request.request_id
        return (await self.all_of([wanted]))[0]

    async def all_of(self, request_ids: Iterable[str]) -> list[StatusEvent]:
        """Wait until each of these requests has a status; return the first status of each."""
        wanted = list(request_ids)
        async with self.heard:
            await self.heard.wait_for(lambda: set(wanted) <= {status.request_id for status in self.statuses})
        first = {status.request_id: status for status in reversed(self.statuses)}
        return [first[request_id] for request_id in wanted]

    def answers(self) -> Counter[str]:
        """Return how many statuses each request got so far."""
        return Counter(status.request_id for status in self.statuses)

    async def drained(self) -> None:
        """Wait until the workers have finished every request."""

        async def finished() -> bool:
            return not await self.broker.lag(self.settings.topic_download_requests, "audio-workers")

        await until(finished)

    async def heard_all(self) -> None:
        """Wait until every status that was published is in `statuses`."""

        async def heard() -> bool:
            return not await self.broker.lag(self.settings.topic_download_status, self.group)

        await until(heard)


@asynccontextmanager
async def open_client(settings: AudioSettings) -> AsyncGenerator[Client]:
    """Join the status and progress topics with a new group, from the beginning."""
    async with open_broker(settings) as broker, asyncio.TaskGroup() as tasks:
        client = Client(broker, settings, f"client-{uuid.uuid4().hex[:8]}")
        ready = [asyncio.Event(), asyncio.Event()]

        async def hear(topic: str, joined: asyncio.Event) -> None:
            seen: set[str] = set()
            async with broker.consume(topic, client.group, prefetch=20) as deliveries:
                joined.set()
                async for delivery in deliveries:
                    if delivery.message.position not in seen:
                        seen.add(delivery.message.position)
                        async with client.heard:
                            if topic == settings.topic_download_status:
                                client.statuses.append(parse(StatusEvent, delivery.message.value))
                            else:
                                client.progress.append(parse(ProgressEvent, delivery.message.value))
                            client.heard.notify_all()
                    await _ack(delivery)

        listeners = [
            tasks.create_task(hear(settings.topic_download_status, ready[0])),
            tasks.create_task(hear(settings.topic_download_progress, ready[1])),
        ]
        for joined in ready:
            await joined.wait()
        yield client
        for listener in listeners:
            listener.cancel()


async def _ack(delivery: Delivery) -> None:
    """Ack, waiting for the broker without a limit. A redelivery for that reason is a duplicate."""

    async def acked() -> bool:
        try:
            await delivery.ack()
        except BrokerUnavailable:
            return False
        return True

    await until(acked, seconds=None)


@asynccontextmanager
async def open_worker(settings: AudioSettings) -> AsyncGenerator[Services]:
    """Run the workers in this process; leaving drains them."""
    async with open_services(settings) as services:
        stop = asyncio.Event()
        work = asyncio.ensure_future(Worker(services, chosen(settings.pipelines)).run(stop))
        try:
            yield services
        finally:
            stop.set()
            await work


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """`python -m audio_service`, or the bot, as a separate process. `url` is its HTTP server's."""

    process: asyncio.subprocess.Process
    url: str

    def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()


@asynccontextmanager
async def open_audio_process(
    settings: AudioSettings, *, probe: Literal["readyz", "livez"] = "readyz"
) -> AsyncGenerator[ServiceProcess]:
    """Start the service and wait until it is ready (or alive); stop it afterwards if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "audio_service", cwd=ROOT, env=child_environment(environment_of(settings))
    )
    audio = ServiceProcess(process, f"http://{settings.http_host}:{settings.http_port}")
    try:
        await answers(process, f"{audio.url}/{probe}")
        yield audio
    finally:
        await audio.terminate()


async def answers(process: asyncio.subprocess.Process, url: str) -> None:
    """Wait until a started program answers with a success at `url`; fails at once when it has ended."""

    async def well() -> bool:
        assert process.returncode is None, f"it ended with {process.returncode}"
        try:
            return (await http.get(url)).is_success
        except httpx.TransportError:
            return False

    async with httpx.AsyncClient(trust_env=False) as http:
        await until(well)


@dataclass(frozen=True, slots=True)
class System:
    """A running service, a client of it, and a site that it may fetch from."""

    site: MediaSite
    client: Client
    services: Services


@asynccontextmanager
async def open_system(directory: Path, *allowed: str, **overrides: Any) -> AsyncGenerator[System]:  # noqa: ANN401 - any setting
    """Open all three; the site serves `files` in `directory`."""
    files = directory / "files"
    await asyncio.to_thread(files.mkdir)
    async with open_media_site(files) as site:
        settings = settings_for(directory, site.address, *allowed, **overrides)
        async with open_client(settings) as client, open_worker(settings) as services:
            yield System(site, client, services)
