"""What only the DynamoDB adapter can get wrong: records of the original system, search entries that a crash leaves
behind, lost answers, throttling, rights, and a server that is away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from audio_service.media.model import Encoding, MediaStatus
from audio_service.media.repository.base import Finished, Joined, Owned, StoredMedia, Unannounced, Waiter
from audio_service.media.repository.dynamodb.items import (
    record_key,
    request_key,
    search_entries,
    shard_of,
    stored_key,
)
from audio_service.media.repository.dynamodb.repository import DynamoRepository, open_dynamodb
from common.databases.dynamodb import Item, Put, key, key_of
from common.errors import DatabaseUnavailable, LeaseLost
from common.messages.downloads import FileData, PlatformMetadata
from tests.servers.emulators import Emulator, library_on
from tests.servers.faulty_dynamo import DENIED, LOST, THROTTLED, UNPROCESSED, FaultyDynamo, open_faulty_dynamo
from tests.waiting import until

LONG = timedelta(minutes=5)
NONE = timedelta(0)
KEEP = timedelta(days=1)
ANN, BOB = Waiter("request-ann", "ann"), Waiter("request-bob", "bob")
ORIGINAL: Item = {
    **key("VIDEO#k2qgadSvNyU", "METADATA"),
    "GSI1PK": "SONG",
    "GSI1SK": "dua lipa  new rules",
    "video_id": "k2qgadSvNyU",
    "title_lower": "dua lipa  new rules",
    "status": "success",
    "message": "listo",
    "metadata": {
        "title": "Dua Lipa - New Rules",
        "duration_ms": 225_000,
        "url": "https://youtube.com/watch?v=k2qgadSvNyU",
        "thumbnail_url": "https://example.org/default.jpg",
        "platform": "YouTube",
    },
    "file_data": {"file_path": "audio/dua lipa  new rules.dca", "file_size": "2.70MB", "file_type": "audio/dca"},
    "processing_date": "2025-05-16T23:06:17.533123456Z",
    "success": True,
    "attempts": 1,
    "failures": 0,
    "created_at": "2025-05-16T20:06:17.533-03:00",
    "updated_at": "2025-05-16T23:06:27Z",
    "play_count": 3,
}
SONG = "k2qgadSvNyU"


def made(title: str = "New Rules", size: int = 7) -> StoredMedia:
    return StoredMedia(
        PlatformMetadata(title=title), FileData(file_path="x"), size, Encoding("passthrough", "x", 1, "00"), "ok"
    )


async def own(repository: DynamoRepository, song: str = SONG, waiter: Waiter = ANN, lease: timedelta = LONG) -> Owned:
    claimed = await repository.claim(song, waiter, PlatformMetadata(title="asked"), lease)
    assert isinstance(claimed, Owned)
    return claimed


async def publish(repository: DynamoRepository, song: str, title: str) -> None:
    waiter = Waiter(f"for-{song}", "user")
    owned = await own(repository, song, waiter)
    await repository.mark_success(song, owned.fence, made(title))
    await repository.settle(song, owned.fence, [waiter.request_id], keep=KEEP)


async def found(repository: DynamoRepository, text: str) -> list[str]:
    return [media.video_id for media in (await repository.search(text)).items]


async def item(repository: DynamoRepository, place: Item) -> Item:
    found = await repository.connection.run(lambda table: table.get(place))
    assert found is not None
    return found


async def put(repository: DynamoRepository, *items: Item) -> None:
    for each in items:
        await repository.connection.run(lambda table, each=each: table.write(Put(each)))


@pytest.fixture
async def repository(ministack: Emulator) -> AsyncGenerator[DynamoRepository]:
    async with open_dynamodb(library_on(ministack)) as opened:
        yield opened


@asynccontextmanager
async def behind_faults(ministack: Emulator) -> AsyncGenerator[tuple[DynamoRepository, FaultyDynamo]]:
    async with (
        open_faulty_dynamo(ministack.url) as faulty,
        open_dynamodb(library_on(ministack, aws_endpoint_url=faulty.url)) as repository,
    ):
        yield repository, faulty


class TestRecordsOfTheOriginal:
    async def test_a_complete_one_is_read(self, repository: DynamoRepository) -> None:
        await put(repository, ORIGINAL)
        media = await repository.get(SONG)
        assert media is not None
        assert (media.status, media.metadata.title, media.play_count) == (
            MediaStatus.SUCCESS,
            "Dua Lipa - New Rules",
            3,
        )
        assert media.processing_date == datetime(2025, 5, 16, 23, 6, 17, 533_000, UTC)
        assert media.created_at == media.processing_date
        assert (media.size_bytes, media.encoding, media.error_code) == (0, None, None)
        assert (await repository.list()).items == (media,)

    async def test_those_that_are_damaged_are_not_shown_and_can_be_made(self, repository: DynamoRepository) -> None:
        await publish(repository, "ours", "Ours")
        needed = ("status", "metadata", "file_data", "created_at", "updated_at")
        damaged = [{each: value for each, value in ORIGINAL.items() if each != name} for name in needed]
        damages: tuple[object, ...] = (None, 7, "x", ())
        damaged += [{**ORIGINAL, name: damage} for name in needed for damage in damages]
        for number, record in enumerate(damaged):
            await put(repository, {**record, **record_key(f"old-{number}"), "video_id": f"old-{number}"})
            assert await repository.get(f"old-{number}") is None
        assert [media.video_id for media in (await repository.list()).items] == ["ours"]
        for number in range(len(damaged)):
            await own(repository, f"old-{number}", Waiter(f"r{number}", "u"))
        assert len((await repository.list()).items) == 1 + len(damaged)

    async def test_it_is_never_half_written(self, repository: DynamoRepository) -> None:
        await put(repository, ORIGINAL)
        await repository.count_play(SONG)
        await repository.reopen(SONG)
        await repository.yield_claim(SONG, 0)
        assert await repository.settle(SONG, 0, [ANN.request_id], keep=KEEP) == ()
        for step in (repository.renew(SONG, 0, LONG), repository.mark_success(SONG, 0, made())):
            with pytest.raises(LeaseLost):
                await step
        assert await repository.begin_eviction(idle=NONE, lease=LONG) is None
        assert await item(repository, record_key(SONG)) == ORIGINAL

    async def test_its_song_is_made_like_a_new_one_and_it_is_kept(self, repository: DynamoRepository) -> None:
        await put(repository, ORIGINAL)
        owned = await own(repository)
        record = await item(repository, record_key(SONG))
        assert record["original"] == {name: value for name, value in ORIGINAL.items() if name not in {"PK", "SK"}}
        await repository.mark_success(SONG, owned.fence, made("Dua Lipa - New Rules"))
        assert await found(repository, "lipa") == [SONG]
        assert [media.video_id for media in (await repository.list()).items] == [SONG]

    async def test_they_are_listed_after_ours_by_pages(self, repository: DynamoRepository) -> None:
        for number in range(5):
            old = {**ORIGINAL, **record_key(f"old-{number}"), "video_id": f"old-{number}", "GSI1SK": f"{9 - number}"}
            await put(repository, old)
            await publish(repository, f"new-{number}", f"New {number}")
        await put(repository, {**key("VIDEO#broken", "METADATA"), "GSI1PK": "SONG", "GSI1SK": "3"})
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await repository.list(limit=3, cursor=cursor)
            seen += [media.video_id for media in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        assert set(seen[:5]) == {f"new-{number}" for number in range(5)}
        assert seen[5:] == [f"old-{number}" for number in reversed(range(5))]

    async def test_the_start_tells_of_them(self, ministack: Emulator) -> None:
        settings = library_on(ministack)
        async with open_dynamodb(settings) as repository:
            await put(repository, ORIGINAL)
        with capture_logs() as logs:
            async with open_dynamodb(settings):
                await until(lambda: [line for line in logs if line["event"] == "library.foreign_records"])


class TestSearchEntries:
    async def test_a_title_of_forty_characters_has_thirty_nine(self, repository: DynamoRepository) -> None:
        title = "dua lipa new rules official music video "[:39] + "s"
        await publish(repository, SONG, title)
        record = await item(repository, record_key(SONG))
        entries = search_entries(record, record["search_text"], record["indexed_fence"])
        assert (len(title), len(entries)) == (40, 39)
        stored = await repository.connection.run(lambda table: table.get_many(entries))
        assert all(stored)

    async def test_what_a_crash_leaves_behind_is_not_found(self, repository: DynamoRepository) -> None:
        owned = await own(repository)
        record = await item(repository, record_key(SONG))
        entries = search_entries(record, "new rules", owned.fence)
        await repository.connection.run(lambda table: table.put_many(entries))
        assert await found(repository, "new rules") == []
        assert await found(repository, "new rul") == []
        heir = await own(repository)
        await repository.mark_success(SONG, heir.fence, made("Levitating"))
        assert await found(repository, "new rules") == []
        assert await found(repository, "new rul") == []
        assert await found(repository, "levitating") == [SONG]

    async def test_a_late_removal_takes_nothing_from_a_successor(self, repository: DynamoRepository) -> None:
        await publish(repository, SONG, "New Rules")
        before = await item(repository, record_key(SONG))
        late = search_entries(before, before["search_text"], before["indexed_fence"])
        await repository.reopen(SONG)
        assert await found(repository, "rules") == []
        assert await repository.connection.run(lambda table: table.get_many(late)) == [None] * len(late)
        owned = await own(repository, waiter=BOB)
        await repository.mark_success(SONG, owned.fence, made("New Rules"))
        await repository.connection.run(lambda table: table.delete_many(map(key_of, late)))
        assert await found(repository, "rules") == [SONG]

    async def test_a_frequent_gram_does_not_hide_a_rare_one(self, repository: DynamoRepository) -> None:
        await publish(repository, "needle", "the rare xylophone")
        others = [f"song-{number}" for number in range(27)]
        await asyncio.gather(*(publish(repository, song, f"the common {song}") for song in others))
        assert await found(repository, "the rare") == ["needle"]
        assert await found(repository, "rare xyl") == ["needle"]
        assert len(await found(repository, "the")) == 10

    async def test_a_long_title_is_found(self, repository: DynamoRepository) -> None:
        title = " ".join(f"word{number}" for number in range(120))
        await publish(repository, SONG, title)
        assert await found(repository, "word7 word8") == [SONG]
        assert await found(repository, title) == [SONG]


@pytest.mark.parametrize(
    "text",
    ["#x", ":x", "attribute_exists(PK)", '{"S": "x"}', "VIDEO#", "\x00", "$ne", "x" * 3_000, "ñ" * 1_500, "\ud800"],
)
async def test_texts_are_never_a_part_of_a_request(repository: DynamoRepository, text: str) -> None:
    waiter = Waiter(text, text)
    claimed = await repository.claim("song", waiter, PlatformMetadata(title=f"abc {text}"), LONG)
    assert isinstance(claimed, Owned)
    await repository.mark_success("song", claimed.fence, made(f"abc {text}"))
    assert await repository.waits_for(text) == "song"
    await repository.settle("song", claimed.fence, [text.encode("utf-8", "replace").decode()], keep=KEEP)
    assert await repository.is_answered(text)
    assert await repository.acquire(text, text, LONG) is None
    await repository.remember(text, "song", PlatformMetadata(title=text), LONG)
    assert await repository.recall(text) is not None
    await repository.search(text)


async def test_the_library_is_spread_over_partitions(repository: DynamoRepository) -> None:
    for number in range(30):
        await own(repository, f"song-{number}", Waiter(f"r{number}", "u"))
    records = [await item(repository, record_key(f"song-{number}")) for number in range(30)]
    partitions = {record["GSI1PK"] for record in records}
    assert len(partitions) > 8
    assert all(len(partition) == 6 and partition.startswith("SONG#") for partition in partitions)
    assert {record["GSI1SK"] for record in records} == {"asked"}


async def test_what_expires_says_so_and_a_request_that_waits_does_not(repository: DynamoRepository) -> None:
    soon = time.time() + KEEP.total_seconds()
    await repository.mark_answered(ANN.request_id, keep=KEEP)
    await repository.acquire("name", "a", LONG)
    await repository.remember("query", SONG, PlatformMetadata(), LONG)
    places = [request_key(ANN.request_id), key("LEASE#name", "LEASE"), key("QUERY#query", "RESOLUTION")]
    for place in places:
        assert time.time() < (await item(repository, place))["expires_at"] <= soon + 60
    await repository.mark_answered(BOB.request_id, keep=NONE)
    owned = await own(repository, waiter=BOB)
    assert "expires_at" not in await item(repository, request_key(BOB.request_id))
    await repository.settle(SONG, owned.fence, [BOB.request_id], keep=KEEP)
    assert "expires_at" in await item(repository, request_key(BOB.request_id))


async def test_more_requests_than_a_transaction_has_room_for(repository: DynamoRepository) -> None:
    owned = await own(repository)
    record = await item(repository, record_key(SONG))
    many = [{"request_id": f"request-{number}", "user_id": "u"} for number in range(210)]
    await put(repository, {**record, "waiters": many})
    await repository.mark_success(SONG, owned.fence, made())
    requests = [waiter["request_id"] for waiter in many]
    assert [w.request_id for w in await repository.settle(SONG, owned.fence, requests[:205], keep=KEEP)] == requests[
        205:
    ]
    assert await repository.settle(SONG, owned.fence, requests[205:], keep=KEEP) == ()
    assert await repository.is_answered(requests[0])
    assert await repository.is_answered(requests[-1])
    assert isinstance(await repository.claim(SONG, BOB, PlatformMetadata(), LONG), Finished)


async def test_plays_move_files_of_one_shard_past_a_page_of_entries(repository: DynamoRepository) -> None:
    shard = shard_of("song-0")
    songs = [name for number in range(600) if shard_of(name := f"song-{number}") == shard][:13]
    for song in songs:
        await publish(repository, song, song)
    for song in songs[:12]:
        await repository.count_play(song)
    eviction = await repository.begin_eviction(idle=NONE, lease=LONG)
    assert eviction is not None
    assert eviction.media_id == songs[12]
    assert (await item(repository, stored_key(shard)))["bytes"] == 13 * 7
    assert await repository.begin_eviction(idle=LONG, lease=LONG) is None


async def test_a_finished_song_is_touched_by_those_who_ask_for_it(repository: DynamoRepository) -> None:
    await publish(repository, SONG, "New Rules")
    record = await item(repository, record_key(SONG))
    await put(repository, {**record, "used_at": record["used_at"] - 61_000})
    assert isinstance(await repository.claim(SONG, BOB, PlatformMetadata(), LONG), Finished)
    assert (await item(repository, record_key(SONG)))["used_at"] >= record["used_at"]


async def test_a_lease_of_before_a_clock_step_is_void(repository: DynamoRepository) -> None:
    await own(repository)
    record = await item(repository, record_key(SONG))
    await put(repository, {**record, "lease_until": record["lease_until"] + 3_600_000})
    assert isinstance(await repository.claim(SONG, BOB, PlatformMetadata(), LONG), Owned)


async def test_a_lost_answer_is_no_second_write(ministack: Emulator) -> None:
    async with behind_faults(ministack) as (repository, faulty):
        faulty.faults["TransactWriteItems"] = [LOST]
        owned = await own(repository)
        assert (owned.fence, owned.media.attempts) == (1, 1)
        faulty.faults["TransactWriteItems"] = [LOST]
        await repository.mark_success(SONG, owned.fence, made())
        assert await repository.stored_bytes() == 7
        faulty.faults["TransactWriteItems"] = [LOST]
        assert await repository.settle(SONG, owned.fence, [ANN.request_id], keep=KEEP) == ()
        faulty.faults["UpdateItem"] = [LOST]
        assert await repository.acquire("name", "a", LONG) is None


async def test_what_another_writes_between_read_and_write_counts(ministack: Emulator) -> None:
    async with behind_faults(ministack) as (repository, faulty):
        name = repository.connection.schema.name
        async with open_dynamodb(library_on(ministack, dynamodb_table_songs=name)) as other:
            faulty.before["TransactWriteItems"] = lambda: other.mark_answered(ANN.request_id, keep=KEEP)
            assert await repository.claim(SONG, ANN, PlatformMetadata(), LONG) == Joined()
            assert await repository.get(SONG) is None

            faulty.before["TransactWriteItems"] = lambda: own(other, waiter=BOB)
            cat = Waiter("request-cat", "cat")
            assert await repository.claim(SONG, cat, PlatformMetadata(), LONG) == Joined()

            faulty.before["TransactWriteItems"] = lambda: other.claim(
                SONG, Waiter("dan", "d"), PlatformMetadata(), LONG
            )
            _, waiters = await repository.mark_success(SONG, 1, made())
            assert [waiter.request_id for waiter in waiters] == [BOB.request_id, cat.request_id, "dan"]

            faulty.before["TransactWriteItems"] = lambda: other.yield_claim(SONG, 1)
            assert await repository.settle(SONG, 1, [w.request_id for w in waiters], keep=KEEP) == ()


async def test_throttling_is_waited_out(ministack: Emulator) -> None:
    async with behind_faults(ministack) as (repository, faulty):
        faulty.faults["TransactWriteItems"] = [THROTTLED] * 5
        faulty.faults["BatchWriteItem"] = ["ThrottlingException"] * 3
        faulty.faults["Query"] = ["RequestLimitExceeded"] * 3
        faulty.faults["BatchGetItem"] = [UNPROCESSED] * 2
        owned = await own(repository)
        faulty.faults["BatchWriteItem"].append(UNPROCESSED)
        await repository.mark_success(SONG, owned.fence, made())
        assert await found(repository, "new rules") == [SONG]
        assert faulty.asked["TransactWriteItems"] == 7
        assert await repository.stored_bytes() == 7


async def test_throttling_without_end_is_told(ministack: Emulator) -> None:
    async with open_faulty_dynamo(ministack.url) as faulty:
        settings = library_on(ministack, aws_endpoint_url=faulty.url)
        async with open_dynamodb(settings) as repository, open_dynamodb(settings, operation_seconds=0.5) as hurried:
            await own(repository)
            faulty.always["GetItem"] = THROTTLED
            with pytest.raises(DatabaseUnavailable, match=r"^DYNAMODB_TABLE_SONGS: "):
                await hurried.get(SONG)
            faulty.always.clear()
            assert await repository.get(SONG) is not None


async def test_a_frozen_server_is_unavailable_and_comes_back(ministack: Emulator) -> None:
    settings = library_on(ministack)
    async with open_dynamodb(settings) as repository, open_dynamodb(settings, operation_seconds=0.5) as hurried:
        await own(repository)
        with ministack.frozen():
            for step in (hurried.get(SONG), hurried.claim(SONG, BOB, PlatformMetadata(), LONG)):
                with pytest.raises(DatabaseUnavailable, match=r"DYNAMODB_TABLE_SONGS: .*no answer"):
                    await step
            health = await hurried.health()
            assert (health.name, health.ok) == ("dynamo_db", False)
            assert health.metadata["table_name"] == repository.connection.schema.name
        assert await repository.claim(SONG, BOB, PlatformMetadata(), LONG) == Joined()

        async def healthy() -> bool:
            return (await hurried.health()).ok

        await until(healthy)


async def test_a_server_that_is_away_at_the_start_is_no_failure(ministack: Emulator) -> None:
    async with open_faulty_dynamo(ministack.url) as faulty:
        faulty.always["DescribeTable"] = "InternalServerError"
        async with open_dynamodb(library_on(ministack, aws_endpoint_url=faulty.url)) as repository:
            assert not (await repository.health()).ok
            faulty.always.clear()
            await own(repository)
            assert (await repository.health()).ok


class TestStart:
    async def test_a_missing_table_that_may_not_be_made(self, ministack: Emulator) -> None:
        async with open_faulty_dynamo(ministack.url) as faulty:
            faulty.always["CreateTable"] = DENIED
            settings = library_on(ministack, aws_endpoint_url=faulty.url, aws_region="sa-east-1")
            with pytest.raises(DatabaseUnavailable) as caught:
                async with open_dynamodb(settings):
                    pass
        detail = caught.value.detail
        assert detail.startswith(
            f"DYNAMODB_TABLE_SONGS: there is no table {settings.dynamodb_table_songs} in sa-east-1"
        )
        assert "CreateTable: AccessDeniedException" in detail
        assert "\n" not in detail
        assert caught.value.needs_operator

    async def test_a_role_that_may_not_describe_tables(self, ministack: Emulator) -> None:
        settings = library_on(ministack)
        async with open_dynamodb(settings), open_faulty_dynamo(ministack.url) as faulty:
            faulty.always |= dict.fromkeys(("DescribeTable", "DescribeTimeToLive", "UpdateTimeToLive"), DENIED)
            async with open_dynamodb(settings.model_copy(update={"aws_endpoint_url": faulty.url})) as repository:
                await own(repository)
            faulty.always["GetItem"] = DENIED
            with pytest.raises(DatabaseUnavailable, match=r"^DYNAMODB_TABLE_SONGS: .*GetItem: AccessDeniedException"):
                async with open_dynamodb(settings.model_copy(update={"aws_endpoint_url": faulty.url})):
                    pass

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("UnrecognizedClientException", "UnrecognizedClientException"),
            ("InvalidSignatureException", "clock"),
            ("ExpiredTokenException", "ExpiredToken"),
        ],
    )
    async def test_credentials_that_are_refused(self, ministack: Emulator, code: str, said: str) -> None:
        async with open_faulty_dynamo(ministack.url) as faulty:
            faulty.always["DescribeTable"] = code
            with pytest.raises(DatabaseUnavailable, match=rf"^DYNAMODB_TABLE_SONGS: .*{said}") as caught:
                async with open_dynamodb(library_on(ministack, aws_endpoint_url=faulty.url)):
                    pass
        assert caught.value.needs_operator

    async def test_no_credentials(self, ministack: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(DatabaseUnavailable, match=r"^DYNAMODB_TABLE_SONGS: .*AWS credentials: ") as caught:
            async with open_dynamodb(library_on(ministack)):
                pass
        assert caught.value.needs_operator


async def test_claims_of_many_repositories_have_one_owner(ministack: Emulator) -> None:
    settings = library_on(ministack)
    async with open_dynamodb(settings) as first, open_dynamodb(settings) as second:
        waiters = [Waiter(f"request-{number}", "u") for number in range(10)]
        claims: list[Any] = await asyncio.gather(
            *(
                (first, second)[number % 2].claim(SONG, waiter, PlatformMetadata(), LONG)
                for number, waiter in enumerate(waiters)
            )
        )
        assert sum(isinstance(claimed, Owned) for claimed in claims) == 1
        assert sum(isinstance(claimed, Joined) for claimed in claims) == 9
        _, waiting = await second.mark_success(SONG, 1, made())
        assert set(waiting) == set(waiters)
        await second.yield_claim(SONG, 1)
        heir = await first.claim(SONG, Waiter("late", "u"), PlatformMetadata(), LONG)
        assert isinstance(heir, Unannounced)
        assert len(heir.waiters) == 11
