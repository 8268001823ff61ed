"""What every GuildStore keeps. A new adapter adds a parameter to `server`, and no test."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from bot_service.settings import BotSettings
from bot_service.store import open_store
from bot_service.store.base import (
    MAX_FAVOURITES,
    MAX_HISTORY,
    FavouritesFull,
    GuildSettings,
    GuildStore,
    PendingRequest,
    Played,
    SavedPlayer,
)
from bot_service.store.documents import PLAYED, PLAYER, REQUEST, SETTINGS, TRACK
from bot_service.store.mongodb.store import open_mongodb
from common.databases.sqlite import StepConnection
from common.errors import DatabaseUnavailable
from common.settings import SharedSettings
from tests.contract import store_literals
from tests.contract.store_raw import Edit, Kind, edit_dynamodb, edit_mongodb, edit_sqlite, from_the_future
from tests.contract.store_samples import SNOWFLAKE, THEN, entry, player, request, track
from tests.servers.emulators import CREDENTIALS, REGION, Emulator
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import patience

ANN, BOB = SNOWFLAKE, SNOWFLAKE + 1
GUILD, OTHER = SNOWFLAKE, SNOWFLAKE + 1


Server = Mongo | Emulator | None


@pytest.fixture(params=["sqlite", "mongo", "ministack"])
def server(request: pytest.FixtureRequest) -> Server:
    """The server that the adapter needs; SQLite needs none."""
    return None if request.param == "sqlite" else request.getfixturevalue(request.param)


@pytest.fixture
async def settings(server: Server, tmp_path: Path) -> AsyncGenerator[BotSettings, None]:
    match server:
        case None:
            yield bot_settings(database_backend="sqlite", bot_sqlite_path=tmp_path / "deep" / "bot.db")
        case Mongo():
            async with fresh_database(server) as database:
                shared = server.settings(database)
                keys = [name for name in SharedSettings.model_fields if name.startswith(("database_", "mongo_"))]
                yield bot_settings(**{name: getattr(shared, name) for name in keys})
        case Emulator():
            table = f"bot-{secrets.token_hex(6)}"
            yield bot_settings(
                database_backend="dynamodb",
                dynamodb_table_bot=table,
                aws_region=REGION,
                aws_endpoint_url=server.url,
            )


def bot_settings(**values: Any) -> BotSettings:  # noqa: ANN401 - any setting
    return BotSettings(discord_token=SecretStr("nobody's"), **values)


@pytest.fixture
def reopened(settings: BotSettings) -> Callable[[], AbstractAsyncContextManager[GuildStore]]:
    return lambda: open_store(settings)


@pytest.fixture
async def store(settings: BotSettings) -> AsyncGenerator[GuildStore, None]:
    async with open_store(settings) as opened:
        yield opened


@pytest.fixture
def edit(server: Server, settings: BotSettings) -> Callable[[Kind, Edit], Awaitable[None]]:
    """Changes every stored document of a kind."""

    async def edit_all(kind: Kind, change: Edit) -> None:
        match server:
            case None:
                edit_sqlite(settings.bot_sqlite_path, kind, change)
            case Mongo():
                await edit_mongodb(server, settings.mongo_database, kind, change)
            case Emulator():
                await edit_dynamodb(settings, kind, change)

    return edit_all


class TestPlayers:
    async def test_nothing_is_saved_at_first(self, store: GuildStore) -> None:
        assert await store.load_players() == []

    async def test_a_player_comes_back_as_it_was(self, store: GuildStore) -> None:
        await store.save_player(player())
        assert await store.load_players() == [player()]

    async def test_so_does_one_that_is_idle(self, store: GuildStore) -> None:
        idle = SavedPlayer(GUILD, "idle", None, 0, (), (), "off", None, None, None, THEN)
        await store.save_player(idle)
        assert await store.load_players() == [idle]

    async def test_the_last_save_counts_and_each_guild_has_its_own(self, store: GuildStore) -> None:
        await store.save_player(player(OTHER))
        await store.save_player(player(GUILD))
        later = replace(player(GUILD), current=entry(9), next_frame=7, entries=(), phase="paused")
        await store.save_player(later)
        assert await store.load_players() == [later, player(OTHER)]

    async def test_a_forgotten_player_is_gone(self, store: GuildStore) -> None:
        await store.save_player(player(GUILD))
        await store.save_player(player(OTHER))
        await store.forget_player(GUILD)
        await store.forget_player(GUILD)
        assert await store.load_players() == [player(OTHER)]

    async def test_a_queue_of_five_hundred_is_saved_whole(self, store: GuildStore) -> None:
        full = replace(player(), entries=tuple(entry(number) for number in range(500)))
        await store.save_player(full)
        assert await store.load_players() == [full]

    async def test_texts_that_look_like_something_else_are_texts(self, store: GuildStore) -> None:
        hostile = ['{"$ne": null}', "$ave Dat Money", "a.b.c", "'; DROP TABLE players; --", "\x00", "\u202e", "😀"]
        entries = tuple(replace(entry(), song=text, track=replace(track(), title=text)) for text in hostile)
        await store.save_player(replace(player(), entries=entries))
        assert (await store.load_players())[0].entries == entries

    async def test_half_a_surrogate_pair_is_a_question_mark(self, store: GuildStore) -> None:
        await store.save_player(replace(player(), current=replace(entry(), song="a\ud800b")))
        (saved,) = await store.load_players()
        assert saved.current is not None
        assert saved.current.song == "a?b"


class TestPositions:
    async def test_positions_of_many_guilds_change_together_and_nothing_else_does(self, store: GuildStore) -> None:
        guilds = range(SNOWFLAKE, SNOWFLAKE + 60)
        await asyncio.gather(*(store.save_player(player(guild)) for guild in guilds))
        before = datetime.now(UTC)
        await store.save_positions({guild: number * 50 for number, guild in enumerate(guilds)})
        loaded = await store.load_players()
        assert [saved.next_frame for saved in loaded] == [number * 50 for number in range(60)]
        assert all(before <= saved.saved_at <= datetime.now(UTC) for saved in loaded)
        assert [replace(saved, next_frame=42, saved_at=THEN) for saved in loaded] == [player(guild) for guild in guilds]

    async def test_guilds_that_are_not_saved_are_passed_over(self, store: GuildStore) -> None:
        await store.save_positions({})
        await store.save_player(player(GUILD))
        await store.save_positions({GUILD: 100, OTHER: 200})
        assert [(saved.guild_id, saved.next_frame) for saved in await store.load_players()] == [(GUILD, 100)]

    async def test_a_position_never_lands_on_a_player_that_was_saved_after_it(self, store: GuildStore) -> None:
        for _ in range(20):
            await store.save_player(player())
            await asyncio.gather(
                store.save_positions({GUILD: 5_000}), store.save_player(replace(player(), next_frame=0))
            )
            assert [saved.next_frame for saved in await store.load_players()] == [0]

    async def test_positions_go_on_after_a_restart(
        self, reopened: Callable[[], AbstractAsyncContextManager[GuildStore]]
    ) -> None:
        for frame in (100, 200, 50):
            async with reopened() as store:
                if frame == 100:
                    await store.save_player(player())
                await store.load_players()
                await store.save_positions({GUILD: frame})
                assert [saved.next_frame for saved in await store.load_players()] == [frame]


class TestSettings:
    async def test_a_guild_that_chose_nothing_has_the_defaults(self, store: GuildStore) -> None:
        assert await store.settings(GUILD) == GuildSettings()

    async def test_what_was_chosen_stays_in_its_guild(self, store: GuildStore) -> None:
        chosen = GuildSettings("en", SNOWFLAKE + 9, True, 3, True, True, False, False)  # noqa: FBT003 - all of them
        await store.save_settings(GUILD, GuildSettings(stay=True))
        await store.save_settings(GUILD, chosen)
        assert await store.settings(GUILD) == chosen
        assert await store.settings(OTHER) == GuildSettings()


class TestFavourites:
    async def test_the_latest_comes_first_and_each_user_has_their_own(self, store: GuildStore) -> None:
        assert await store.favourites(ANN) == []
        for number in (1, 2, 3):
            assert await store.add_favourite(ANN, track(number))
        assert await store.add_favourite(BOB, track(1))
        assert await store.favourites(ANN) == [track(3), track(2), track(1)]
        assert await store.favourites(BOB) == [track(1)]

    async def test_one_that_is_there_keeps_its_place(self, store: GuildStore) -> None:
        await store.add_favourite(ANN, track(1))
        await store.add_favourite(ANN, track(2))
        assert not await store.add_favourite(ANN, replace(track(1), title="renamed"))
        assert await store.favourites(ANN) == [track(2), track(1)]

    async def test_one_can_be_removed_and_added_again(self, store: GuildStore) -> None:
        assert not await store.remove_favourite(ANN, "video-1")
        await store.add_favourite(ANN, track(1))
        await store.add_favourite(ANN, track(2))
        assert await store.remove_favourite(ANN, "video-1")
        assert not await store.remove_favourite(ANN, "video-1")
        assert not await store.remove_favourite(BOB, "video-2")
        assert await store.favourites(ANN) == [track(2)]
        assert await store.add_favourite(ANN, track(1))
        assert await store.favourites(ANN) == [track(1), track(2)]

    async def test_there_is_a_limit_also_for_those_who_come_together(self, store: GuildStore) -> None:
        await asyncio.gather(*(store.add_favourite(ANN, track(number)) for number in range(MAX_FAVOURITES - 2)))
        late = [store.add_favourite(ANN, track(number)) for number in range(1000, 1008)]
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert sorted(str(outcome) for outcome in outcomes if outcome is True) == ["True"] * 2
        assert sum(isinstance(outcome, FavouritesFull) for outcome in outcomes) == 6
        assert len(await store.favourites(ANN)) == MAX_FAVOURITES
        assert not await store.add_favourite(ANN, track(1)), "one that is there is no question of room"
        assert await store.add_favourite(BOB, track(1))
        assert await store.remove_favourite(ANN, "video-1")
        assert await store.add_favourite(ANN, track(2000))

    async def test_the_same_track_added_many_times_at_once_is_added_once(
        self, store: GuildStore, reopened: Callable[[], AbstractAsyncContextManager[GuildStore]]
    ) -> None:
        async with reopened() as second:
            adding = [opened.add_favourite(ANN, track(1)) for opened in (store, second) for _ in range(5)]
            assert sorted(await asyncio.gather(*adding)) == [False] * 9 + [True]
        assert await store.favourites(ANN) == [track(1)]


class TestRequests:
    async def test_an_open_request_is_known_until_it_is_finished(self, store: GuildStore) -> None:
        assert await store.request("request-1") is None
        await store.add_requests([request(1)])
        assert await store.request("request-1") == request(1)
        assert await store.finish_request("request-1") == request(1)
        assert await store.request("request-1") is None
        assert await store.finish_request("request-1") is None
        assert await store.open_requests() == []

    async def test_open_requests_come_oldest_first(self, store: GuildStore) -> None:
        await store.add_requests([])
        playlist = [request(number, playlist_id="list") for number in (10, 3, 9)]
        await store.add_requests(playlist)
        await store.add_requests([request(1)])
        assert await store.open_requests() == [request(1), *sorted(playlist, key=lambda asked: asked.asked_at)]

    async def test_the_longest_playlist_is_added_at_once_and_each_song_of_it_finished(self, store: GuildStore) -> None:
        playlist = [request(number, playlist_id="list") for number in range(500)]
        await store.add_requests(playlist)
        assert await store.finish_request("request-499") == playlist[499]
        assert await store.open_requests() == playlist[:499]

    async def test_a_request_that_is_told_again_is_written_over(self, store: GuildStore) -> None:
        await store.add_requests([request(1), request(2)])
        answered = replace(request(1), message_id=SNOWFLAKE)
        await store.add_requests([answered])
        await store.add_requests([answered, request(2)])
        assert await store.open_requests() == [answered, request(2)]

    async def test_one_of_many_who_finish_a_request_gets_it(
        self, store: GuildStore, reopened: Callable[[], AbstractAsyncContextManager[GuildStore]]
    ) -> None:
        await store.add_requests([request(1)])
        async with reopened() as second:
            asking = [opened.finish_request("request-1") for opened in (store, second) for _ in range(10)]
            outcomes = await asyncio.gather(*asking)
        assert [outcome for outcome in outcomes if outcome is not None] == [request(1)]

    async def test_two_processes_share_requests_without_one_twice(
        self, store: GuildStore, settings: BotSettings
    ) -> None:
        count = 50
        await store.add_requests([request(number) for number in range(count)])
        async with running("finish", count, settings) as left, running("finish", count, settings) as right:
            assert [await line_of(racer) for racer in (left, right)] == ["ready", "ready"]
            finished = await asyncio.gather(left.communicate(b"go\n"), right.communicate(b"go\n"))
        first, second = (set(json.loads(out)) for out, _ in finished)
        assert not first & second
        assert first | second == set(range(count))
        assert await store.open_requests() == []

    def test_a_request_does_not_show_its_token(self) -> None:
        assert request().interaction_token not in repr(request())


class TestHistory:
    async def test_the_latest_comes_first(self, store: GuildStore) -> None:
        assert await store.history(GUILD) == []
        for number in range(25):
            await store.add_history(GUILD, track(number), ANN, THEN + timedelta(seconds=number))
        await store.add_history(OTHER, track(1), BOB, THEN)
        newest = [Played(track(number), ANN, THEN + timedelta(seconds=number)) for number in reversed(range(25))]
        assert await store.history(GUILD) == newest[:20]
        assert await store.history(GUILD, 3) == newest[:3]
        assert await store.history(GUILD, 1000) == newest
        assert await store.history(GUILD, 0) == []
        assert await store.history(OTHER) == [Played(track(1), BOB, THEN)]

    async def test_the_same_song_twice_is_two_lines(self, store: GuildStore) -> None:
        for _ in range(2):
            await store.add_history(GUILD, track(1), ANN, THEN)
        assert await store.history(GUILD) == [Played(track(1), ANN, THEN)] * 2

    async def test_the_oldest_make_room(self, store: GuildStore) -> None:
        await store.add_history(OTHER, track(1), ANN, THEN)
        for number in range(MAX_HISTORY + 5):
            await store.add_history(GUILD, track(number), ANN, THEN)
        kept = await store.history(GUILD, 1000)
        assert [line.track.video_id for line in kept] == [f"video-{n}" for n in range(MAX_HISTORY + 4, 4, -1)]
        assert len(await store.history(OTHER)) == 1


class TestRestart:
    async def test_everything_is_there_again(
        self, reopened: Callable[[], AbstractAsyncContextManager[GuildStore]]
    ) -> None:
        async with reopened() as store:
            await fill(store)
        async with reopened() as store:
            await assert_filled(store)

    async def test_what_was_saved_survives_kill_9(self, store: GuildStore, settings: BotSettings) -> None:
        for guild, rounds in ((GUILD, 1), (OTHER, 8)):
            async with running("write", guild, settings) as writer:
                told = [int(await line_of(writer)) for _ in range(rounds)]
                writer.kill()
                rest, _ = await writer.communicate()
            # What was being written when it died may be there or not; what it had told is.
            last = int(rest.split()[-1]) if rest.split() else told[-1]
            saved = {one.guild_id: one.next_frame for one in await store.load_players()}
            assert saved[guild] in {last, last + 1}
        await store.save_player(player())

    async def test_many_may_open_a_new_store_together(
        self, reopened: Callable[[], AbstractAsyncContextManager[GuildStore]]
    ) -> None:
        async def open_and_save(number: int) -> None:
            async with reopened() as store:
                await store.save_player(player(number))

        await asyncio.gather(*(open_and_save(number) for number in range(1, 6)))
        async with reopened() as store:
            assert [saved.guild_id for saved in await store.load_players()] == [1, 2, 3, 4, 5]


class TestVersion01:
    async def test_its_database_is_read(self, store: GuildStore, server: Server, settings: BotSettings) -> None:
        match server:
            case None:
                store_literals.insert_sqlite(settings.bot_sqlite_path)
            case Mongo():
                await store_literals.insert_mongodb(server, settings.mongo_database)
            case Emulator():
                await store_literals.insert_dynamodb(settings)
        await assert_filled(store)
        await store.save_positions({GUILD: 50})
        assert [saved.next_frame for saved in await store.load_players()] == [50]
        assert await store.remove_favourite(ANN, "video-1")
        assert await store.finish_request("request-1") == request(1)

    def test_its_documents_are_still_written(self) -> None:
        assert PLAYER.text(player()) == store_literals.PLAYER
        assert SETTINGS.text(GuildSettings(stay=True)) == store_literals.SETTINGS
        assert TRACK.text(track(1)) == store_literals.TRACK
        assert REQUEST.text(request(1)) == store_literals.REQUEST
        assert PLAYED.text(Played(track(1), ANN, THEN)) == store_literals.PLAYED


class TestOddRecords:
    async def test_fields_of_a_newer_program_are_passed_over(
        self, store: GuildStore, edit: Callable[[Kind, Edit], Awaitable[None]]
    ) -> None:
        await fill(store)
        for kind in ("players", "settings", "requests", "favourites", "history"):
            await edit(kind, from_the_future)
        await assert_filled(store)

    @pytest.mark.parametrize("damaged", ["not a document", None, 7, [1], {}])
    async def test_what_cannot_be_read_is_logged_and_as_if_it_were_not_there(
        self, store: GuildStore, edit: Callable[[Kind, Edit], Awaitable[None]], damaged: object
    ) -> None:
        await fill(store)
        for kind in ("players", "requests", "favourites", "history"):
            await edit(kind, lambda _: damaged)
        await store.save_player(player(OTHER))
        await store.add_favourite(ANN, track(7))
        await store.add_history(GUILD, track(7), ANN, THEN)
        await store.add_requests([request(7)])
        with capture_logs() as logs:
            assert await store.load_players() == [player(OTHER)]
            assert await store.favourites(ANN) == [track(7)]
            assert await store.history(GUILD) == [Played(track(7), ANN, THEN)]
            assert await store.open_requests() == [request(7)]
            assert await store.request("request-1") is None
            assert await store.finish_request("request-1") is None
        unreadable = [line["record"] for line in logs if line["event"] == "store.unreadable"]
        assert unreadable == ["SavedPlayer", "Track", "Played", *["PendingRequest"] * 3]

    async def test_settings_that_cannot_be_read_are_the_defaults(
        self, store: GuildStore, edit: Callable[[Kind, Edit], Awaitable[None]]
    ) -> None:
        await store.save_settings(GUILD, GuildSettings(stay=True))
        await edit("settings", lambda document: {**document, "max_per_user": "as many as you like"})
        with capture_logs() as logs:
            assert await store.settings(GUILD) == GuildSettings()
        assert [(line["record"], line["key"], line["log_level"]) for line in logs] == [
            ("GuildSettings", GUILD, "error")
        ]
        assert "as you like" not in str(logs)

    async def test_settings_of_an_older_program_have_the_defaults_of_what_it_did_not_know(
        self, store: GuildStore, edit: Callable[[Kind, Edit], Awaitable[None]]
    ) -> None:
        await store.save_settings(GUILD, GuildSettings(stay=True))
        await edit("settings", lambda _: {"stay": True})
        assert await store.settings(GUILD) == GuildSettings(stay=True)


class TestHealth:
    async def test_an_open_store_is_well(self, store: GuildStore, server: Server, settings: BotSettings) -> None:
        health = await store.health()
        assert (health.ok, health.error) == (True, "")
        if isinstance(server, Emulator):
            assert (health.name, health.metadata) == ("dynamo_db", {"table_name": settings.dynamodb_table_bot})
        else:
            assert health.name == ("mongo_db" if server else "sqlite")
            assert next(iter(health.metadata.values()))["version"]

    async def test_a_closed_store_says_so(
        self, reopened: Callable[[], AbstractAsyncContextManager[GuildStore]]
    ) -> None:
        async with reopened() as store:
            pass
        with pytest.raises(DatabaseUnavailable, match="close"):
            await store.load_players()
        health = await store.health()
        assert not health.ok
        assert "close" in health.error


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and longer than its header would be")
    for path in (tmp_path / "text", tmp_path / "text" / "below", tmp_path):
        with pytest.raises(DatabaseUnavailable, match="BOT_SQLITE_PATH"):
            async with open_store(bot_settings(database_backend="sqlite", bot_sqlite_path=path)):
                pass


def test_a_file_that_cannot_be_opened_leaves_no_thread_that_speaks_to_a_closed_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    before = set(threading.enumerate())

    async def fail_to_open() -> None:
        with suppress(sqlite3.Error):
            await StepConnection(lambda: sqlite3.connect(tmp_path), "BOT_SQLITE_PATH").open()

    for _ in range(50):
        asyncio.run(fail_to_open())
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert not died


async def test_mongodb_walks_through_no_collection_to_find_something(mongo: Mongo) -> None:
    async with fresh_database(mongo) as name, open_mongodb(mongo.settings(name)) as store, mongo.admin() as admin:
        for number in range(20):
            await store.save_player(player(number))
            await store.add_requests([request(number)])
        await fill(store)
        database = admin[name]
        await database.command("profile", 2)
        await store.request("request-1")
        await store.open_requests()
        await store.finish_request("request-1")
        await store.favourites(ANN)
        await store.add_favourite(ANN, track(2))
        await store.remove_favourite(ANN, "video-2")
        await store.history(GUILD)
        await store.settings(GUILD)
        await store.save_positions(dict.fromkeys(range(20), 1))
        await database.command("profile", 0)
        asked = await database["system.profile"].find({"ns": {"$ne": f"{name}.system.profile"}}).to_list(None)
    plans = {row["planSummary"] for row in asked if "planSummary" in row}
    assert plans
    assert not any("COLLSCAN" in plan for plan in plans), plans
    assert any("asked_at" in plan for plan in plans), "the oldest request is first in an index"
    assert not any(row.get("hasSortStage") for row in asked)


@pytest.mark.slow
async def test_a_server_that_is_away_is_said_in_time_and_is_no_failure_at_start() -> None:
    settings = bot_settings(database_backend="mongodb", mongo_host=f"127.0.0.1:{free_port()}")
    async with asyncio.timeout(patience(30)), open_mongodb(settings, operation_seconds=patience(0.5)) as store:
        for asking in (store.load_players(), store.save_player(player()), store.finish_request("x")):
            with pytest.raises(DatabaseUnavailable, match="MONGO_HOST"):
                await asking
        assert not (await store.health()).ok


def numbers() -> st.SearchStrategy[int]:
    return st.integers(0, 2**63 - 1)


def moments() -> st.SearchStrategy[datetime]:
    return st.datetimes(timezones=st.just(UTC))


@given(st.builds(SavedPlayer, guild_id=numbers(), saved_at=moments()), st.builds(PendingRequest, asked_at=moments()))
@hypothesis_settings(max_examples=60)
def test_whatever_is_written_is_read_back(saved: SavedPlayer, asked: PendingRequest) -> None:
    assert PLAYER.read_text(PLAYER.text(saved), 1) == saved
    assert REQUEST.read(REQUEST.document(asked), 1) == asked


async def fill(store: GuildStore) -> None:
    await store.save_player(player())
    await store.save_settings(GUILD, GuildSettings(stay=True))
    await store.add_favourite(ANN, track(1))
    await store.add_requests([request(1)])
    await store.add_history(GUILD, track(1), ANN, THEN)


async def assert_filled(store: GuildStore) -> None:
    assert await store.load_players() == [player()]
    assert await store.settings(GUILD) == GuildSettings(stay=True)
    assert await store.favourites(ANN) == [track(1)]
    assert await store.open_requests() == [request(1)]
    assert await store.history(GUILD) == [Played(track(1), ANN, THEN)]


@asynccontextmanager
async def running(task: str, number: int, settings: BotSettings) -> AsyncGenerator[Process]:
    """`store_racer` in a process of its own, over the same store."""
    prefixes = ("database_", "mongo_", "bot_sqlite", "dynamodb_", "aws_")
    keys = [name for name in BotSettings.model_fields if name.startswith(prefixes)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.store_racer", task, str(number)),
        cwd=Path(__file__).parents[2],
        env=child_environment(
            {**CREDENTIALS, "DISCORD_TOKEN": "nobody's", **{key.upper(): plain(getattr(settings, key)) for key in keys}}
        ),
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def plain(value: Any) -> str:  # noqa: ANN401 - any setting
    """A setting as the environment has it."""
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else "" if value is None else value)


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()
