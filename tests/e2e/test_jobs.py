"""The generic job: what every kind of work may count on, whatever is delivered twice, fails, or dies.

Each test runs on the product's downloads and on a made-up kind that is registered from a test module alone.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from tests.e2e.crash_matrix import table_of
from tests.e2e.downloads import Downloads
from tests.e2e.measuring import Measuring
from tests.reporting import Table
from tests.servers.aws_system import aws_settings
from tests.servers.clustered import Clustered
from tests.servers.emulators import Emulator
from tests.servers.jobs import (
    JobClient,
    Kind,
    open_job_client,
    open_job_process,
    open_job_worker,
    run_until_killed,
    start_crashing_worker,
)
from tests.servers.kafka import Kafka
from tests.servers.media_site import MediaSite
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.ports import free_port
from tests.servers.system import settings_for

OpenSettings = Callable[[str], AbstractAsyncContextManager[AudioSettings]]

PARALLEL = 4


@pytest.fixture(params=[Downloads(), Measuring()], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


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


def add_file(site: MediaSite, name: str) -> Path:
    """Give the site one more file, so that its fetches are counted apart."""
    file = site.directory / f"{name}.webm"
    file.write_bytes(next(site.directory.glob("*opus*")).read_bytes())
    return file


def fetches(site: MediaSite, file: Path) -> int:
    return site.gets[site.file_path(file)]


def left_behind(settings: AudioSettings) -> list[Path]:
    return [path for path in settings.temp_path.rglob("*") if path.is_file() and path.name != ".sweep"]


async def test_every_delivery_twice_and_reordered_is_done_once_and_answered_once(
    tmp_path: Path, site: MediaSite, kind: Kind
) -> None:
    await deliver_twice(kind, site, settings_for(tmp_path, site.address, num_workers=4))


async def test_every_delivery_twice_on_aws_is_done_once_and_answered_once(
    tmp_path: Path, ministack: Emulator, seaweedfs: Emulator, site: MediaSite
) -> None:
    async with aws_settings(tmp_path, site, ministack, seaweedfs, num_workers=4) as settings:
        await deliver_twice(Downloads(), site, settings)


async def deliver_twice(kind: Kind, site: MediaSite, settings: AudioSettings) -> None:
    """Ask for each of five files by two requests, each of them published twice, in any order."""
    files = [add_file(site, f"file-{number}") for number in range(5)]
    requests = [kind.request(site, site.file(file)) for file in files for _ in range(2)]
    deliveries = [request for request in requests for _ in range(2)]
    random.shuffle(deliveries)
    async with open_job_client(kind, site, settings) as client:
        for request_id, body in deliveries:
            await client.publish(body, request_id)
        async with open_job_worker(kind, settings):
            statuses = await client.all_of(request_id for request_id, _ in requests)
            await client.finished()
        assert all(status["success"] for status in statuses), statuses
        assert client.answers() == {request_id: 1 for request_id, _ in requests}
    assert [fetches(site, file) for file in files] == [1] * len(files)
    assert not await kind.unfinished(settings)


async def test_a_failure_that_may_pass_is_retried_and_costs_no_second_status(
    tmp_path: Path, site: MediaSite, kind: Kind
) -> None:
    settings = settings_for(tmp_path, site.address)
    file = add_file(site, "busy")
    async with open_job_client(kind, site, settings) as client, open_job_worker(kind, settings) as services:
        request = await client.ask(site.file(file, fail=503, times=2))
        assert (await client.status(request))["success"]
        await client.finished()
        assert client.answers() == {request: 1}
        labels = {"pipeline": kind.name, "error_code": "source_unavailable"}
        retries = services.registry.get_sample_value("butakero_retries_total", labels)
        assert not await client.dead_letters()
    # At least one of the two failures ended an attempt: a source may try again within one.
    assert (retries or 0) >= 1
    assert fetches(site, file) >= 3


async def test_a_failure_that_never_passes_is_told_at_once_and_archived_nowhere(
    tmp_path: Path, site: MediaSite, kind: Kind
) -> None:
    settings = settings_for(tmp_path, site.address)
    async with open_job_client(kind, site, settings) as client, open_job_worker(kind, settings):
        request = await client.ask(site.to("/files/missing.webm"))
        status = await client.status(request)
        await client.finished()
        assert (status["success"], status["error_code"]) == (False, "media_not_found")
        assert client.answers() == {request: 1}
        assert not await client.dead_letters()
    assert not await kind.unfinished(settings)


async def test_exhausted_attempts_end_with_a_status_and_a_dead_letter(
    tmp_path: Path, site: MediaSite, kind: Kind
) -> None:
    settings = settings_for(tmp_path, site.address, service_max_attempts=2)
    async with open_job_client(kind, site, settings) as client, open_job_worker(kind, settings):
        request = await client.ask(site.file(add_file(site, "never"), fail=503))
        status = await client.status(request)
        await client.finished()
        assert (status["success"], status["error_code"]) == (False, "source_unavailable")
        assert client.answers() == {request: 1}
        [letter] = await client.dead_letters()
    assert letter.headers["correlation_id"] == request
    assert {name: letter.headers[name] for name in ("error_code", "origin_topic", "attempt")} == {
        "error_code": "source_unavailable",
        "origin_topic": client.topic,
        "attempt": "2",
    }
    assert not await kind.unfinished(settings)


async def test_a_message_that_does_not_parse_is_a_dead_letter_and_its_sender_is_answered(
    tmp_path: Path, site: MediaSite, kind: Kind
) -> None:
    settings = settings_for(tmp_path, site.address)
    async with open_job_client(kind, site, settings) as client, open_job_worker(kind, settings):
        await client.publish(b"\xff")
        await client.publish(b'{"request_id": "half"}')
        await client.publish(b"{", "from-the-headers")
        behind = await client.ask(site.file(add_file(site, "behind")))
        await client.all_of(["half", "from-the-headers", behind])
        await client.finished()
        assert {status["request_id"]: status.get("error_code") for status in client.statuses} == {
            "half": "invalid_message",
            "from-the-headers": "invalid_message",
            behind: None,
        }
        assert [letter.headers["error_code"] for letter in await client.dead_letters()] == ["invalid_message"] * 3


async def test_sigterm_lets_a_job_finish(tmp_path: Path, site: MediaSite, kind: Kind) -> None:
    settings = settings_for(tmp_path, site.address, http_port=free_port(), pipelines=kind.name)
    file = add_file(site, "slow")
    async with open_job_client(kind, site, settings) as client, open_job_process(kind, settings) as service:
        request = await client.ask(site.file(file, hold=1000))
        await site.gate().reached.wait()
        service.process.terminate()
        site.gate().release()
        assert (await client.status(request))["success"]
        assert await service.process.wait() == 0
    assert fetches(site, file) == 1


async def test_sigterm_hands_back_a_job_that_does_not_finish_in_time(
    tmp_path: Path, site: MediaSite, kind: Kind
) -> None:
    settings = settings_for(tmp_path, site.address, http_port=free_port(), drain_seconds=0.3, pipelines=kind.name)
    file = add_file(site, "stuck")
    async with open_job_client(kind, site, settings) as client:
        async with open_job_process(kind, settings) as service:
            request = await client.ask(site.file(file, hold=1000))
            await site.gate().reached.wait()
            assert await service.terminate() == 0
            assert not client.statuses
        assert not left_behind(settings)
        site.gate().release()
        async with open_job_worker(kind, settings):
            assert (await client.status(request))["success"]
    # The first, broken off, and the one that finished.
    assert fetches(site, file) == 2


async def test_the_steps_are_those_of_an_undisturbed_job(
    open_settings: OpenSettings, site: MediaSite, kind: Kind
) -> None:
    async with open_settings("undisturbed") as settings, open_job_client(kind, site, settings) as client:
        trace = settings.local_storage_path.parent / "trace"
        request = await client.ask(site.file(add_file(site, "undisturbed")))
        process = await start_crashing_worker(kind.registry, settings, "never", trace)
        await client.status(request)
        await client.finished()
        process.terminate()
        assert await process.wait() == 0
    assert tuple(dict.fromkeys(trace.read_text().split())) == kind.steps


async def test_a_worker_killed_after_any_step_is_followed_by_one_that_finishes(
    open_settings: OpenSettings, site: MediaSite, kind: Kind, tables: list[Table]
) -> None:
    await kill_after_each_step(open_settings, site, kind, tables)


async def test_a_worker_killed_after_any_step_on_aws_is_followed_by_one_that_finishes(
    tmp_path: Path, ministack: Emulator, seaweedfs: Emulator, site: MediaSite, tables: list[Table]
) -> None:
    @asynccontextmanager
    async def opened(name: str) -> AsyncGenerator[AudioSettings]:
        directory = tmp_path / name
        directory.mkdir()
        async with aws_settings(directory, site, ministack, seaweedfs, num_workers=1) as settings:
            yield settings

    await kill_after_each_step(opened, site, Downloads(), tables)


async def kill_after_each_step(open_settings: OpenSettings, site: MediaSite, kind: Kind, tables: list[Table]) -> None:
    """Run one case for each step of the kind, some at a time."""
    limit = asyncio.Semaphore(PARALLEL)

    async def case(number: int, step: str) -> None:
        async with limit, open_settings(f"case-{number}") as settings:
            await crash_and_recover(kind, step, settings, site, tables)

    async with asyncio.TaskGroup() as cases:
        for number, step in enumerate(kind.steps):
            cases.create_task(case(number, step))


async def crash_and_recover(
    kind: Kind, step: str, settings: AudioSettings, site: MediaSite, tables: list[Table]
) -> None:
    """Kill one worker after `step`, let another one finish, and look at everything that is left."""
    directory = settings.local_storage_path.parent
    file = add_file(site, directory.name)
    async with open_job_client(kind, site, settings) as client:
        request = await client.ask(site.file(file))
        assert await run_until_killed(kind.registry, settings, step, directory / "trace") == -signal.SIGKILL, step
        killed = time.monotonic()
        async with open_job_worker(kind, settings):
            status = await client.status(request)
            seconds = time.monotonic() - killed
            await client.finished()
        assert status["success"], (step, status)
        row = await judge(client, step, file, request)
        table_of(tables).rows.append((*row, f"{seconds:.1f}"))
    assert not left_behind(settings), step


async def judge(client: JobClient, step: str, file: Path, request: str) -> tuple[str, ...]:
    """Count what is left, and fail unless it is what a death after this step may cost; return the table's row."""
    kind, settings = client.kind, client.settings
    done = kind.steps[: kind.steps.index(step) + 1]
    # A second status is possible only when the first was out and not yet settled.
    expected = int("broker.publish:status" in done and kind.settled not in done)
    duplicates = client.answers()[request] - 1
    downloads = fetches(client.site, file)
    stuck = await kind.unfinished(settings)
    assert set(client.answers()) == {request}, step
    assert duplicates == expected, (step, client.answers())
    assert downloads in ({1} if kind.stored in done else {1, 2}), (step, downloads)
    assert not stuck, (step, stuck)
    counts = (1, duplicates + 1, expected, duplicates, 1, downloads, len(stuck))
    backends = f"{settings.messaging_backend}, {settings.database_backend}"
    return (f"{kind.name} worker after {step}", backends, *(str(count) for count in counts))


async def test_a_crash_of_the_consumer_loop_ends_the_process_non_zero(
    tmp_path: Path, site: MediaSite, kind: Kind
) -> None:
    settings = settings_for(tmp_path, site.address)
    assert await run_until_killed(kind.registry, settings, "raise", tmp_path / "trace") == 1
