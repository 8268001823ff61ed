"""The two ways from a request to a song in the library: the audio service as a process of its own, and the reference.

Both are asked the same: `ask(*addresses)` gives the seconds from the first request to the last answer, and raises
when one of the songs was not made. `pid` is the process whose tree does the work.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from audio_service.settings import AudioSettings
from bench.songs import Songs
from common.messages.downloads import DownloadRequest
from common.tasks import time_limit
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.servers.system import ROOT, Client, open_audio_process, open_client, settings_for

ANSWER_SECONDS = 300.0
DEFAULT_LEASES: dict[str, float] = {
    name: AudioSettings.model_fields[name].default
    for name in ("lease_seconds", "broker_lease_seconds", "retry_base_seconds", "retry_max_seconds")
}
"""What a user has: the tests' own are short, to be waited for."""


class OpenOurs(Protocol):
    """Starts the service on some backends, in a directory of its own, and waits until it is ready."""

    def __call__(self, directory: Path, songs: Songs, **overrides: object) -> AbstractAsyncContextManager[Ours]:
        """Return what opens it; `overrides` are settings."""
        ...


class NotMadeError(Exception):
    """A song that should have been made was not; there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The audio service, and a client of its broker that asks and hears as the bot does."""

    pid: int
    client: Client
    url: str

    async def ask(self, *addresses: str) -> float:
        """Publish the requests, and return the seconds until every success was heard."""
        async with time_limit(ANSWER_SECONDS):
            began = time.perf_counter()
            requests = [await self.client.ask(address) for address in addresses]
            statuses = await self.client.all_of(request.request_id for request in requests)
            seconds = time.perf_counter() - began
        if bad := [status for status in statuses if not status.success]:
            raise NotMadeError(str(bad[0]))
        return seconds

    async def playable(self, request: DownloadRequest) -> str:
        """Wait until the song of a request can be heard, and return its id. One that is too quick never says so."""

        def told() -> str:
            events = (one for one in self.client.progress if one.request_id == request.request_id and one.playable)
            return next((event.video_id for event in events), "")

        async with time_limit(ANSWER_SECONDS), self.client.heard:
            return await self.client.heard.wait_for(told)


@dataclass(frozen=True, slots=True)
class Reference:
    """`bench.reference` as a process of its own."""

    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Of the script; what it starts are its children."""
        return self.process.pid

    async def ask(self, *addresses: str) -> float:
        """Write the addresses, and return the seconds until the last answer."""
        assert self.process.stdin is not None  # noqa: S101 - opened so
        assert self.process.stdout is not None  # noqa: S101 - opened so
        async with time_limit(ANSWER_SECONDS):
            began = time.perf_counter()
            self.process.stdin.write("".join(f"{address}\n" for address in addresses).encode())
            await self.process.stdin.drain()
            answers = [await self.process.stdout.readline() for _ in addresses]
            seconds = time.perf_counter() - began
        if not all(line and json.loads(line)["bytes"] for line in answers):
            raise NotMadeError("the reference script ended early")
        return seconds


def settings_of(directory: Path, songs: Songs, **overrides: object) -> AudioSettings:
    """Return the service's settings: embedded backends in `directory`, everything else as a user has it."""
    return settings_for(directory, songs.site.address, **{**DEFAULT_LEASES, "http_port": free_port(), **overrides})


@asynccontextmanager
async def open_ours(directory: Path, songs: Songs, **overrides: object) -> AsyncGenerator[Ours]:
    """Start the service on embedded backends and wait until it is ready."""
    await asyncio.to_thread(directory.mkdir)
    settings = settings_of(directory, songs, **overrides)
    async with open_client(settings) as client, open_audio_process(settings) as service:
        yield Ours(service.process.pid, client, service.url)


@asynccontextmanager
async def open_reference(directory: Path, *, at_once: int = 1) -> AsyncGenerator[Reference]:
    """Start the reference script; it is ready at once."""
    await asyncio.to_thread(directory.mkdir)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.reference", str(directory), str(at_once)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=child_environment(),
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    try:
        yield Reference(process)
    finally:
        process.stdin.close()
        await process.wait()


def have_reference() -> bool:
    """Whether the program that it needs is installed."""
    return shutil.which("ffmpeg") is not None
