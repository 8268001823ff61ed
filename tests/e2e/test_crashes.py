"""`kill -9` of the worker after every step of a request's way: the next worker answers, and stored work is kept."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from audio_service.settings import AudioSettings
from tests.servers.media_site import MediaSite
from tests.servers.system import ROOT, environment_of, open_client, open_worker, settings_for

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


async def trace_of_an_undisturbed_run(directory: Path, site: MediaSite) -> list[str]:
    directory.mkdir()
    settings = settings_for(directory, site.address, num_workers=1)
    trace = directory / "trace"
    async with open_client(settings) as client:
        request = await client.ask(site.page(site.file(add_song(site, "undisturbed"))))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.servers.crashing_worker", "never", str(trace), cwd=ROOT,
            env=environment_of(settings),
        )  # fmt: skip
        await client.status(request)
        await client.drained()
        process.terminate()
        assert await process.wait() == 0
    return trace.read_text().split()


async def crash_and_recover(step: str, directory: Path, site: MediaSite) -> None:
    """Kill one worker after `step`, let another one finish, and look at everything that is left."""
    directory.mkdir()
    case = f"killed after {step}"
    done = STEPS[: STEPS.index(step) + 1]
    settings = settings_for(directory, site.address, num_workers=1)
    song = add_song(site, directory.name)
    async with open_client(settings) as client:
        request = await client.ask(site.page(site.file(song)))
        assert await run_until_killed(settings, step, directory / "trace") == -signal.SIGKILL, step
        async with open_worker(settings) as services:
            status = await client.status(request)
            await client.drained()
            assert status.success, (case, status)
            media = await services.repository.get(status.video_id)
            assert media is not None, case
            assert media.status == "success", case
            assert (await services.blobs.stat(status.file_data.file_path)).size == media.size_bytes, case
    was_stored = "blobs.put" in done
    assert site.gets[site.file_path(song)] == 1 if was_stored else site.gets[site.file_path(song)] in {1, 2}, case
    # A second status is possible only when the first was out and not yet settled.
    unsettled = "broker.publish:status" in done and "repository.settle" not in done
    assert client.answers()[request.request_id] == (2 if unsettled else 1), case
    left = [path for path in (directory / "tmp").rglob("*") if path.is_file() and path.name != ".sweep"]
    assert not left, (case, left)


async def test_the_steps_are_those_of_a_requests_way(tmp_path: Path, site: MediaSite) -> None:
    trace = await trace_of_an_undisturbed_run(tmp_path / "undisturbed", site)
    assert tuple(dict.fromkeys(trace)) == STEPS


async def test_a_worker_killed_after_any_step_is_followed_by_one_that_finishes(tmp_path: Path, site: MediaSite) -> None:
    limit = asyncio.Semaphore(PARALLEL)

    async def case(number: int, step: str) -> None:
        async with limit:
            await crash_and_recover(step, tmp_path / f"case-{number}", site)

    async with asyncio.TaskGroup() as cases:
        for number, step in enumerate(STEPS):
            cases.create_task(case(number, step))


async def test_a_crash_of_the_consumer_loop_ends_the_process_non_zero(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    assert await run_until_killed(settings, "raise", tmp_path / "trace") == 1
