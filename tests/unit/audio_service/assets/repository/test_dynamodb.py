"""What only the DynamoDB adapter of assets can get wrong: an index that is behind, lost answers, and its items."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from audio_service.assets.model import Asset, AssetState, Made, Output, Upload
from audio_service.assets.repository.base import Claimed, Held, Quota
from audio_service.assets.repository.dynamodb.items import UNFINISHED, owner_entry, sweep_key, sweep_place
from audio_service.assets.repository.dynamodb.quotas import quota_key
from audio_service.assets.repository.dynamodb.repository import DynamoAssets, open_dynamodb_assets
from common.databases.dynamodb import EXPIRES, Item, Put
from common.errors import QuotaExceeded
from common.messages.base import utc_now
from tests.servers.emulators import Emulator, library_on
from tests.servers.faulty_dynamo import LOST, open_faulty_dynamo

LONG = timedelta(minutes=5)
NONE = timedelta(0)
WIDE = Quota(open_uploads=100, per_day=100)
MADE = Made((Output("audio", "audio/mp4", 9),), tuple(range(101)) * 9, 1234)


@pytest.fixture
async def assets(ministack: Emulator) -> AsyncGenerator[DynamoAssets]:
    async with open_dynamodb_assets(library_on(ministack)) as opened:
        yield opened


def prepared(*, made_ago: timedelta = NONE, owner: str = "ann") -> Asset:
    now = (utc_now() - made_ago).replace(microsecond=0)
    upload = Upload("nota.m4a", 9, "audio/mp4", "5ec4e7", now + LONG)
    return Asset(str(uuid.uuid4()), "audio_message", AssetState.QUEUED, owner, "c1", upload, now, now)


async def put(assets: DynamoAssets, item: Item) -> None:
    await assets.connection.run(lambda table: table.write(Put(item)))


async def read(assets: DynamoAssets, place: Item) -> Item | None:
    return await assets.connection.run(lambda table: table.get(place))


async def test_what_the_index_still_names_is_not_shown_and_ends_no_page(assets: DynamoAssets) -> None:
    kept = [prepared(made_ago=timedelta(minutes=minutes)) for minutes in (50, 55)]
    for asset in kept:
        await assets.create(asset, WIDE)
    for minutes in range(5):
        await put(assets, owner_entry(prepared(made_ago=timedelta(minutes=minutes))))
    first = await assets.by_owner("ann", limit=1)
    assert first.items == kept[:1]
    second = await assets.by_owner("ann", limit=1, cursor=first.cursor)
    assert (second.items, second.cursor) == (kept[1:], None)


async def test_the_sweep_takes_nothing_that_the_index_alone_names(assets: DynamoAssets) -> None:
    gone = prepared().asset_id
    await put(assets, {**sweep_key(gone), **sweep_place(UNFINISHED, gone, 1)})
    asset = prepared()
    await assets.create(asset, WIDE)
    await assets.complete(asset.asset_id, "etag")
    claim = await assets.claim(asset.asset_id, LONG)
    assert isinstance(claim, Claimed)
    await assets.mark_done(asset.asset_id, claim.fence, MADE, message="x")
    await put(assets, {**sweep_key(asset.asset_id), **sweep_place(UNFINISHED, asset.asset_id, 1)})
    assert await assets.take_stalled(NONE) is None


async def test_nothing_is_left_of_an_ended_asset_for_the_sweep_to_read(assets: DynamoAssets) -> None:
    asset = prepared()
    await assets.create(asset, WIDE)
    await assets.complete(asset.asset_id, "etag")
    claim = await assets.claim(asset.asset_id, LONG)
    assert isinstance(claim, Claimed)
    assert await read(assets, sweep_key(asset.asset_id)) is not None
    done = await assets.mark_done(asset.asset_id, claim.fence, MADE, message="x")
    assert done.made == MADE
    assert await assets.get(asset.asset_id) == done
    assert await read(assets, sweep_key(asset.asset_id)) is None


async def test_an_owner_item_forgets_what_counts_no_more_and_expires(assets: DynamoAssets) -> None:
    old = prepared(made_ago=timedelta(hours=30))
    await assets.create(old, WIDE)
    await assets.create(prepared(), WIDE)
    owner = await read(assets, quota_key("ann"))
    assert owner is not None
    assert (len(owner["open"]), sum(owner["parts"].values())) == (1, 1)
    assert owner[EXPIRES] > (utc_now() + timedelta(hours=24)).timestamp()


async def test_an_answer_that_is_lost_is_no_second_upload_or_attempt(ministack: Emulator) -> None:
    async with (
        open_faulty_dynamo(ministack.url) as faulty,
        open_dynamodb_assets(library_on(ministack, aws_endpoint_url=faulty.url)) as assets,
    ):
        lost = faulty.faults
        asset, once = prepared(), Quota(open_uploads=1, per_day=2)
        lost["TransactWriteItems"] = [LOST]
        await assets.create(asset, once)
        with pytest.raises(QuotaExceeded):
            await assets.create(prepared(), once)
        lost["TransactWriteItems"], lost["UpdateItem"] = [LOST], [LOST]
        await assets.complete(asset.asset_id, "etag")
        await assets.create(prepared(), once)
        lost["TransactWriteItems"] = [LOST]
        claim = await assets.claim(asset.asset_id, LONG)
        assert isinstance(claim, Claimed)
        assert claim.asset.attempts == 1
        assert isinstance(await assets.claim(asset.asset_id, LONG), Held)
        lost["TransactWriteItems"] = [LOST]
        done = await assets.mark_done(asset.asset_id, claim.fence, MADE, message="x")
        assert done.state is AssetState.DONE


async def test_a_completion_between_read_and_removal_wins(ministack: Emulator) -> None:
    async with (
        open_faulty_dynamo(ministack.url) as faulty,
        open_dynamodb_assets(library_on(ministack, aws_endpoint_url=faulty.url)) as assets,
        open_dynamodb_assets(library_on(ministack, dynamodb_table_songs=assets.connection.schema.name)) as other,
    ):
        asset = prepared()
        await assets.create(asset, WIDE)
        faulty.before["TransactWriteItems"] = lambda: other.complete(asset.asset_id, "etag")
        assert not await assets.remove(asset.asset_id, unless_complete=True)
        faulty.before["TransactWriteItems"] = lambda: other.claim(asset.asset_id, LONG)
        assert isinstance(await assets.claim(asset.asset_id, LONG), Held)
        faulty.before["TransactWriteItems"] = lambda: other.renew(asset.asset_id, 1, LONG)
        done = await assets.mark_done(asset.asset_id, 1, MADE, message="x")
        assert done == await other.get(asset.asset_id)
