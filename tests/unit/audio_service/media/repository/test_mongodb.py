"""What only the MongoDB adapter can get wrong: a server that is away or changes, rights, certificates, indexes, and
texts that look like operators.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Int64
from pymongo.asynchronous.collection import AsyncCollection
from structlog.testing import capture_logs

from audio_service.media.model import Encoding, MediaStatus
from audio_service.media.repository.base import Finished, Joined, Owned, StoredMedia, Unannounced, Waiter
from audio_service.media.repository.mongodb import expiring as mongodb_expiring
from audio_service.media.repository.mongodb.collections import Collections
from audio_service.media.repository.mongodb.documents import all_grams
from audio_service.media.repository.mongodb.repository import MongoRepository, open_mongodb
from audio_service.settings import AudioSettings
from common.errors import DatabaseUnavailable, LeaseLost
from common.messages.downloads import FileData, PlatformMetadata
from tests.servers.certificates import have_openssl
from tests.servers.mongo import Admin, Mongo, fresh_database, open_mongo, open_standalone
from tests.servers.ports import free_port
from tests.waiting import patience, until

LONG = timedelta(minutes=5)
KEEP = timedelta(days=1)
SOON = patience(1.0)
ANN, BOB = Waiter("request-ann", "ann"), Waiter("request-bob", "bob")
PASSWORD = "p$w/:@"  # noqa: S105 - of a server that lives for one test
SONG = PlatformMetadata(title="New Rules")
HOSTILE = [
    '{"$ne": null}',
    "$ne",
    "$$NOW",
    "$$ROOT",
    "$where",
    "$ave Dat Money",
    "a.b.c",
    ".*",
    "'; return true; //",
    "\x00",
    "__proto__",
    "$literal",
]


def made(title: str = "New Rules") -> StoredMedia:
    return StoredMedia(
        PlatformMetadata(title=title), FileData(file_path="x"), 1, Encoding("passthrough", "x", 1, "00"), "ok"
    )


@asynccontextmanager
async def over(mongo: Mongo, **overrides: Any) -> AsyncGenerator[tuple[MongoRepository, AudioSettings]]:  # noqa: ANN401 - any setting
    """A repository over a database of its own."""
    async with fresh_database(mongo) as database:
        settings = mongo.settings(database, **overrides)
        async with open_mongodb(settings) as repository:
            yield repository, settings


async def publish(repository: MongoRepository, song: str, title: str) -> None:
    waiter = Waiter(f"for-{song}", "u")
    claimed = await repository.claim(song, waiter, PlatformMetadata(title=title), LONG)
    assert isinstance(claimed, Owned)
    await repository.mark_success(song, claimed.fence, made(title))
    await repository.settle(song, claimed.fence, [waiter.request_id], keep=KEEP)


async def until_up(repository: MongoRepository) -> None:
    async def up() -> bool:
        return (await repository.health()).ok

    await until(up)


class TestAvailability:
    async def test_a_server_that_is_down_at_start_or_goes_away_later_is_waited_for(self) -> None:
        async with open_mongo() as mongo:
            (member,) = mongo.members
            await mongo.kill(member)
            async with open_mongodb(mongo.settings("library"), operation_seconds=SOON) as repository:
                health = await repository.health()
                assert (health.name, health.ok) == ("mongo_db", False)
                with pytest.raises(DatabaseUnavailable, match="MONGO_HOST"):
                    await repository.claim("one", ANN, SONG, LONG)

                await mongo.restart(member)
                await until_up(repository)
                claimed = await repository.claim("one", ANN, SONG, LONG)
                assert isinstance(claimed, Owned)
                assert await index_names(mongo, "library") >= {"by_text", "by_gram", "by_update", "by_waiter"}

                await mongo.kill(member)
                with pytest.raises(DatabaseUnavailable):
                    await repository.mark_success("one", claimed.fence, made())
                assert not (await repository.health()).ok
                await mongo.restart(member)
                await until_up(repository)
                media, waiters = await repository.mark_success("one", claimed.fence, made())
                assert (media.status, list(waiters)) == (MediaStatus.SUCCESS, [ANN])

    async def test_nobody_there_is_said_in_time(self) -> None:
        settings = AudioSettings(database_backend="mongodb", mongo_host=f"127.0.0.1:{free_port()}")
        async with asyncio.timeout(patience(20)), open_mongodb(settings, operation_seconds=SOON) as repository:
            with pytest.raises(DatabaseUnavailable, match="MONGO_HOST"):
                await repository.get("one")
            assert "MONGO_HOST" in (await repository.health()).error

    async def test_a_standalone_server_is_refused(self) -> None:
        async with open_standalone() as mongo:
            settings = mongo.settings("library", mongo_replica_set_name="")
            with pytest.raises(DatabaseUnavailable, match="MONGO_HOST: a replica set is needed"):
                async with open_mongodb(settings):
                    pass

    @pytest.mark.parametrize("hosts", [",", "mongodb://user@host", "user@host", "127.0.0.1:notaport"])
    async def test_hosts_that_are_none_are_refused(self, hosts: str) -> None:
        with pytest.raises(DatabaseUnavailable, match="MONGO_"):
            async with open_mongodb(AudioSettings(database_backend="mongodb", mongo_host=hosts)):
                pass

    async def test_a_closed_repository_says_so(self, mongo: Mongo) -> None:
        async with over(mongo) as (repository, _):
            pass
        with pytest.raises(DatabaseUnavailable, match="close"):
            await repository.get("one")
        assert not (await repository.health()).ok


class TestFailover:
    async def test_killing_the_primary_loses_nothing_and_doubles_nothing(self) -> None:
        songs, workers = 40, 4
        async with open_mongo(members=3) as mongo, open_mongodb(mongo.settings("library")) as repository:
            stream = Stream(repository)
            upcoming = iter(range(songs))

            async def work() -> None:
                for number in upcoming:
                    await stream.bring(f"song-{number}")
                    if number == songs // 4:
                        victims.append(await mongo.kill_primary())

            victims: list[Any] = []
            await asyncio.gather(*(work() for _ in range(workers)))
            assert len(victims) == 1
            await mongo.restart(victims[0])

            for number in range(songs):
                song = f"song-{number}"
                media = await repository.get(song)
                assert media is not None
                assert media.status is MediaStatus.SUCCESS
                fences = stream.fences[song]
                assert fences == sorted(set(fences)), "a fence was given out twice"
                assert stream.recorded[song] == 1, "made and recorded twice, or acknowledged and lost"
                for asker in ("first", "second"):
                    assert await repository.is_answered(f"{asker}-{song}")
                    assert await repository.waits_for(f"{asker}-{song}") is None
                with pytest.raises(LeaseLost):
                    await repository.renew(song, fences[0] - 1, LONG)


class Stream:
    """Brings songs into the library as workers do: what the database refuses is tried again from the start."""

    def __init__(self, repository: MongoRepository) -> None:
        self.repository = repository
        self.fences: dict[str, list[int]] = {}
        self.recorded: dict[str, int] = {}

    async def bring(self, song: str) -> None:
        owner, joiner = Waiter(f"first-{song}", "u"), Waiter(f"second-{song}", "u")
        joined = False
        while True:
            try:
                if await self.repository.is_answered(owner.request_id):
                    return
                claimed = await self.repository.claim(song, owner, SONG, LONG)
                match claimed:
                    case Owned(fence):
                        self.fences.setdefault(song, []).append(fence)
                        if not joined:
                            assert await self.repository.claim(song, joiner, SONG, LONG) == Joined()
                            joined = True
                        _, waiters = await self.repository.mark_success(song, fence, made(song))
                        self.recorded[song] = self.recorded.get(song, 0) + 1
                    case Unannounced(fence, _, waiters):
                        # The outcome was written, and the word of it lost with the server.
                        self.fences.setdefault(song, []).append(fence)
                        self.recorded.setdefault(song, 1)
                    case Finished() | Joined():
                        # As above, of settling.
                        return
                    case _:
                        raise AssertionError(claimed)
                assert {waiter.request_id for waiter in waiters} == {owner.request_id, joiner.request_id}
                answered = [waiter.request_id for waiter in waiters]
                assert await self.repository.settle(song, fence, answered, keep=KEEP) == ()
            except DatabaseUnavailable:
                continue


class TestAccess:
    async def test_a_user_with_no_more_than_read_and_write_is_enough(self) -> None:
        async with open_mongo(auth=True) as mongo:
            async with mongo.admin() as admin:
                roles = [{"role": "readWrite", "db": "library"}]
                await admin.admin.command("createUser", "butakero", pwd=PASSWORD, roles=roles)
            settings = mongo.settings("library", mongo_user="butakero", mongo_password=PASSWORD)
            async with open_mongodb(settings) as repository:
                await publish(repository, "one", "New Rules")
                assert len((await repository.search("rules")).items) == 1
                health = await repository.health()
                assert health.ok
                about = health.metadata["mongo"]
                assert about["replica_set_status"]["role"] == "PRIMARY"
                assert about["replica_set_status"]["replica_set_id"] == "rs0"
                assert about["connections"]["current"] is None

            for wrong in ({"mongo_password": "nope"}, {"mongo_user": "nobody"}, {"mongo_user": ""}):
                with pytest.raises(DatabaseUnavailable, match="MONGO_USER") as caught:
                    async with open_mongodb(mongo.settings("library", **wrong)):
                        pass
                assert mongo.password not in caught.value.detail
                assert "nope" not in caught.value.detail
            with pytest.raises(DatabaseUnavailable, match="MONGO_USER: no right"):
                async with open_mongodb(settings.model_copy(update={"mongo_database": "other"})):
                    pass

    @pytest.mark.skipif(not have_openssl(), reason="certificates are made with the openssl program")
    async def test_tls_with_certificates_of_both_sides(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with open_mongo(tls=True) as mongo:
            certificates = mongo.certificates
            assert certificates is not None
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
            apart = {"mongo_cert_file": certificates.client_certificate, "mongo_key_file": certificates.client_key}
            together = {"mongo_cert_file": certificates.client_pair, "mongo_key_file": certificates.client_pair}
            for number, files in enumerate((apart, together, {"mongo_cert_file": certificates.client_pair})):
                async with open_mongodb(mongo.settings("library", **files)) as repository:
                    await publish(repository, f"song-{number}", "New Rules")
                    assert not list(tmp_path.iterdir()), "the key stays in no file of ours"

            stranger = mongo.settings("library", **apart, mongo_ca_file=certificates.stranger)
            with pytest.raises(DatabaseUnavailable, match="MONGO_CA_FILE"):
                async with open_mongodb(stranger, operation_seconds=SOON):
                    pass
            refused = mongo.settings("library")
            for settings in (refused, refused.model_copy(update={"mongo_enable_tls": False})):
                async with open_mongodb(settings, operation_seconds=SOON) as repository:
                    with pytest.raises(DatabaseUnavailable, match="MONGO_HOST"):
                        await repository.get("one")

    @pytest.mark.parametrize("key", ["mongo_ca_file", "mongo_cert_file", "mongo_key_file"])
    async def test_a_file_that_is_missing_or_is_none_is_named(self, tmp_path: Path, key: str) -> None:
        wrong = tmp_path / "wrong.pem"
        wrong.write_text("not a certificate")
        for path in (tmp_path / "missing.pem", wrong):
            settings = AudioSettings(database_backend="mongodb", mongo_enable_tls=True).model_copy(update={key: path})
            with pytest.raises(DatabaseUnavailable, match="MONGO_"):
                async with open_mongodb(settings):
                    pass


class TestCommands:
    async def test_nothing_that_is_asked_walks_through_a_collection(self, mongo: Mongo) -> None:
        async with over(mongo) as (repository, settings), mongo.admin() as admin:
            for number in range(30):
                await publish(repository, f"song-{number}", f"Song number {number}")
            database = admin[settings.mongo_database]
            await database.command("profile", 2)
            await everything(repository)
            await database.command("profile", 0)
            plans = [row async for row in database["system.profile"].find()]
        asked = [row for row in plans if row.get("op") in {"query", "command", "update", "remove"}]
        assert len(asked) > 20
        for row in asked:
            assert "COLLSCAN" not in row.get("planSummary", ""), row["command"]
        searches = [row for row in asked if "grams" in str(row["command"].get("filter", ""))]
        assert searches
        assert all(row["planSummary"].startswith("IXSCAN { grams: 1, seq: -1 }") for row in searches)
        assert not any(row.get("hasSortStage") for row in asked)
        idle = [row for row in asked if row["command"].get("query", {}).get("size_bytes")]
        assert [row["docsExamined"] for row in idle] == [0, 1], "the index says when a file was used"
        counts = [row for row in asked if "aggregate" in row["command"]]
        assert counts
        assert sum(row["docsExamined"] for row in counts) == 0, "counting looks at the index alone"

    async def test_a_search_for_a_rare_part_of_common_words_looks_at_few_records(self, mongo: Mongo) -> None:
        async with over(mongo) as (repository, settings), mongo.admin() as admin:
            for number in range(60):
                await publish(repository, f"song-{number}", f"Love song number {number}")
            await publish(repository, "rare", "Love song xylophone")
            database = admin[settings.mongo_database]
            await database.command("profile", 2)
            found = await repository.search("love song xylo")
            assert (await repository.search("love song of nobody")).items == ()
            await database.command("profile", 0)
            assert [media.video_id for media in found.items] == ["rare"]
            plans = [row async for row in database["system.profile"].find({"op": "query"})]
        walked = [row for row in plans if "grams" in row["command"]["filter"]]
        assert [row["docsExamined"] for row in walked] == [1], "a gram that is nowhere ends the search before it began"

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_texts_that_look_like_operators_are_texts(self, mongo: Mongo, text: str) -> None:
        async with over(mongo) as (repository, _):
            await publish(repository, "bystander", "Something else entirely")
            waiter, metadata = Waiter(text, text), PlatformMetadata(title=f"{text} title", url=text, platform=text)
            assert await repository.get(text) is None
            assert not await repository.is_answered(text)
            assert await repository.waits_for(text) is None

            claimed = await repository.claim(text, waiter, metadata, LONG)
            assert isinstance(claimed, Owned)
            assert (claimed.media.video_id, claimed.media.metadata) == (text, metadata)
            assert await repository.waits_for(text) == text
            assert await repository.claim(text, Waiter("other", text), metadata, LONG) == Joined()
            done = StoredMedia(metadata, FileData(file_path=text), 1, Encoding("passthrough", text, 1, text), text)
            media, waiters = await repository.mark_success(text, claimed.fence, done)
            assert (media.metadata, media.file.file_path, media.message) == (metadata, text, text)
            assert list(waiters) == [waiter, Waiter("other", text)]
            assert list(await repository.settle(text, claimed.fence, [text], keep=KEEP)) == [Waiter("other", text)]
            assert await repository.is_answered(text)
            assert not await repository.is_answered("other")

            assert await repository.acquire(text, text, LONG) is None
            assert await repository.acquire(text, "other", LONG) is not None
            await repository.surrender(text, "other")
            assert await repository.acquire(text, text, LONG) is None
            await repository.remember(text, text, metadata, LONG)
            assert await repository.recall(text) == (text, metadata)
            assert [found.video_id for found in (await repository.search(f"{text} title")).items] == [text]
            assert all(found.video_id != "bystander" for found in (await repository.search(text)).items)

    async def test_a_request_that_is_settled_while_it_claims_is_answered_once(
        self, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with over(mongo) as (repository, _):
            await publish(repository, "one", "New Rules")

            async def looked_just_before(*_: object) -> bool:
                return False

            monkeypatch.setattr(mongodb_expiring, "is_answered", looked_just_before)
            assert await repository.claim("one", Waiter("for-one", "u"), SONG, LONG) == Joined()
            await repository.reopen("one")
            assert await repository.claim("one", Waiter("for-one", "u"), SONG, LONG) == Joined()
            assert await repository.waits_for("for-one") is None

    async def test_what_is_answered_from_is_noted_as_used_but_not_each_time(self, mongo: Mongo) -> None:
        async with over(mongo) as (repository, settings), mongo.admin() as admin:
            songs = admin[settings.mongo_database]["songs"]
            await publish(repository, "one", "New Rules")
            now = (await used_at(songs))["one"]
            assert isinstance(await repository.claim("one", ANN, SONG, LONG), Finished)
            assert (await used_at(songs))["one"] == now
            await songs.update_one({"_id": "one"}, {"$set": {"used_at": now - timedelta(hours=1)}})
            assert isinstance(await repository.claim("one", ANN, SONG, LONG), Finished)
            assert (await used_at(songs))["one"] >= now

    async def test_many_may_open_a_new_library_together(self, mongo: Mongo) -> None:
        async with fresh_database(mongo) as database:

            async def open_and_claim(number: int) -> bool:
                async with open_mongodb(mongo.settings(database)) as repository:
                    return isinstance(await repository.claim("one", Waiter(f"r{number}", "u"), SONG, LONG), Owned)

            assert sum(await asyncio.gather(*(open_and_claim(number) for number in range(8)))) == 1

    async def test_a_cancelled_settling_is_done_whole_or_not_at_all(self, mongo: Mongo) -> None:
        async with over(mongo) as (repository, _):
            for number in range(20):
                song = f"song-{number}"
                claimed = await repository.claim(song, Waiter(f"r{number}", "u"), SONG, LONG)
                assert isinstance(claimed, Owned)
                await repository.mark_success(song, claimed.fence, made())
                settling = asyncio.ensure_future(repository.settle(song, claimed.fence, [f"r{number}"], keep=KEEP))
                for _ in range(number):
                    await repository.get(song)
                settling.cancel()
                await asyncio.wait({settling})
                # The driver's thread may finish the step while these look: once, so they look until nothing moved.
                answered, waits, waited = False, await repository.waits_for(f"r{number}"), ""
                while waits != waited:
                    answered = await repository.is_answered(f"r{number}")
                    waits, waited = await repository.waits_for(f"r{number}"), waits
                assert answered is (waits is None)
                await repository.settle(song, claimed.fence, [f"r{number}"], keep=KEEP)
                assert isinstance(await repository.claim(song, BOB, SONG, LONG), Finished)

    async def test_what_has_run_out_is_removed_by_the_server(self, mongo: Mongo) -> None:
        async with over(mongo) as (repository, settings), mongo.admin() as admin:
            await repository.mark_answered("r", keep=LONG)
            for name in ("answered", "leases", "resolutions"):
                collection = admin[settings.mongo_database][f"{settings.mongo_collection_songs}_{name}"]
                about = await collection.index_information()
                assert about["by_until"]["expireAfterSeconds"] == 0


async def test_health_has_the_shape_of_the_contract(mongo: Mongo) -> None:
    async with over(mongo) as (repository, _):
        await repository.get("one")
        health = await repository.health()
    assert (health.name, health.ok, health.error) == ("mongo_db", True, "")
    about = health.metadata["mongo"]
    status, load = about["replica_set_status"], about["performance"]
    assert (status["role"], status["health"], status["members"], status["sync_status"]) == ("PRIMARY", 1, 1, "")
    assert status["last_election"].endswith("Z")
    assert set(status) == {"role", "health", "members", "last_election", "replica_set_id", "sync_status"}
    assert set(about["connections"]) == {"active", "available", "current", "rejected"}
    assert all(isinstance(value, int) for value in about["connections"].values())
    assert load["latency_ms"] > 0
    assert load["ops_per_sec"] >= 0
    assert load["memory_usage_mb"] > 0
    assert about["version"][0].isdigit()


async def everything(repository: MongoRepository) -> None:
    """Ask every question and give every order."""
    claimed = await repository.claim("one", ANN, SONG, LONG)
    assert isinstance(claimed, Owned)
    await repository.claim("one", BOB, SONG, LONG)
    await repository.renew("one", claimed.fence, LONG)
    await repository.waits_for(BOB.request_id)
    await repository.mark_error("one", claimed.fence, error_code="media_private", message="x")
    await repository.settle("one", claimed.fence, [ANN.request_id, BOB.request_id], keep=KEEP)
    await repository.yield_claim("one", claimed.fence)
    await repository.is_answered(ANN.request_id)
    await publish(repository, "two", "Two")
    await repository.reopen("two")
    await publish(repository, "three", "Three")
    await repository.count_play("three")
    assert await repository.stored_bytes() > 0
    assert await repository.begin_eviction(idle=LONG, lease=LONG) is None
    eviction = await repository.begin_eviction(idle=timedelta(0), lease=LONG)
    assert eviction is not None
    await repository.finish_eviction(eviction.media_id, eviction.fence)
    await repository.acquire("lease", "a", LONG)
    await repository.acquire("lease", "b", LONG)
    await repository.surrender("lease", "a")
    await repository.remember("q", "one", SONG, LONG)
    await repository.recall("q")
    await repository.get("two")
    page = await repository.search("song", limit=3)
    await repository.search("song number", limit=3, cursor=page.cursor)
    page = await repository.list(limit=3)
    await repository.list(limit=3, cursor=page.cursor)


async def used_at(songs: AsyncCollection[dict[str, Any]]) -> dict[str, datetime]:
    return {row["_id"]: row["used_at"] async for row in songs.find()}


async def index_names(mongo: Mongo, database: str) -> set[str]:
    async with mongo.admin() as admin:
        client: Admin = admin
        return set(await client[database]["songs"].index_information())


ORIGINAL: dict[str, Any] = {
    "_id": "k2qgadSvNyU",
    "title_lower": "dua lipa  new rules",
    "status": "success",
    "message": "ok",
    "metadata": {"title": "Dua Lipa - New Rules", "duration_ms": 225_000, "platform": "YouTube", "url": "u"},
    "file_data": {"file_path": "audio/dua lipa  new rules.dca", "file_size": "2.70MB", "file_type": "audio/dca"},
    "processing_date": datetime(2025, 5, 16, tzinfo=UTC),
    "success": True,
    "attempts": 1,
    "failures": 0,
    "created_at": datetime(2025, 5, 16, tzinfo=UTC),
    "updated_at": datetime(2025, 5, 16, tzinfo=UTC),
    "play_count": 0,
}
FOREIGN: list[dict[str, Any]] = [
    ORIGINAL,
    ORIGINAL | {"updated_at": "2025-05-16T23:06:17Z", "metadata": None, "fence": "x"},
    {"_id": "k2qgadSvNyU", "anything": 1},
    ORIGINAL
    | {"seq": Int64(5), "fence": Int64(1), "file": {}, "encoding": 3, "search_text": "new rules", "waiters": []},
]


@pytest.mark.parametrize("document", FOREIGN)
async def test_a_record_of_another_program_breaks_nothing_and_its_song_is_made_anew(
    mongo: Mongo, document: dict[str, Any]
) -> None:
    media_id = document["_id"]
    async with over(mongo) as (repository, _):
        own = await repository.claim("own", BOB, SONG, LONG)
        assert isinstance(own, Owned)
        await repository.mark_success("own", own.fence, made())
        songs = await repository.connection.run(_songs)
        await songs.insert_one(document)
        if "seq" not in document:  # else it is one of ours that was damaged
            await repository.count_play(media_id)
            await repository.reopen(media_id)
            assert await repository.settle(media_id, 1, ["request-old"], keep=KEEP) == ()
        assert await songs.find_one({"_id": media_id}) == document
        assert await repository.get(media_id) is None
        assert [media.video_id for media in (await repository.list()).items] == ["own"]
        assert [media.video_id for media in (await repository.search("new rules")).items] == ["own"]

        claim = await repository.claim(media_id, ANN, SONG, LONG)
        assert isinstance(claim, Owned)
        media, waiters = await repository.mark_success(media_id, claim.fence, made())
        assert (media.status, list(waiters)) == (MediaStatus.SUCCESS, [ANN])
        assert {media.video_id for media in (await repository.search("new rules")).items} == {"own", media_id}
        kept = await songs.find_one({"_id": media_id})
        assert kept is not None
        assert kept["original"] == document


async def test_records_of_another_program_are_told_of_at_the_start(mongo: Mongo) -> None:
    async with over(mongo) as (repository, settings):
        assert "foreign_records" not in (await repository.health()).metadata
        songs = await repository.connection.run(_songs)
        await songs.insert_one(ORIGINAL)
        with capture_logs() as logs:
            async with open_mongodb(settings) as again:
                await until(
                    lambda: [line["count"] for line in logs if line["event"] == "library.foreign_records"] == [1]
                )
                health = await again.health()
                assert (health.ok, health.metadata["foreign_records"]) == (True, 1)


async def _songs(db: Collections) -> Any:  # noqa: ANN401 - the driver's collection
    return db.songs


async def test_titles_of_an_earlier_version_are_found_without_their_accents(mongo: Mongo) -> None:
    old = "corazón ñandú"
    async with over(mongo) as (repository, settings), mongo.admin() as admin:
        await publish(repository, "one", old)
        songs = admin[settings.mongo_database]["songs"]
        await songs.update_one({"_id": "one"}, {"$set": {"search_text": old, "grams": all_grams(old)}})
        assert (await repository.search("corazon")).items == ()
        async with open_mongodb(settings) as again:
            for text in ("corazon", "nandu", "CORAZÓN ñandú"):
                assert [media.video_id for media in (await again.search(text)).items] == ["one"], text
