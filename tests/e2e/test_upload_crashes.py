"""A worker is killed after each step of an upload: another one brings the asset to its end, and nothing is left."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from audio_service.assets.intake import Announced, Intake
from audio_service.assets.model import Asset, AssetState, quarantine_key
from audio_service.bootstrap import open_services
from audio_service.pipelines.registry import Registry
from audio_service.pipelines.upload import UPLOADS
from audio_service.services import Services
from audio_service.settings import AudioSettings
from audio_service.worker.worker import Worker
from common.messages.assets import AssetStatusEvent
from common.messages.base import parse
from tests.servers.jobs import Watch, run_until_killed, start_crashing_worker
from tests.servers.media_files import make
from tests.servers.system import settings_for
from tests.waiting import until

REGISTRY = f"{__name__}:registry"
STEPS = (
    "broker.deliver",
    "repository.is_answered",
    "repository.acquire:request",
    "assets.claim",
    "blobs.stat",
    "children.call",
    "blobs.put",
    "assets.mark_done",
    "blobs.delete",
    "broker.publish:status",
    "repository.mark_answered",
    "delivery.ack",
    "repository.surrender:request",
)
PARALLEL = 3
OUTPUTS = ("audio.dca", "audio.m4a", "waveform.json")


def registry(_watch: Watch) -> Registry:
    return {UPLOADS.name: UPLOADS}


def settings_of(directory: Path, lease_seconds: float) -> AudioSettings:
    """`lease_seconds`: how long a dead worker keeps its job, and a stopped machine may stand still."""
    directory.mkdir()
    leases = {"lease_seconds": lease_seconds, "broker_lease_seconds": lease_seconds}
    return settings_for(directory, uploads=True, num_workers=1, **leases)


async def send(services: Services, content: bytes) -> Asset:
    """Prepare, send and complete an upload, with no worker there."""
    assert services.assets is not None
    intake = Intake(services.settings, services.assets, services.blobs, services.broker)
    asset = await intake.prepare(Announced("nota.m4a", len(content), "audio/mp4", "c1"), "ana")

    async def body() -> AsyncGenerator[bytes]:
        yield content

    await intake.receive(asset, len(content), "audio/mp4", body())
    return await intake.complete(asset.asset_id)


@asynccontextmanager
async def working(services: Services) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    work = asyncio.ensure_future(Worker(services, [UPLOADS]).run(stop))
    try:
        yield
    finally:
        stop.set()
        await work


async def look_at_the_end(services: Services, asset_id: str, step: str) -> None:
    """Fail unless the asset ended well, its end was told once, and its three files are all that is stored."""
    assert services.assets is not None

    async def over() -> bool:
        return not await services.broker.lag(services.settings.topic_upload_requests, UPLOADS.group)

    await until(over)
    asset = await services.assets.get(asset_id)
    assert asset is not None, step
    assert asset.state is AssetState.DONE, (step, asset)
    messages = await services.broker.peek(services.settings.topic_asset_status)
    events = [parse(AssetStatusEvent, message.value) for message in messages]
    ends = [event.status for event in events if event.status in {"done", "failed"}]
    # Told and not yet settled: the next worker cannot know that it was.
    told_twice = step == "broker.publish:status"
    assert ends == ["done"] * (1 + told_twice), (step, events)
    assert not await services.broker.peek(f"{services.settings.topic_upload_requests}.dlq"), step
    storage = services.settings.local_storage_path
    stored = sorted(path.relative_to(storage).as_posix() for path in storage.rglob("*") if path.is_file())
    assert [Path(name).name for name in stored] == list(OUTPUTS), (step, stored)
    assert not (storage / quarantine_key(asset_id)).exists(), step


@pytest.fixture
def note(tmp_path: Path) -> bytes:
    return make("m4a", tmp_path, seconds=2).read_bytes()


async def test_the_steps_are_those_of_an_undisturbed_upload(tmp_path: Path, note: bytes) -> None:
    settings = settings_of(tmp_path / "undisturbed", 60)
    trace = tmp_path / "trace"
    async with open_services(settings) as services:
        asset = await send(services, note)
        process = await start_crashing_worker(REGISTRY, settings, "never", trace)
        await until(lambda: _answered(services, asset.asset_id))
        await look_at_the_end(services, asset.asset_id, "never")
        process.terminate()
        assert await process.wait() == 0
    assert tuple(dict.fromkeys(trace.read_text().split())) == STEPS


async def _answered(services: Services, asset_id: str) -> bool:
    return await services.repository.is_answered(asset_id)


async def test_a_worker_killed_after_any_step_is_followed_by_one_that_finishes(tmp_path: Path, note: bytes) -> None:
    limit = asyncio.Semaphore(PARALLEL)

    async def case(number: int, step: str) -> None:
        async with limit:
            settings = settings_of(tmp_path / f"case-{number}", 2)
            async with open_services(settings) as services:
                asset = await send(services, note)
                trace = tmp_path / f"trace-{number}"
                assert await run_until_killed(REGISTRY, settings, step, trace) == -signal.SIGKILL, step
                async with working(services):
                    await look_at_the_end(services, asset.asset_id, step)

    async with asyncio.TaskGroup() as tasks:
        for number, step in enumerate(STEPS):
            tasks.create_task(case(number, step))
