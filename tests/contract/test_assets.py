"""What every AssetRepository keeps. A new adapter adds a parameter to `settings`, and no test."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from audio_service.assets.model import Asset, AssetState, IllegalAssetMoveError, Made, Output, Upload
from audio_service.assets.repository import open_assets
from audio_service.assets.repository.base import AssetRepository, Claimed, Ended, Held, Quota
from audio_service.settings import AudioSettings
from common.errors import AssetNotFound, InvalidInput, LeaseLost, QuotaExceeded
from common.messages.base import utc_now
from tests.servers.emulators import Emulator, library_on
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.reaper import child_environment
from tests.servers.system import environment_of

LONG = timedelta(minutes=5)
NONE = timedelta(0)
WIDE = Quota(open_uploads=100, per_day=100)
MADE = Made((Output("audio", "audio/mp4", 9),), (0, 50, 100), 1234)


@pytest.fixture(params=["sqlite", pytest.param("mongo", id="mongodb"), "ministack"])
def server(request: pytest.FixtureRequest) -> Mongo | Emulator | None:
    """The server that the adapter needs; SQLite needs none."""
    return None if request.param == "sqlite" else request.getfixturevalue(request.param)


@pytest.fixture
async def settings(server: Mongo | Emulator | None, tmp_path: Path) -> AsyncGenerator[AudioSettings]:
    match server:
        case None:
            yield AudioSettings(uploads=True, database_backend="sqlite", sqlite_path=tmp_path / "deep" / "library.db")
        case Mongo():
            async with fresh_database(server) as database:
                yield server.settings(database, uploads=True)
        case Emulator():
            yield library_on(server, uploads=True)


@pytest.fixture
async def assets(settings: AudioSettings) -> AsyncGenerator[AssetRepository]:
    async with open_assets(settings) as opened:
        assert opened is not None
        yield opened


def prepared(*, owner: str = "ann", chat: str = "c1", made_ago: timedelta = NONE, open_for: timedelta = LONG) -> Asset:
    now = utc_now() - made_ago
    upload = Upload("nota.m4a", 9, "audio/mp4", "5ec4e7", _milliseconds(now + open_for))
    return Asset(str(uuid.uuid4()), "audio_message", AssetState.QUEUED, owner, chat, upload, now, now)


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def completed(assets: AssetRepository) -> str:
    asset = prepared()
    await assets.create(asset, WIDE)
    await assets.complete(asset.asset_id, "etag-1")
    return asset.asset_id


async def claimed(assets: AssetRepository, lease: timedelta = LONG) -> tuple[str, int]:
    asset_id = await completed(assets)
    claim = await assets.claim(asset_id, lease)
    assert isinstance(claim, Claimed)
    return asset_id, claim.fence


async def state_of(assets: AssetRepository, asset_id: str) -> AssetState:
    asset = await assets.get(asset_id)
    assert asset is not None
    return asset.state


async def test_what_is_created_is_read_back(assets: AssetRepository) -> None:
    asset = prepared()
    await assets.create(asset, WIDE)
    assert await assets.get(asset.asset_id) == asset
    assert await assets.get(str(uuid.uuid4())) is None


async def test_the_first_completion_pins_the_etag(assets: AssetRepository) -> None:
    asset = prepared()
    await assets.create(asset, WIDE)
    first = await assets.complete(asset.asset_id, "etag-1")
    assert (first.etag, first.state) == ("etag-1", AssetState.QUEUED)
    assert first.completed_at is not None
    assert await assets.complete(asset.asset_id, "etag-2") == first
    with pytest.raises(AssetNotFound):
        await assets.complete(str(uuid.uuid4()), "etag")


async def test_what_is_not_complete_cannot_be_claimed(assets: AssetRepository) -> None:
    asset = prepared()
    await assets.create(asset, WIDE)
    for asset_id in (asset.asset_id, str(uuid.uuid4())):
        with pytest.raises(AssetNotFound):
            await assets.claim(asset_id, LONG)


async def test_one_attempt_at_a_time_has_the_claim(assets: AssetRepository) -> None:
    asset_id, _ = await claimed(assets)
    held = await assets.claim(asset_id, LONG)
    assert isinstance(held, Held)
    assert NONE < held.wait <= LONG


async def test_of_many_claims_at_once_one_succeeds(assets: AssetRepository) -> None:
    asset_id = await completed(assets)
    claims = await asyncio.gather(*(assets.claim(asset_id, LONG) for _ in range(8)))
    assert sum(isinstance(claim, Claimed) for claim in claims) == 1


async def test_an_expired_claim_is_taken_over_and_the_first_writes_nothing_more(assets: AssetRepository) -> None:
    asset_id, first = await claimed(assets, NONE)
    second = await assets.claim(asset_id, LONG)
    assert isinstance(second, Claimed)
    assert second.fence > first
    assert (second.asset.state, second.asset.attempts) == (AssetState.PROCESSING, 2)
    with pytest.raises(LeaseLost):
        await assets.mark_done(asset_id, first, MADE, message="x")
    with pytest.raises(LeaseLost):
        await assets.mark_failed(asset_id, first, error_code="file_corrupt", message="x")
    with pytest.raises(LeaseLost):
        await assets.renew(asset_id, first, LONG)
    await assets.yield_claim(asset_id, first)
    assert isinstance(await assets.claim(asset_id, LONG), Held)
    assert (await assets.mark_done(asset_id, second.fence, MADE, message="x")).state is AssetState.DONE


async def test_a_yielded_claim_can_be_had_at_once_and_is_not_revived(assets: AssetRepository) -> None:
    asset_id, fence = await claimed(assets)
    await assets.yield_claim(asset_id, fence)
    await assets.renew(asset_id, fence, LONG)
    assert isinstance(await assets.claim(asset_id, LONG), Claimed)


async def test_a_renewed_claim_stays_held(assets: AssetRepository) -> None:
    asset_id, fence = await claimed(assets, timedelta(minutes=1))
    await assets.renew(asset_id, fence, LONG)
    held = await assets.claim(asset_id, LONG)
    assert isinstance(held, Held)
    assert held.wait > timedelta(minutes=1)


async def test_a_done_asset_has_what_was_made_and_stays_so(assets: AssetRepository) -> None:
    asset_id, fence = await claimed(assets)
    done = await assets.mark_done(asset_id, fence, MADE, message="Listo")
    assert (done.state, done.made, done.message, done.error_code) == (AssetState.DONE, MADE, "Listo", None)
    assert await assets.get(asset_id) == done
    assert await assets.claim(asset_id, LONG) == Ended(done)
    with pytest.raises(IllegalAssetMoveError):
        await assets.mark_failed(asset_id, fence, error_code="file_corrupt", message="x")
    assert await state_of(assets, asset_id) is AssetState.DONE


async def test_a_failed_asset_says_why_and_stays_so(assets: AssetRepository) -> None:
    asset_id, fence = await claimed(assets)
    failed = await assets.mark_failed(asset_id, fence, error_code="file_corrupt", message="Archivo dañado")
    assert (failed.state, failed.error_code, failed.message) == (AssetState.FAILED, "file_corrupt", "Archivo dañado")
    with pytest.raises(IllegalAssetMoveError):
        await assets.mark_done(asset_id, fence, MADE, message="x")
    assert await assets.claim(asset_id, LONG) == Ended(failed)


async def test_an_owner_has_so_many_open_uploads(assets: AssetRepository) -> None:
    quota = Quota(open_uploads=2, per_day=100)
    first = prepared()
    await assets.create(first, quota)
    await assets.create(prepared(), quota)
    with pytest.raises(QuotaExceeded):
        await assets.create(prepared(), quota)
    await assets.create(prepared(owner="bob"), quota)
    await assets.complete(first.asset_id, "etag")
    await assets.create(prepared(), quota)


async def test_an_upload_whose_time_is_over_is_not_open(assets: AssetRepository) -> None:
    quota = Quota(open_uploads=1, per_day=100)
    await assets.create(prepared(open_for=-LONG), quota)
    await assets.create(prepared(), quota)


async def test_an_owner_has_so_many_uploads_in_a_day(assets: AssetRepository) -> None:
    quota = Quota(open_uploads=100, per_day=1)
    await assets.create(prepared(made_ago=timedelta(hours=25)), quota)
    await assets.create(prepared(), quota)
    with pytest.raises(QuotaExceeded):
        await assets.create(prepared(), quota)


async def test_the_quota_holds_for_uploads_at_once(assets: AssetRepository) -> None:
    quota = Quota(open_uploads=3, per_day=100)
    results = await asyncio.gather(*(assets.create(prepared(), quota) for _ in range(8)), return_exceptions=True)
    assert sum(result is None for result in results) == 3
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 5


async def test_pages_hold_every_asset_once_newest_first(assets: AssetRepository) -> None:
    made = [prepared(made_ago=timedelta(minutes=minutes)) for minutes in (1, 2, 2, 3, 4)]
    for asset in (*reversed(made), prepared(chat="c2", owner="bob")):
        await assets.create(asset, WIDE)
    for pages in (assets.by_chat, assets.by_owner):
        seen: list[Asset] = []
        cursor: str | None = None
        while True:
            page = await pages("c1" if pages == assets.by_chat else "ann", limit=2, cursor=cursor)
            seen.extend(page.items)
            cursor = page.cursor
            if cursor is None:
                break
        assert {asset.asset_id for asset in seen} == {asset.asset_id for asset in made}
        assert len(seen) == len(made)
        assert [asset.created_at for asset in seen] == sorted((asset.created_at for asset in seen), reverse=True)
    with pytest.raises(InvalidInput):
        await assets.by_chat("c1", cursor="nonsense")


async def test_what_was_never_completed_is_found_and_removed(assets: AssetRepository) -> None:
    old, young = prepared(made_ago=timedelta(hours=25)), prepared()
    for asset in (old, young):
        await assets.create(asset, WIDE)
    await completed(assets)
    assert [asset.asset_id for asset in await assets.never_completed(timedelta(hours=24))] == [old.asset_id]
    await assets.remove(old.asset_id)
    await assets.remove(old.asset_id)
    assert await assets.get(old.asset_id) is None
    assert not await assets.never_completed(timedelta(hours=24))


async def test_what_may_still_be_sent_is_not_given_up(assets: AssetRepository) -> None:
    await assets.create(prepared(made_ago=timedelta(hours=25), open_for=timedelta(days=7)), WIDE)
    assert not await assets.never_completed(timedelta(hours=24))


async def test_what_is_complete_is_not_removed_as_abandoned(assets: AssetRepository) -> None:
    asset_id = await completed(assets)
    assert not await assets.remove(asset_id, unless_complete=True)
    assert await state_of(assets, asset_id) is AssetState.QUEUED
    assert not await assets.removed(NONE)
    abandoned = prepared()
    await assets.create(abandoned, WIDE)
    assert await assets.remove(abandoned.asset_id, unless_complete=True)
    with pytest.raises(AssetNotFound):
        await assets.complete(abandoned.asset_id, "etag")


async def test_completed_or_removed_never_both(assets: AssetRepository) -> None:
    for _ in range(5):
        asset = prepared()
        await assets.create(asset, WIDE)
        finished, removed = await asyncio.gather(
            assets.complete(asset.asset_id, "etag"),
            assets.remove(asset.asset_id, unless_complete=True),
            return_exceptions=True,
        )
        if removed is True:
            assert isinstance(finished, AssetNotFound)
            assert await assets.get(asset.asset_id) is None
        else:
            assert removed is False
            assert await assets.get(asset.asset_id) == finished


async def test_a_worker_whose_asset_is_removed_writes_nothing(assets: AssetRepository) -> None:
    asset_id, fence = await claimed(assets)
    assert await assets.remove(asset_id)
    with pytest.raises(LeaseLost):
        await assets.renew(asset_id, fence, LONG)
    with pytest.raises(LeaseLost):
        await assets.mark_done(asset_id, fence, MADE, message="x")
    with pytest.raises(LeaseLost):
        await assets.mark_failed(asset_id, fence, error_code="file_corrupt", message="x")
    await assets.yield_claim(asset_id, fence)
    with pytest.raises(AssetNotFound):
        await assets.claim(asset_id, LONG)
    assert await assets.get(asset_id) is None


async def test_removed_ids_are_remembered_until_they_are_forgotten(assets: AssetRepository) -> None:
    asset_id = await completed(assets)
    await assets.remove(asset_id)
    await assets.remove(asset_id)
    assert await assets.removed(NONE) == [asset_id]
    assert not await assets.removed(timedelta(hours=1))
    await assets.forget_removed(asset_id)
    await assets.forget_removed(asset_id)
    assert not await assets.removed(NONE)


async def test_a_stalled_asset_is_taken_once(assets: AssetRepository) -> None:
    await assets.create(prepared(), WIDE)
    asset_id = await completed(assets)
    assert await assets.take_stalled(timedelta(hours=1)) is None
    found = await assets.take_stalled(NONE)
    assert found is not None
    assert (found.asset_id, found.state) == (asset_id, AssetState.QUEUED)
    assert await assets.take_stalled(timedelta(hours=1)) is None


async def test_what_is_being_processed_or_ended_is_not_stalled(assets: AssetRepository) -> None:
    asset_id, fence = await claimed(assets)
    assert await assets.take_stalled(NONE) is None
    await assets.yield_claim(asset_id, fence)
    assert await assets.take_stalled(NONE) is not None
    again = await assets.claim(asset_id, LONG)
    assert isinstance(again, Claimed)
    await assets.renew(asset_id, again.fence, LONG)
    assert await assets.take_stalled(NONE) is None
    await assets.mark_done(asset_id, again.fence, MADE, message="x")
    await assets.yield_claim(asset_id, again.fence)
    assert await assets.take_stalled(NONE) is None


async def test_of_two_completions_at_once_one_pins_the_etag(assets: AssetRepository) -> None:
    asset = prepared()
    await assets.create(asset, WIDE)
    first, second = await asyncio.gather(*(assets.complete(asset.asset_id, etag) for etag in ("etag-1", "etag-2")))
    assert first == second == await assets.get(asset.asset_id)


async def test_two_processes_racing_for_assets_share_none(assets: AssetRepository, settings: AudioSettings) -> None:
    asset_ids = [await completed(assets) for _ in range(20)]
    racers = [await start_racer(asset_ids, settings) for _ in range(2)]
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert await racer.stdout.readline() == b"ready\n"
        finished = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
    finally:
        for racer in racers:
            if racer.returncode is None:
                racer.kill()
                await racer.wait()
    left, right = (set(json.loads(out)) for out, _ in finished)
    assert not left & right
    assert left | right == set(asset_ids)


async def start_racer(asset_ids: Sequence[str], settings: AudioSettings) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.contract.asset_racer", *asset_ids),
        cwd=Path(__file__).parents[2],
        env=child_environment(environment_of(settings)),
        stdin=PIPE,
        stdout=PIPE,
    )
