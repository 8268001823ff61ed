"""`kill -9` of the worker after every step of a request's way: the next worker answers, and stored work is kept."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from tests.e2e.crash_matrix import Case, Expected
from tests.reporting import Table
from tests.servers.clustered import Clustered
from tests.servers.kafka import Kafka
from tests.servers.media_site import MediaSite
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.system import ROOT, environment_of, open_client, open_worker, settings_for

OpenSettings = Callable[[str], AbstractAsyncContextManager[AudioSettings]]

PARALLEL = 4
STEPS = (
    "broker.deliver",
    "repository.is_answered",
    "repository.acquire:request",
    "repository.waits_for",
    "repository.recall",
    "repository.acquire:resolve",
    "source.resolve",
    "repository.remember",
    "repository.surrender:resolve",
    "repository.claim",
    "children.call",
    "blobs.put",
    "repository.mark_success",
    "broker.publish:status",
    "repository.settle",
    "delivery.ack",
    "repository.surrender:request",
)


async def run_until_killed(settings: AudioSettings, step: str, trace: Path) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.servers.crashing_worker", step, str(trace), cwd=ROOT,
        env=environment_of(settings),
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def add_song(site: MediaSite, name: str) -> Path:
    """Give the site one more file, so that its downloads are counted apart."""
    song = site.directory / f"{name}.webm"
    song.write_bytes(next(site.directory.glob("*opus*")).read_bytes())
    return song


@pytest.fixture(params=["embedded", "kafka and mongodb"])
def open_settings(request: pytest.FixtureRequest, tmp_path: Path, site: MediaSite) -> OpenSettings:
    """Open settings by name: of one system after the other, each with everything of its own."""
    servers: tuple[Kafka, Mongo] | None = None
    if request.param != "embedded":
        servers = request.getfixturevalue("kafka"), request.getfixturevalue("mongo")

    @asynccontextmanager
    async def opened(name: str) -> AsyncGenerator[AudioSettings]:
        directory = tmp_path / name
        directory.mkdir()
        if servers is None:
            yield settings_for(directory, site.address, num_workers=1)
            return
        kafka, mongo = servers
        async with fresh_database(mongo) as database:
            yield Clustered(directory, site, kafka, mongo, database).settings(num_workers=1, kafka_partitions=2)

    return opened


async def test_the_steps_are_those_of_a_requests_way(open_settings: OpenSettings, site: MediaSite) -> None:
    async with open_settings("undisturbed") as settings, open_client(settings) as client:
        trace = settings.local_storage_path.parent / "trace"
        request = await client.ask(site.page(site.file(add_song(site, "undisturbed"))))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.servers.crashing_worker", "never", str(trace), cwd=ROOT,
            env=environment_of(settings),
        )  # fmt: skip
        await client.status(request)
        await client.drained()
        process.terminate()
        assert await process.wait() == 0
    assert tuple(dict.fromkeys(trace.read_text().split())) == STEPS


async def crash_and_recover(step: str, settings: AudioSettings, site: MediaSite, tables: list[Table]) -> None:
    """Kill one worker after `step`, let another one finish, and look at everything that is left."""
    directory = settings.local_storage_path.parent
    song = add_song(site, directory.name)
    async with open_client(settings) as client:
        request = await client.ask(site.page(site.file(song)))
        assert await run_until_killed(settings, step, directory / "trace") == -signal.SIGKILL, step
        killed = time.monotonic()
        async with open_worker(settings) as services:
            status = await client.status(request)
            seconds = time.monotonic() - killed
            await client.drained()
            assert status.success, (step, status)
            media = await services.repository.get(status.video_id)
            assert media is not None, step
            assert (await services.blobs.stat(status.file_data.file_path)).size == media.size_bytes, step
        case = Case(f"worker after {step}", settings, site, [song], [request.request_id])
        await case.judge(client, tables, expected=expected_after(step), seconds=seconds)
    left = [path for path in settings.temp_path.rglob("*") if path.is_file() and path.name != ".sweep"]
    assert not left, (step, left)


def expected_after(step: str) -> Expected:
    """Say what a death after this step costs."""
    done = STEPS[: STEPS.index(step) + 1]
    # A second status is possible only when the first was out and not yet settled.
    unsettled = "broker.publish:status" in done and "repository.settle" not in done
    return Expected(duplicates=int(unsettled), downloads={1} if "blobs.put" in done else {1, 2})


async def test_a_worker_killed_after_any_step_is_followed_by_one_that_finishes(
    open_settings: OpenSettings, site: MediaSite, tables: list[Table]
) -> None:
    limit = asyncio.Semaphore(PARALLEL)

    async def case(number: int, step: str) -> None:
        async with limit, open_settings(f"case-{number}") as settings:
            await crash_and_recover(step, settings, site, tables)

    async with asyncio.TaskGroup() as cases:
        for number, step in enumerate(STEPS):
            cases.create_task(case(number, step))


async def test_a_crash_of_the_consumer_loop_ends_the_process_non_zero(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    assert await run_until_killed(settings, "raise", tmp_path / "trace") == 1
