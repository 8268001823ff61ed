"""The sweep of uploads over real stores, proved by listing what is stored afterwards."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from audio_service.assets.intake import Announced, Intake
from audio_service.assets.model import Asset, Made, Output, output_key, quarantine_key
from audio_service.assets.removal import remove, remove_all_of
from audio_service.assets.repository import open_assets
from audio_service.assets.repository.base import Claimed, Quota
from audio_service.upload_sweep import sweep
from common.blobs import open_blobs
from common.broker import open_broker
from common.errors import LeaseLost
from common.messages.base import utc_now
from tests.unit.audio_service.api.library import settings_in

LEASE = timedelta(minutes=5)
NOW = timedelta(0)
NOTE = Announced("nota.m4a", 4, "audio/mp4", "c1")
FILES = ("audio.m4a", "audio.dca", "waveform.json")


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncGenerator[Intake]:
    settings = settings_in(tmp_path, uploads=True)
    async with AsyncExitStack() as stack:
        assets = await stack.enter_async_context(open_assets(settings))
        assert assets is not None
        blobs = await stack.enter_async_context(open_blobs(settings))
        yield Intake(settings, assets, blobs, await stack.enter_async_context(open_broker(settings)))


def stored(intake: Intake) -> set[str]:
    """List the store."""
    root = intake.settings.local_storage_path
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


async def store(intake: Intake, key: str, *, age: timedelta = NOW) -> None:
    async with intake.blobs.grow(key) as growing:
        await growing.append(b"note")
        await growing.commit()
    path = intake.settings.local_storage_path / key
    then = path.stat().st_mtime - age.total_seconds()
    os.utime(path, (then, then))


async def sent(intake: Intake, *, owner: str = "ann", age: timedelta = NOW) -> Asset:
    """Prepare an upload and send its file, so long ago."""
    asset = await intake.prepare(NOTE, "somewhere else")
    await intake.assets.remove(asset.asset_id)
    await intake.assets.forget_removed(asset.asset_id)
    began = utc_now() - age
    asset = replace(
        asset,
        owner_id=owner,
        created_at=began,
        updated_at=began,
        upload=replace(asset.upload, expires_at=asset.upload.expires_at - age),
    )
    await intake.assets.create(asset, Quota(100, 100))
    await store(intake, quarantine_key(asset.asset_id))
    return asset


async def queued(intake: Intake) -> list[str]:
    return [message.key for message in await intake.broker.peek(intake.settings.topic_upload_requests)]


async def done(intake: Intake, *, owner: str = "ann") -> str:
    """Process an upload, without the deletion of what was sent."""
    asset_id = (await sent(intake, owner=owner)).asset_id
    await intake.complete(asset_id)
    claim = await intake.assets.claim(asset_id, LEASE)
    assert isinstance(claim, Claimed)
    for file in FILES:
        await store(intake, output_key(asset_id, file))
    made = Made((Output("audio", "audio/mp4", 4),), (1,), 1)
    await intake.assets.mark_done(asset_id, claim.fence, made, message="x")
    return asset_id


async def test_what_was_never_completed_goes_after_a_day(intake: Intake) -> None:
    old, young = await sent(intake, age=timedelta(hours=25)), await sent(intake)
    await sweep(intake)
    assert stored(intake) == {quarantine_key(young.asset_id)}
    assert await intake.assets.get(old.asset_id) is None
    assert await intake.assets.get(young.asset_id) == young


async def test_what_is_complete_stays_until_its_worker_comes(intake: Intake) -> None:
    asset = await sent(intake, age=timedelta(hours=25))
    await intake.complete(asset.asset_id)
    await sweep(intake)
    assert stored(intake) == {quarantine_key(asset.asset_id)}


async def test_what_was_completed_without_a_queue_is_queued_once(intake: Intake) -> None:
    asset = await sent(intake)
    await intake.assets.complete(asset.asset_id, "etag")
    await sweep(intake)
    assert await queued(intake) == []
    await sweep(intake, stalled=NOW)
    assert await queued(intake) == [asset.asset_id]


async def test_quarantine_holds_nothing_of_what_ended(intake: Intake) -> None:
    asset_id = await done(intake)
    await sweep(intake)
    assert stored(intake) == {output_key(asset_id, file) for file in FILES}


async def test_a_file_that_no_record_stands_for_goes_after_a_day(intake: Intake) -> None:
    old, young = (quarantine_key(str(uuid.uuid4())) for _ in range(2))
    await store(intake, old, age=timedelta(hours=25))
    await store(intake, young)
    await store(intake, "quarantine/not-an-id", age=timedelta(hours=25))
    await sweep(intake)
    assert stored(intake) == {young, "quarantine/not-an-id"}


async def test_sweeps_at_once_do_each_other_no_harm(intake: Intake) -> None:
    for _ in range(3):
        await sent(intake, age=timedelta(hours=25))
    await store(intake, quarantine_key(str(uuid.uuid4())), age=timedelta(hours=25))
    await asyncio.gather(*(sweep(intake) for _ in range(4)))
    assert stored(intake) == set()


async def test_of_an_owner_everything_goes_and_of_others_nothing(intake: Intake) -> None:
    for _ in range(3):
        await done(intake)
    await sent(intake)
    kept = await done(intake, owner="bob")
    assert await remove_all_of(intake.assets, intake.blobs, "ann") == 4
    await sweep(intake)
    assert stored(intake) == {output_key(kept, file) for file in FILES}
    assert not (await intake.assets.by_owner("ann")).items
    assert await remove_all_of(intake.assets, intake.blobs, "ann") == 0


async def test_what_a_worker_stores_after_the_removal_goes_too(intake: Intake) -> None:
    asset = await sent(intake)
    await intake.complete(asset.asset_id)
    claim = await intake.assets.claim(asset.asset_id, LEASE)
    assert isinstance(claim, Claimed)
    await remove(intake.assets, intake.blobs, asset.asset_id)
    for file in FILES:
        await store(intake, output_key(asset.asset_id, file))
    with pytest.raises(LeaseLost):
        await intake.assets.mark_done(asset.asset_id, claim.fence, Made(), message="x")
    await sweep(intake)
    assert stored(intake) == {output_key(asset.asset_id, file) for file in FILES}
    await sweep(intake, settled=NOW)
    assert stored(intake) == set()
    assert not await intake.assets.removed(NOW)
