"""What the DynamoDB store promises beside the contract: items of any size, batches, and what a crash leaves."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from bot_service.settings import BotSettings
from bot_service.store.base import SavedPlayer
from bot_service.store.dynamodb import requests
from bot_service.store.dynamodb.base import read_all
from bot_service.store.dynamodb.store import DynamoStore, open_dynamodb
from common.databases.dynamodb import Item, Schema, Table, Update, connected
from common.errors import DatabaseUnavailable
from tests.contract.store_raw import raw_items
from tests.contract.store_samples import SNOWFLAKE, entry, player, request, track
from tests.servers.emulators import REGION, Emulator

QUEUE_LIMIT = 10_000
"""The largest that the setting allows."""


@pytest.fixture
def settings(ministack: Emulator) -> BotSettings:
    return BotSettings(
        discord_token=SecretStr("token"),
        database_backend="dynamodb",
        dynamodb_table_bot=f"bot-{secrets.token_hex(6)}",
        aws_region=REGION,
        aws_endpoint_url=ministack.url,
    )


@pytest.fixture
async def store(settings: BotSettings) -> AsyncGenerator[DynamoStore]:
    async with open_dynamodb(settings) as opened:
        yield opened


async def sort_keys(settings: BotSettings) -> list[str]:
    async with raw_items(settings) as (_, items):
        return sorted(item["SK"]["S"] for item in items)


def long_queue(seed: int) -> SavedPlayer:
    """A player that zlib can do little about: random titles and addresses in a full queue."""
    drawn = random.Random(seed)
    entries = tuple(
        replace(
            entry(number),
            song=drawn.randbytes(40).hex(),
            track=replace(track(number), title=drawn.randbytes(50).hex(), url=f"https://{drawn.randbytes(40).hex()}"),
        )
        for number in range(QUEUE_LIMIT)
    )
    return replace(player(), entries=entries)


async def test_the_largest_queue_is_saved_in_pages_which_the_next_save_removes(
    store: DynamoStore, settings: BotSettings
) -> None:
    await store.save_player(player())
    full = long_queue(1)
    await store.save_player(full)
    pages = [name for name in await sort_keys(settings) if "#PAGE#" in name]
    assert len(pages) > 3
    await store.save_positions({SNOWFLAKE: 77})
    (loaded,) = await store.load_players()
    assert replace(loaded, next_frame=full.next_frame, saved_at=full.saved_at) == full
    assert loaded.next_frame == 77
    await store.save_player(player())
    assert await sort_keys(settings) == [f"GUILD#{SNOWFLAKE}", f"GUILD#{SNOWFLAKE}#POSITION"]
    assert await store.load_players() == [player()]
    await store.save_player(full)
    await store.forget_player(SNOWFLAKE)
    assert await sort_keys(settings) == []


async def test_what_a_crash_has_left_goes_after_an_hour(
    store: DynamoStore, settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_service.store.dynamodb.packing.PAGE_BYTES", 400)
    for guild in (SNOWFLAKE, SNOWFLAKE + 1):
        await store.save_player(player(guild))
    async with raw_items(settings) as (client, items):
        for item in items:
            page = {**item, "SK": {"S": item["SK"]["S"].replace("#PAGE#", "#PAGE#crashed-")}}
            if "page" in item:
                await client.put_item(TableName=settings.dynamodb_table_bot, Item=page)
            elif item["guild_id"]["N"] == str(SNOWFLAKE + 1):
                await client.delete_item(
                    TableName=settings.dynamodb_table_bot, Key={"PK": item["PK"], "SK": item["SK"]}
                )
    assert await store.load_players() == [player()]
    left = await sort_keys(settings)
    assert any("crashed" in name for name in left), "another process may be about to name them"
    later = time.time_ns() + 3601 * 10**9
    monkeypatch.setattr("bot_service.store.dynamodb.players.time.time_ns", lambda: later)
    assert await store.load_players() == [player()]
    left = await sort_keys(settings)
    assert all(name.startswith(f"GUILD#{SNOWFLAKE}") and "crashed" not in name for name in left)
    assert len(left) > 1


async def test_a_late_save_of_this_process_never_replaces_a_newer_one(
    store: DynamoStore, settings: BotSettings
) -> None:
    await store.save_player(replace(player(), next_frame=5))
    async with raw_items(settings) as (client, items):
        (item,) = items
        item["revision"] = {"N": str(int(item["revision"]["N"]) + 10**12)}
        await client.put_item(TableName=settings.dynamodb_table_bot, Item=item)
    await store.save_player(replace(player(), next_frame=1))
    assert [saved.next_frame for saved in await store.load_players()] == [5]
    async with open_dynamodb(settings) as other:
        await other.save_player(replace(player(), next_frame=2))
    assert [saved.next_frame for saved in await store.load_players()] == [2], (
        "another process's clock counts for nothing"
    )


@pytest.mark.parametrize("number", [100, 101, 500])
async def test_a_playlist_is_stored_whole_and_leaves_no_batch(
    store: DynamoStore, settings: BotSettings, number: int
) -> None:
    playlist = [request(one, playlist_id="list") for one in range(number)]
    await store.add_requests(playlist)
    assert await store.open_requests() == playlist
    assert all(name.startswith("REQUEST#") for name in await sort_keys(settings))


async def test_a_batch_that_a_crash_has_left_is_completed_once_by_its_readers(
    store: DynamoStore, settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_service.store.dynamodb.packing.PAGE_BYTES", 3000)
    playlist = [request(one) for one in range(300)]

    async def crash(_: Table) -> bool:
        raise DatabaseUnavailable("a crash")

    with monkeypatch.context() as patched:
        patched.setattr(requests, "_complete", crash)
        await store.add_requests(playlist)
    left = await sort_keys(settings)
    assert sum(name.startswith("BATCH#") for name in left) == 1
    assert sum(name.startswith("PAGE#") for name in left) > 1
    async with open_dynamodb(settings) as other:
        taken = await asyncio.gather(*(each.finish_request("request-250") for each in (store, other) for _ in range(3)))
        assert [one for one in taken if one is not None] == [playlist[250]]
        assert await other.request("request-299") == playlist[299]
        assert await store.request("request-250") is None
        assert await other.open_requests() == [one for one in playlist if one != playlist[250]]
    assert all(name.startswith("REQUEST#") for name in await sort_keys(settings))


async def test_a_batch_is_continued_where_its_counter_stands(
    store: DynamoStore, settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    playlist = [request(one) for one in range(300)]
    transact, done = Table.transact, 0

    async def crash_later(table: Table, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as transact
        nonlocal done
        done += 1
        if done > 1:
            raise DatabaseUnavailable("a crash")
        await transact(table, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Table, "transact", crash_later)
        await store.add_requests(playlist)
        async with raw_items(settings) as (client, items):
            assert sum(item["SK"]["S"].startswith("REQUEST#") for item in items) == 99
            # Finished before the batch is completed: it must not come back.
            gone = {"PK": {"S": "REQUESTS"}, "SK": {"S": "REQUEST#request-7"}}
            await client.delete_item(TableName=settings.dynamodb_table_bot, Key=gone)
    assert await store.open_requests() == [one for one in playlist if one != playlist[7]]


async def test_a_call_whose_answer_was_lost_still_finishes_its_request(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.add_requests([request(1)])
    write = Table.write

    async def twice(table: Table, what: Any) -> Any:  # noqa: ANN401 - as write
        if isinstance(what, Update):
            await write(table, what)
        return await write(table, what)

    monkeypatch.setattr(Table, "write", twice)
    assert await store.finish_request("request-1") == request(1)
    assert await store.finish_request("request-1") is None


async def test_a_finished_request_that_could_not_be_deleted_is_finished_and_expires(
    store: DynamoStore, settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseUnavailable("a network that is away")

    await store.add_requests([request(1)])
    with monkeypatch.context() as patched:
        patched.setattr(requests, "_delete", away)
        assert await store.finish_request("request-1") == request(1)
    assert await store.finish_request("request-1") is None
    assert await store.request("request-1") is None
    assert await store.open_requests() == []
    async with raw_items(settings) as (_, items):
        assert [int(item["expires_at"]["N"]) > time.time() for item in items] == [True]
    await store.add_requests([request(1)])
    assert await store.open_requests() == [request(1)]


async def test_an_id_of_any_length_is_a_favourite(store: DynamoStore) -> None:
    long = [replace(track(number), video_id="ñ" * 2000 + str(number)) for number in (1, 2)]
    for one in long:
        assert await store.add_favourite(SNOWFLAKE, one)
    assert not await store.add_favourite(SNOWFLAKE, long[0])
    assert await store.favourites(SNOWFLAKE) == long[::-1]
    assert await store.remove_favourite(SNOWFLAKE, long[0].video_id)
    assert await store.favourites(SNOWFLAKE) == long[1:]


async def test_damaged_documents_are_unreadable_and_no_error(store: DynamoStore, settings: BotSettings) -> None:
    await store.save_player(player())
    await store.add_requests([request(1)])
    async with raw_items(settings) as (client, items):
        for item in items:
            await client.put_item(TableName=settings.dynamodb_table_bot, Item={**item, "document": {"B": b"no zlib"}})
    assert await store.load_players() == []
    assert await store.open_requests() == []
    assert await store.finish_request("request-1") is None


async def test_the_table_has_no_index_and_is_read_without_a_scan(
    store: DynamoStore, settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    query = Table.query

    async def noted(table: Table, condition: str, values: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as query
        asked.append({"values": values, **kwargs})
        return await query(table, condition, values, **kwargs)

    monkeypatch.setattr(Table, "query", noted)
    await store.load_players()
    await store.open_requests()
    await store.history(SNOWFLAKE)
    await store.favourites(SNOWFLAKE)
    assert len(asked) == 8 + 3
    assert all("pk" in one["values"] and "index" not in one for one in asked)
    async with raw_items(settings) as (client, _):
        described = await client.describe_table(TableName=settings.dynamodb_table_bot)
    assert "GlobalSecondaryIndexes" not in described["Table"]


async def test_a_reader_that_was_overtaken_opens_no_request_again(
    store: DynamoStore, settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[Item] = []

    async def note(table: Table) -> bool:
        heads.extend(await read_all(table, "#PK = :pk", {"pk": "REQUESTS"}))
        return True

    with monkeypatch.context() as patched:
        patched.setattr(requests, "_complete", note)
        await store.add_requests([request(one) for one in range(101)])
    assert await store.finish_request("request-7") == request(7)
    async with connected(settings, Schema(settings.dynamodb_table_bot, "DYNAMODB_TABLE_BOT")) as connection:
        await connection.run(lambda table: requests.complete_one(table, heads[0]))
    assert await store.request("request-7") is None
    assert len(await store.open_requests()) == 100
