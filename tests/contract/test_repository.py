"""What every MediaRepository keeps. A new adapter adds a parameter to `settings`, and no test."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from audio_service.media.model import Encoding, IllegalMoveError, Media, MediaStatus
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import (
    Claim,
    Eviction,
    Finished,
    Joined,
    LeaseHeld,
    MediaRepository,
    Owned,
    StoredMedia,
    Unannounced,
    Waiter,
)
from audio_service.settings import AudioSettings
from common.errors import InvalidInput, LeaseLost
from common.messages.base import utc_now
from common.messages.downloads import FileData, PlatformMetadata
from tests.servers.emulators import Emulator, library_on
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.reaper import child_environment
from tests.servers.system import environment_of
from tests.waiting import patience

LONG = timedelta(minutes=5)
SHORT = timedelta(milliseconds=30)
NONE = timedelta(0)
KEEP = timedelta(days=1)
SONG = "k2qgadSvNyU"
ANN, BOB, CAT = Waiter("request-ann", "ann"), Waiter("request-bob", "bob"), Waiter("request-cat", "cat")

T = TypeVar("T")


@pytest.fixture(params=["sqlite", pytest.param("mongo", id="mongodb"), "ministack"])
def server(request: pytest.FixtureRequest) -> Mongo | Emulator | None:
    """The server that the adapter needs; SQLite needs none."""
    return None if request.param == "sqlite" else request.getfixturevalue(request.param)


@pytest.fixture
async def settings(server: Mongo | Emulator | None, tmp_path: Path) -> AsyncGenerator[AudioSettings, None]:
    match server:
        case None:
            yield AudioSettings(database_backend="sqlite", sqlite_path=tmp_path / "deep" / "library.db")
        case Mongo():
            async with fresh_database(server) as database:
                yield server.settings(database)
        case Emulator():
            yield library_on(server)


@pytest.fixture
def reopened(settings: AudioSettings) -> Callable[[], AbstractAsyncContextManager[MediaRepository]]:
    return lambda: open_repository(settings)


@pytest.fixture
async def repository(settings: AudioSettings) -> AsyncGenerator[MediaRepository, None]:
    async with open_repository(settings) as opened:
        yield opened


def titled(title: str) -> PlatformMetadata:
    return PlatformMetadata(title=title, duration_ms=225_000, url="https://example.org/x", platform="YouTube")


def made(title: str = "New Rules") -> StoredMedia:
    return StoredMedia(
        metadata=titled(title),
        file=FileData(file_path=f"audio/{SONG}.dca", file_size="2.70MB", file_type="audio/dca"),
        size_bytes=2_831_155,
        encoding=Encoding("passthrough", "20 ms stereo packets", 11_250, "00ff" * 16),
        message="listo",
    )


async def claim(repository: MediaRepository, waiter: Waiter = ANN, lease: timedelta = LONG, song: str = SONG) -> Claim:
    return await repository.claim(song, waiter, titled("New Rules"), lease)


async def own(repository: MediaRepository, waiter: Waiter = ANN, lease: timedelta = LONG, song: str = SONG) -> int:
    claimed = await claim(repository, waiter, lease, song)
    assert isinstance(claimed, Owned)
    return claimed.fence


async def publish(repository: MediaRepository, song: str, title: str, waiter: Waiter | None = None) -> None:
    asker = waiter or Waiter(f"for-{song}", "somebody")
    fence = await own(repository, asker, song=song)
    await repository.mark_success(song, fence, made(title))
    assert await repository.settle(song, fence, [asker.request_id], keep=KEEP) == ()


async def fail(repository: MediaRepository, fence: int, song: str = SONG) -> tuple[Media, list[Waiter]]:
    media, waiters = await repository.mark_error(song, fence, error_code="media_private", message="privado")
    return media, list(waiters)


async def eventually(ask: Callable[[], Awaitable[T]], accept: Callable[[T], bool]) -> T:
    """Ask until the answer is acceptable: how a lease's end is waited for."""
    async with asyncio.timeout(patience(20)):
        while True:
            answer = await ask()
            if accept(answer):
                return answer


async def eventually_claimed(repository: MediaRepository, waiter: Waiter, kind: type[T]) -> T:
    claimed = await eventually(lambda: claim(repository, waiter), lambda got: isinstance(got, kind))
    assert isinstance(claimed, kind)
    return claimed


async def later(repository: MediaRepository) -> None:
    """Wait for the repository's clock to move on."""
    await repository.acquire("tick", "a", timedelta(milliseconds=2))
    await eventually(lambda: repository.acquire("tick", "b", NONE), lambda left: left is None)


def titles(items: Sequence[Media]) -> list[str]:
    return [media.metadata.title for media in items]


class TestClaim:
    async def test_a_new_record_is_owned_and_shows_what_is_being_made(self, repository: MediaRepository) -> None:
        before = utc_now()
        claimed = await claim(repository)

        assert isinstance(claimed, Owned)
        media = claimed.media
        assert (media.video_id, media.status, media.attempts, media.failures) == (SONG, MediaStatus.PROCESSING, 1, 0)
        assert (media.metadata, media.file, media.encoding) == (titled("New Rules"), FileData(), None)
        assert before <= media.created_at == media.updated_at == media.processing_date <= utc_now()
        assert media.created_at.tzinfo is UTC
        assert media.created_at.microsecond % 1000 == 0
        assert await repository.get(SONG) == media

    async def test_what_another_makes_is_joined(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        assert await claim(repository, BOB) == Joined()
        assert await claim(repository, CAT) == Joined()
        _, waiters = await repository.mark_success(SONG, fence, made())
        assert list(waiters) == [ANN, BOB, CAT]

    async def test_a_request_waits_once_however_often_it_comes(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        for _ in range(3):
            assert await claim(repository, BOB) == Joined()
        _, waiters = await repository.mark_success(SONG, fence, made())
        assert list(waiters) == [ANN, BOB]

    async def test_a_lease_that_ran_out_is_taken_over(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN, SHORT)
        successor = await eventually_claimed(repository, BOB, Owned)
        assert successor.fence > fence
        assert successor.media.attempts == 2
        _, waiters = await repository.mark_success(SONG, successor.fence, made())
        assert list(waiters) == [ANN, BOB]

    async def test_an_owner_that_comes_back_takes_over_at_once(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        again = await own(repository, ANN)
        assert again > fence
        _, waiters = await repository.mark_success(SONG, again, made())
        assert list(waiters) == [ANN]

    async def test_a_joined_request_that_comes_back_does_not_take_over(self, repository: MediaRepository) -> None:
        await own(repository, ANN)
        await claim(repository, BOB)
        assert await claim(repository, BOB) == Joined()

    async def test_a_finished_record_is_answered_from(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        claimed = await claim(repository, BOB)
        assert claimed == Finished(await self.known(repository))

    async def test_while_a_finished_record_is_being_settled(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.mark_success(SONG, fence, made())

        assert await claim(repository, BOB) == Joined(), "the owner is about to answer it"
        assert await claim(repository, CAT) == Finished(await self.known(repository)), "nobody else will answer it"
        assert await repository.settle(SONG, fence, [ANN.request_id, BOB.request_id], keep=KEEP) == ()

    async def test_a_crash_between_outcome_and_answers(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.mark_success(SONG, fence, made())
        await repository.renew(SONG, fence, SHORT)

        heir = await eventually_claimed(repository, CAT, Unannounced)
        assert heir.fence > fence
        assert heir.media.status is MediaStatus.SUCCESS
        assert list(heir.waiters) == [ANN, BOB, CAT]
        assert await claim(repository, ANN) == Joined(), "the heir answers it"
        requests = [ANN.request_id, BOB.request_id, CAT.request_id]
        assert await repository.settle(SONG, heir.fence, requests, keep=KEEP) == ()
        assert isinstance(await claim(repository, Waiter("request-dan", "dan")), Finished)

    async def test_an_owner_that_died_before_it_answered_settles_at_once(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.mark_success(SONG, fence, made())
        heir = await claim(repository, ANN)
        assert isinstance(heir, Unannounced)
        assert heir.fence > fence
        assert list(heir.waiters) == [ANN, BOB]

    async def test_a_failure_being_settled_is_busy_and_then_free(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await fail(repository, fence)
        busy = await claim(repository, BOB)
        assert isinstance(busy, LeaseHeld)
        assert NONE < busy.wait <= LONG
        assert await repository.settle(SONG, fence, [ANN.request_id], keep=KEEP) == ()
        claimed = await claim(repository, BOB)
        assert isinstance(claimed, Owned)
        assert (claimed.media.attempts, claimed.media.failures) == (2, 1)
        assert (claimed.media.error_code, claimed.media.message) == (None, "")
        _, waiters = await repository.mark_success(SONG, claimed.fence, made())
        assert list(waiters) == [BOB]

    async def test_who_waits_for_a_failure_being_settled_asks_again_later(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await fail(repository, fence)
        assert isinstance(await claim(repository, BOB), LeaseHeld)

    async def test_who_waited_for_a_failure_nobody_announced_gets_the_new_outcome(
        self, repository: MediaRepository
    ) -> None:
        await fail(repository, await own(repository, ANN, SHORT))
        heir = await eventually_claimed(repository, BOB, Owned)
        _, waiters = await fail(repository, heir.fence)
        assert waiters == [ANN, BOB]

    async def test_a_failed_owner_that_comes_back_need_not_wait(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await fail(repository, fence)
        assert await own(repository, ANN) > fence

    async def test_an_answered_request_gets_nothing_more_to_do(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.mark_success(SONG, fence, made())
        await repository.settle(SONG, fence, [ANN.request_id, BOB.request_id], keep=KEEP)
        assert await claim(repository, BOB) == Joined()
        await repository.mark_answered(CAT.request_id, keep=KEEP)
        assert await claim(repository, CAT, song="another") == Joined()
        assert await repository.get("another") is None

    async def test_records_do_not_mix(self, repository: MediaRepository) -> None:
        first, second = await own(repository, ANN, song="one"), await own(repository, ANN, song="two")
        _, waiters = await repository.mark_success("one", first, made("One"))
        assert list(waiters) == [ANN]
        await claim(repository, BOB, song="two")
        _, waiters = await repository.mark_success("two", second, made("Two"))
        assert list(waiters) == [ANN, BOB]

    @staticmethod
    async def known(repository: MediaRepository) -> Media:
        media = await repository.get(SONG)
        assert media is not None
        return media


class TestFence:
    async def test_a_stale_writer_changes_nothing(self, repository: MediaRepository) -> None:
        stale = await own(repository, ANN)
        fresh = await own(repository, ANN)
        before = await repository.get(SONG)

        with pytest.raises(LeaseLost):
            await repository.mark_success(SONG, stale, made("stale"))
        with pytest.raises(LeaseLost):
            await repository.mark_error(SONG, stale, error_code="media_private", message="stale")
        with pytest.raises(LeaseLost):
            await repository.renew(SONG, stale, LONG)
        await repository.yield_claim(SONG, stale)

        assert await repository.get(SONG) == before
        assert await claim(repository, BOB) == Joined(), "the lease still runs"
        await repository.mark_success(SONG, fresh, made())

    async def test_a_record_that_is_not_there_has_no_owner(self, repository: MediaRepository) -> None:
        with pytest.raises(LeaseLost):
            await repository.renew("nothing", 1, LONG)
        with pytest.raises(LeaseLost):
            await repository.mark_success("nothing", 1, made())
        await repository.yield_claim("nothing", 1)
        await repository.reopen("nothing")
        assert await repository.settle("nothing", 1, [ANN.request_id], keep=KEEP) == ()

    async def test_a_renewed_lease_does_not_run_out(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN, SHORT)
        await repository.renew(SONG, fence, LONG)
        assert await repository.acquire("clock", "x", SHORT) is None
        await eventually(lambda: repository.acquire("clock", "y", SHORT), lambda left: left is None)
        assert await claim(repository, BOB) == Joined()

    async def test_a_lease_that_ran_out_unnoticed_can_still_be_renewed(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN, NONE)
        await repository.renew(SONG, fence, LONG)
        assert await claim(repository, BOB) == Joined()

    async def test_a_yielded_claim_is_free_and_keeps_its_waiters(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.yield_claim(SONG, fence)
        await repository.renew(SONG, fence, LONG)
        successor = await own(repository, CAT)
        assert successor > fence
        _, waiters = await repository.mark_success(SONG, successor, made())
        assert list(waiters) == [ANN, BOB, CAT]

    async def test_a_request_knows_what_it_waits_for_until_it_is_settled(self, repository: MediaRepository) -> None:
        assert await repository.waits_for(ANN.request_id) is None
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.yield_claim(SONG, fence)
        assert await repository.waits_for(ANN.request_id) == SONG
        assert await repository.waits_for(BOB.request_id) == SONG
        fence = await own(repository, ANN)
        await repository.mark_success(SONG, fence, made())
        await repository.settle(SONG, fence, [ANN.request_id], keep=LONG)
        assert await repository.waits_for(ANN.request_id) is None
        assert await repository.waits_for(BOB.request_id) == SONG

    async def test_a_withdrawn_request_that_waits_for_nothing_is_not_begun(self, repository: MediaRepository) -> None:
        await repository.withdraw(ANN.request_id, keep=LONG)
        assert await repository.is_answered(ANN.request_id)
        assert isinstance(await claim(repository, ANN), Joined)
        assert await repository.get(SONG) is None

    async def test_the_only_request_of_a_record_is_withdrawn_and_the_record_claimable(
        self, repository: MediaRepository
    ) -> None:
        fence = await own(repository, ANN)
        for _ in range(2):
            await repository.withdraw(ANN.request_id, keep=LONG)
        assert await repository.is_answered(ANN.request_id)
        assert await repository.waits_for(ANN.request_id) is None
        await repository.renew(SONG, fence, LONG)
        assert await own(repository, BOB) == fence + 1
        _, waiters = await repository.mark_success(SONG, fence + 1, made())
        assert list(waiters) == [BOB]

    async def test_the_work_goes_on_for_the_others(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.withdraw(BOB.request_id, keep=LONG)
        assert await repository.is_answered(BOB.request_id)
        await claim(repository, CAT)
        _, waiters = await repository.mark_success(SONG, fence, made())
        assert list(waiters) == [ANN, CAT]

    @pytest.mark.parametrize("order", [[ANN, BOB], [BOB, ANN], [ANN, ANN, BOB]])
    async def test_a_request_that_stands_for_others_stays_until_they_are_withdrawn_too(
        self, repository: MediaRepository, order: list[Waiter]
    ) -> None:
        await own(repository, ANN)
        await claim(repository, BOB)
        for waiter in order[:-1]:
            await repository.withdraw(waiter.request_id, keep=LONG)
        assert await repository.waits_for(ANN.request_id) == SONG
        assert not await repository.is_answered(ANN.request_id)
        await repository.withdraw(order[-1].request_id, keep=LONG)
        assert [await repository.is_answered(waiter.request_id) for waiter in (ANN, BOB)] == [True, True]
        assert await repository.waits_for(ANN.request_id) is None
        await own(repository, CAT)

    async def test_a_withdrawal_after_the_outcome_changes_nothing(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await repository.mark_success(SONG, fence, made())
        await repository.withdraw(ANN.request_id, keep=LONG)
        assert not await repository.is_answered(ANN.request_id)
        assert await repository.waits_for(ANN.request_id) == SONG
        assert list(await repository.settle(SONG, fence, [ANN.request_id], keep=LONG)) == []

    async def test_outcomes_are_recorded_whole(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        done = made("Dua Lipa - New Rules")
        media, _ = await repository.mark_success(SONG, fence, done)
        assert media == await repository.get(SONG)
        assert (media.status, media.message, media.error_code) == (MediaStatus.SUCCESS, "listo", None)
        assert (media.metadata, media.file, media.size_bytes, media.encoding) == (
            done.metadata,
            done.file,
            done.size_bytes,
            done.encoding,
        )
        assert media.title_lower == "dua lipa  new rules"
        assert media.updated_at >= media.created_at

    async def test_a_failure_is_recorded_and_counted(self, repository: MediaRepository) -> None:
        media, waiters = await fail(repository, await own(repository, ANN))
        assert media == await repository.get(SONG)
        assert (media.status, media.error_code, media.message, media.failures) == (
            MediaStatus.ERROR,
            "media_private",
            "privado",
            1,
        )
        assert media.metadata == titled("New Rules")
        assert waiters == [ANN]

    async def test_an_outcome_is_final(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        media, _ = await repository.mark_success(SONG, fence, made())
        with pytest.raises(IllegalMoveError):
            await fail(repository, fence)
        assert await repository.get(SONG) == media


class TestSettle:
    async def test_who_is_left_is_told_until_nobody_is(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await claim(repository, BOB)
        await claim(repository, CAT)
        await fail(repository, fence)

        assert list(await repository.settle(SONG, fence, [BOB.request_id], keep=KEEP)) == [ANN, CAT]
        assert isinstance(await claim(repository, Waiter("request-dan", "dan")), LeaseHeld)
        answered = [w.request_id for w in (ANN, BOB, CAT) if await repository.is_answered(w.request_id)]
        assert answered == [BOB.request_id]
        assert list(await repository.settle(SONG, fence, [ANN.request_id, CAT.request_id], keep=KEEP)) == []
        assert await repository.is_answered(ANN.request_id)
        await own(repository, Waiter("request-dan", "dan"))

    async def test_a_stale_worker_says_who_it_answered_and_ends_nobodys_lease(
        self, repository: MediaRepository
    ) -> None:
        stale = await own(repository, ANN)
        await claim(repository, BOB)
        await repository.mark_success(SONG, stale, made())
        heir = await claim(repository, ANN)
        assert isinstance(heir, Unannounced)

        assert await repository.settle(SONG, stale, [BOB.request_id], keep=KEEP) == ()
        assert await repository.is_answered(BOB.request_id)
        assert isinstance(await claim(repository, CAT), Finished), "the heir's lease runs"
        assert await repository.settle(SONG, heir.fence, [ANN.request_id], keep=KEEP) == ()

    async def test_a_stale_worker_that_answers_the_last_of_them_ends_nobodys_lease_either(
        self, repository: MediaRepository
    ) -> None:
        stale = await own(repository, ANN)
        await own(repository, ANN)
        assert await repository.settle(SONG, stale, [ANN.request_id], keep=KEEP) == ()
        assert await claim(repository, BOB) == Joined(), "the successor's lease runs"

    async def test_settling_twice_changes_nothing(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules", ANN)
        assert await repository.settle(SONG, 1, [ANN.request_id], keep=KEEP) == ()
        assert await repository.is_answered(ANN.request_id)

    async def test_answers_are_remembered_for_a_while(self, repository: MediaRepository) -> None:
        assert not await repository.is_answered("r")
        await repository.mark_answered("r", keep=SHORT)
        await eventually(lambda: repository.is_answered("r"), lambda answered: not answered)
        await repository.mark_answered("r", keep=KEEP)
        await repository.mark_answered("r", keep=NONE)
        assert await repository.is_answered("r"), "the longer memory counts"


class TestReopen:
    async def test_a_record_whose_file_is_gone_is_made_again(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        await repository.reopen(SONG)
        media = await repository.get(SONG)
        assert media is not None
        assert (media.status, media.file, media.encoding, media.size_bytes) == (
            MediaStatus.PROCESSING,
            FileData(),
            None,
            0,
        )
        assert (await repository.search("new rules")).items == ()
        assert await own(repository, BOB) > 1

    async def test_only_success_can_be_reopened(self, repository: MediaRepository) -> None:
        await own(repository, ANN)
        before = await repository.get(SONG)
        await repository.reopen(SONG)
        assert await repository.get(SONG) == before
        assert await claim(repository, BOB) == Joined()

    async def test_who_made_the_vanished_file_cannot_record_it_again(self, repository: MediaRepository) -> None:
        old = await own(repository, ANN)
        await repository.mark_success(SONG, old, made())
        await repository.reopen(SONG)
        with pytest.raises(LeaseLost):
            await repository.mark_success(SONG, old, made())

    async def test_who_settles_the_vanished_file_does_not_end_the_new_claim(self, repository: MediaRepository) -> None:
        old = await own(repository, ANN)
        await repository.mark_success(SONG, old, made())
        await repository.reopen(SONG)
        fresh = await own(repository, BOB)
        assert await repository.settle(SONG, old, [ANN.request_id], keep=KEEP) == ()
        assert await claim(repository, CAT) == Joined()
        _, waiters = await repository.mark_success(SONG, fresh, made())
        assert list(waiters) == [BOB, CAT], "ann was answered by the first"


class TestPlays:
    async def test_plays_of_a_finished_record_are_counted(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        made_at = await TestClaim.known(repository)
        assert (made_at.play_count, made_at.last_played_at) == (0, None)
        await later(repository)
        before = utc_now()
        await repository.count_play(SONG)
        await repository.count_play(SONG)
        media = await TestClaim.known(repository)
        assert media.play_count == 2
        assert media.last_played_at is not None
        assert before <= media.last_played_at <= utc_now()
        assert media.last_played_at.tzinfo is UTC
        assert media.updated_at == made_at.updated_at, "the list is of what changed, not of what was played"

    async def test_nothing_else_can_be_played(self, repository: MediaRepository) -> None:
        await repository.count_play("nothing")
        assert await repository.get("nothing") is None
        await own(repository)
        await repository.count_play(SONG)
        assert (await TestClaim.known(repository)).play_count == 0

    async def test_a_song_that_is_made_again_keeps_its_plays(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        await repository.count_play(SONG)
        played = (await TestClaim.known(repository)).last_played_at
        await repository.reopen(SONG)
        await publish(repository, SONG, "New Rules", BOB)
        media = await TestClaim.known(repository)
        assert (media.play_count, media.last_played_at) == (1, played)


class TestEviction:
    async def evict(self, repository: MediaRepository, *, lease: timedelta = LONG, idle: timedelta = NONE) -> Eviction:
        eviction = await repository.begin_eviction(idle=idle, lease=lease)
        assert eviction is not None
        return eviction

    async def test_files_are_added_up_until_they_are_gone(self, repository: MediaRepository) -> None:
        assert await repository.stored_bytes() == 0
        await own(repository, ANN, song="in the making")
        for song in ("one", "two", "three"):
            await publish(repository, song, song)
        size = made().size_bytes
        assert await repository.stored_bytes() == 3 * size
        eviction = await self.evict(repository)
        assert eviction.size_bytes == size
        assert await repository.stored_bytes() == 3 * size, "it has yet to be removed"
        await repository.finish_eviction(eviction.media_id, eviction.fence)
        assert await repository.stored_bytes() == 2 * size
        await repository.reopen("three")
        assert await repository.stored_bytes() == size

    async def test_the_file_that_was_used_the_longest_ago_goes_first(self, repository: MediaRepository) -> None:
        for song in ("first", "second", "third", "fourth"):
            await publish(repository, song, song)
            await later(repository)
        await repository.count_play("second")
        await later(repository)
        await repository.count_play("first")
        gone = [await self.evict(repository) for _ in range(4)]
        assert [eviction.media_id for eviction in gone] == ["third", "fourth", "second", "first"]
        assert await repository.begin_eviction(idle=NONE, lease=LONG) is None

    async def test_what_was_used_lately_stays(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        assert await repository.begin_eviction(idle=LONG, lease=LONG) is None

    async def test_what_is_made_settled_or_waited_for_stays(self, repository: MediaRepository) -> None:
        await own(repository, ANN, song="in the making")
        await fail(repository, await own(repository, BOB, song="failed"), "failed")
        settled = await own(repository, CAT, song="being settled")
        await repository.mark_success("being settled", settled, made())
        unsettled = await own(repository, Waiter("request-dan", "dan"), song="unsettled")
        await repository.mark_success("unsettled", unsettled, made())
        await repository.yield_claim("unsettled", unsettled)
        assert await repository.begin_eviction(idle=NONE, lease=LONG) is None

    async def test_nobody_finds_or_gets_a_record_whose_file_is_being_removed(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        eviction = await self.evict(repository)
        media = await TestClaim.known(repository)
        assert (media.status, media.file, media.encoding) == (MediaStatus.PROCESSING, FileData(), None)
        assert (await repository.search("new rules")).items == ()
        busy = await claim(repository, BOB)
        assert isinstance(busy, LeaseHeld)
        assert NONE < busy.wait <= LONG
        assert await repository.waits_for(BOB.request_id) is None
        await repository.count_play(SONG)

        await repository.finish_eviction(SONG, eviction.fence)
        media = await TestClaim.known(repository)
        assert (media.status, media.size_bytes, media.play_count) == (MediaStatus.PROCESSING, 0, 0)
        assert await own(repository, BOB) > eviction.fence
        _, waiters = await repository.mark_success(SONG, eviction.fence + 1, made())
        assert list(waiters) == [BOB]

    async def test_what_an_evictor_left_behind_is_taken_up(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        dead = await self.evict(repository, lease=NONE)
        heir = await self.evict(repository)
        assert (heir.media_id, heir.size_bytes) == (SONG, dead.size_bytes)
        assert heir.fence > dead.fence
        await repository.finish_eviction(SONG, dead.fence)
        assert await repository.stored_bytes() == dead.size_bytes, "the late one says nothing"
        await repository.finish_eviction(SONG, heir.fence)
        assert await repository.stored_bytes() == 0

    async def test_a_request_that_comes_after_a_dead_evictor_gets_the_record(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        dead = await self.evict(repository, lease=NONE)
        fence = await own(repository, BOB)
        assert fence > dead.fence
        await repository.finish_eviction(SONG, dead.fence)
        assert await claim(repository, CAT) == Joined(), "the late evictor ended nobody's lease"
        assert await repository.begin_eviction(idle=NONE, lease=LONG) is None
        _, waiters = await repository.mark_success(SONG, fence, made())
        assert list(waiters) == [BOB, CAT]

    async def test_a_file_that_is_recorded_in_place_of_another_counts_alone(self, repository: MediaRepository) -> None:
        await publish(repository, SONG, "New Rules")
        held = await self.evict(repository)
        before = await repository.stored_bytes()
        await repository.mark_success(SONG, held.fence, made())
        assert await repository.stored_bytes() == before == made().size_bytes
        await repository.settle(SONG, held.fence, [], keep=KEEP)
        again = await self.evict(repository)
        await repository.finish_eviction(SONG, again.fence)
        assert await repository.stored_bytes() == 0
        assert await repository.begin_eviction(idle=NONE, lease=LONG) is None

    async def test_evictors_do_not_take_the_same_record(self, repository: MediaRepository) -> None:
        for song in ("one", "two", "three"):
            await publish(repository, song, song)
        taken = await asyncio.gather(*(repository.begin_eviction(idle=NONE, lease=LONG) for _ in range(6)))
        assert sorted(eviction.media_id for eviction in taken if eviction) == ["one", "three", "two"]


class TestNamedLeases:
    async def test_one_owner_at_a_time(self, repository: MediaRepository) -> None:
        assert await repository.acquire("request:1", "a", LONG) is None
        left = await repository.acquire("request:1", "b", LONG)
        assert left is not None
        assert NONE < left <= LONG
        assert await repository.acquire("request:2", "b", LONG) is None

    async def test_the_owner_extends_its_lease(self, repository: MediaRepository) -> None:
        assert await repository.acquire("request:1", "a", NONE) is None
        assert await repository.acquire("request:1", "a", LONG) is None
        assert await repository.acquire("request:1", "b", LONG) is not None

    async def test_only_the_owner_gives_it_back(self, repository: MediaRepository) -> None:
        await repository.acquire("request:1", "a", LONG)
        await repository.surrender("request:1", "b")
        assert await repository.acquire("request:1", "b", LONG) is not None
        await repository.surrender("request:1", "a")
        assert await repository.acquire("request:1", "b", LONG) is None

    async def test_a_lease_runs_out(self, repository: MediaRepository) -> None:
        await repository.acquire("request:1", "a", SHORT)
        await eventually(lambda: repository.acquire("request:1", "b", LONG), lambda left: left is None)
        assert await repository.acquire("request:1", "a", LONG) is not None


class TestResolutions:
    async def test_what_a_query_resolved_to_is_remembered(self, repository: MediaRepository) -> None:
        assert await repository.recall("q-1") is None
        await repository.remember("q-1", SONG, titled("New Rules"), LONG)
        assert await repository.recall("q-1") == (SONG, titled("New Rules"))
        await repository.remember("q-1", "other", titled("Other"), LONG)
        assert await repository.recall("q-1") == ("other", titled("Other"))

    async def test_for_its_time_to_live(self, repository: MediaRepository) -> None:
        await repository.remember("q-1", SONG, titled("New Rules"), SHORT)
        await eventually(lambda: repository.recall("q-1"), lambda found: found is None)


class TestSearch:
    async def found(self, repository: MediaRepository, text: str) -> list[str]:
        return titles((await repository.search(text)).items)

    @pytest.mark.parametrize(
        "text",
        [
            "Dua Lipa",
            "LIPA",
            "pa - New",
            "dua lipa new rules official music video",
            "dua lipa  new rules",
            "(official)",
            " lipa ",
            "ua\tlipa",
            "rules!!!",
            "Video)",
            '"new rules"',
            "n*e*w",
        ],
    )
    async def test_a_part_of_the_title_is_found_in_any_case(self, repository: MediaRepository, text: str) -> None:
        await publish(repository, SONG, "Dua Lipa - New Rules (Official Music Video)")
        assert await self.found(repository, text) == ["Dua Lipa - New Rules (Official Music Video)"]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "   ",
            "!!!",
            "ab",
            "new AND rules",
            "lipa OR nothing",
            "NEAR(new rules)",
            "new%rules",
            "ne_",
            "%%%",
            "___",
            "title_lower:new",
            "rules new",
            "dua lipa -new*x",
            "newrules",
            "\x00\x00\x00",
            "^new^dua",
            "{new}x",
            "x" * 9_000,
        ],
    )
    async def test_a_query_is_text_and_never_a_pattern(self, repository: MediaRepository, text: str) -> None:
        await publish(repository, SONG, "Dua Lipa - New Rules")
        assert await self.found(repository, text) == []

    @pytest.mark.parametrize(
        ("title", "text"),
        [
            ("AC/DC — Thunderstruck", "acdc"),
            ("Mañana será", "MAÑANA"),
            ("Corazón ñandú Canción", "corazon"),
            ("Corazón ñandú Canción", "nandu cancion"),
            ("Corazon nandu", "corazón ñandú"),
            ("Łódź Ørsted", "lodz orsted"),
            ("Cafe\u0301 Tacvba", "CAFÉ"),
            ("مرحبا بالعالم", "بالع"),
            ("שלום עולם", "לום"),
            ("夜に駆ける live", "に駆け"),
            ("Song 😀😀😀 happy", "song happy"),
            ("Straße nach Süden", "STRASSE"),
            ("It's 100% _real_ OR not", "real or not"),
            ('Say "Hello"', 'say "hello"'),
            ("NEAR wild heaven", "near wild"),
            ("\u202eevil right to left", "evil right"),
            ("Ünïcödé " + "long " * 60, "long long"),
        ],
    )
    async def test_any_script_and_sign(self, repository: MediaRepository, title: str, text: str) -> None:
        await publish(repository, SONG, title)
        await publish(repository, "other", "Something else entirely")
        assert await self.found(repository, text) == [title]

    async def test_only_finished_records_are_found(self, repository: MediaRepository) -> None:
        await own(repository, ANN, song="processing")
        await fail(repository, await own(repository, BOB, song="failed"), "failed")
        assert await self.found(repository, "new rules") == []
        assert await self.found(repository, "new rul") == []

    async def test_a_title_that_changed_is_found_by_the_new_one_only(self, repository: MediaRepository) -> None:
        fence = await own(repository, ANN)
        await repository.mark_success(SONG, fence, made("Levitating"))
        assert await self.found(repository, "new rules") == []
        assert await self.found(repository, "levitating") == ["Levitating"]

    async def test_the_exact_title_comes_first_then_the_newest(self, repository: MediaRepository) -> None:
        for number, title in enumerate(
            ["New Rules (live)", "NEW RULES", "My New Rules", "new - rules", "New Rules II"]
        ):
            await publish(repository, f"song-{number}", title)
        assert await self.found(repository, "new rules") == [
            "new - rules",
            "NEW RULES",
            "New Rules II",
            "My New Rules",
            "New Rules (live)",
        ]

    async def test_ten_unless_told_otherwise_and_never_over_a_hundred(self, repository: MediaRepository) -> None:
        for number in range(105):
            await publish(repository, f"song-{number}", f"Song number {number}")
        assert len((await repository.search("song")).items) == 10
        assert len((await repository.search("song", limit=3)).items) == 3
        assert len((await repository.search("song", limit=10_000)).items) == 100
        assert len((await repository.search("song", limit=0)).items) == 1
        assert len((await repository.list()).items) == 50
        assert len((await repository.list(limit=10_000)).items) == 100

    async def test_pages_miss_and_repeat_nothing_while_records_are_added(self, repository: MediaRepository) -> None:
        for number in range(120):
            await publish(repository, f"song-{number}", "Song" if number % 20 == 0 else f"Song {number}")
        seen: list[str] = []
        cursor: str | None = None
        for turn in range(100):
            page = await repository.search("song", limit=7, cursor=cursor)
            seen += [media.video_id for media in page.items]
            await publish(repository, f"late-{turn}", "Song" if turn % 2 else f"Song late {turn}")
            cursor = page.cursor
            if cursor is None:
                break
        early = [video_id for video_id in seen if video_id.startswith("song-")]
        assert len(seen) == len(set(seen))
        assert sorted(early) == sorted(f"song-{number}" for number in range(120))
        assert early[:6] == ["song-100", "song-80", "song-60", "song-40", "song-20", "song-0"]

    async def test_the_last_page_has_no_cursor(self, repository: MediaRepository) -> None:
        for number in range(4):
            await publish(repository, f"song-{number}", f"Song {number}")
        page = await repository.search("song", limit=2)
        assert page.cursor is not None
        assert (await repository.search("song", limit=2, cursor=page.cursor)).cursor is None
        assert (await repository.search("song", limit=4)).cursor is None


class TestList:
    async def test_every_status_last_updated_first(self, repository: MediaRepository) -> None:
        await own(repository, ANN, song="one")
        await fail(repository, await own(repository, BOB, song="two"), "two")
        await later(repository)
        await publish(repository, "three", "Three")
        await later(repository)
        await repository.mark_success("one", 1, made("One"))
        assert [media.video_id for media in (await repository.list()).items][:2] == ["one", "three"]
        assert {media.status for media in (await repository.list()).items} == {MediaStatus.SUCCESS, MediaStatus.ERROR}

    async def test_pages_through_everything(self, repository: MediaRepository) -> None:
        for number in range(110):
            await own(repository, Waiter(f"r{number}", "u"), song=f"song-{number}")
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await repository.list(limit=25, cursor=cursor)
            seen += [media.video_id for media in page.items]
            await own(repository, Waiter(f"late{len(seen)}", "u"), song=f"late-{len(seen)}")
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == [f"song-{number}" for number in reversed(range(110))]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "!!!!",
        "bnVsbA",
        "W10",
        "WyJzIl0",
        "WyJzIiwiYSIsImIiXQ",
        "WyJzIixudWxsLDFd",
        "A" * 300,
        "\ud800",
        "WyJzIiwtMSwxXQ",
        "WyJzIiwwLDk5OTk5OTk5OTk5OTk5OTk5OTk5XQ",
        "WyJzIix0cnVlLDFd",
        "WyJ4IiwxLDFd",
        "eyJhIjoxfQ",
    ],
)
async def test_a_cursor_that_is_not_ours_is_invalid(repository: MediaRepository, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await repository.search("new rules", cursor=cursor)
    with pytest.raises(InvalidInput):
        await repository.list(cursor=cursor)


async def test_a_cursor_of_one_kind_of_page_is_invalid_for_the_other(repository: MediaRepository) -> None:
    for number in range(2):
        await publish(repository, f"song-{number}", f"Song {number}")
    with pytest.raises(InvalidInput):
        await repository.list(cursor=(await repository.search("song", limit=1)).cursor)
    with pytest.raises(InvalidInput):
        await repository.search("song", cursor=(await repository.list(limit=1)).cursor)


async def test_what_is_not_there_is_none(repository: MediaRepository) -> None:
    assert await repository.get("nothing") is None
    assert (await repository.list()).items == ()


async def test_everything_outlives_the_process(
    reopened: Callable[[], AbstractAsyncContextManager[MediaRepository]],
) -> None:
    async with reopened() as first:
        fence = await own(first, ANN)
        await claim(first, BOB)
        await first.acquire("request:1", "a", LONG)
        await first.mark_answered("done", keep=KEEP)
        await first.remember("q-1", SONG, titled("New Rules"), LONG)
    async with reopened() as second:
        _, waiters = await second.mark_success(SONG, fence, made())
        assert list(waiters) == [ANN, BOB]
        assert await second.acquire("request:1", "b", LONG) is not None
        assert await second.is_answered("done")
        assert await second.recall("q-1") == (SONG, titled("New Rules"))
        assert len((await second.search("new rules")).items) == 1


async def test_two_instances_see_each_others_writes_at_once(
    repository: MediaRepository, reopened: Callable[[], AbstractAsyncContextManager[MediaRepository]]
) -> None:
    async with reopened() as other:
        fence = await own(repository, ANN)
        assert await claim(other, BOB) == Joined()
        await repository.mark_success(SONG, fence, made())
        seen = await other.get(SONG)
        assert seen is not None
        assert seen.status is MediaStatus.SUCCESS
        await repository.settle(SONG, fence, [ANN.request_id, BOB.request_id], keep=KEEP)
        assert await other.is_answered(BOB.request_id)


async def test_a_burst_of_requests_has_one_owner(repository: MediaRepository) -> None:
    requests = [Waiter(f"request-{number}", "u") for number in range(100)]
    claims = await asyncio.gather(*(claim(repository, waiter) for waiter in requests))
    assert sum(isinstance(claimed, Owned) for claimed in claims) == 1
    assert sum(isinstance(claimed, Joined) for claimed in claims) == 99
    _, waiters = await repository.mark_success(SONG, 1, made())
    assert set(waiters) == set(requests)


async def test_two_processes_racing_for_records_share_none(
    repository: MediaRepository, settings: AudioSettings
) -> None:
    count = 50
    racers = [await start_racer(name, count, settings) for name in ("left", "right")]
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
    assert left | right == set(range(count))
    for number in range(count):
        _, waiters = await repository.mark_success(f"song-{number}", 1, made())
        assert {waiter.user_id for waiter in waiters} == {"left", "right"}


async def start_racer(name: str, count: int, settings: AudioSettings) -> Process:
    environment = environment_of(settings)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.contract.repository_racer", name, str(count)),
        cwd=Path(__file__).parents[2],
        env=child_environment(environment),
        stdin=PIPE,
        stdout=PIPE,
    )


async def test_health_tells_what_is_there(repository: MediaRepository) -> None:
    await own(repository, ANN, song="one")
    await publish(repository, "two", "Two")
    health = await repository.health()
    assert health.ok
    assert not health.error
    if health.name == "dynamo_db":
        assert health.metadata["table_name"]
    else:
        assert next(iter(health.metadata.values()))["version"]


def finished(media_id: str = SONG) -> Media:
    """Return a record as another library holds it."""
    day = datetime(2024, 5, 17, 12, 30, 1, 234_000, tzinfo=UTC)
    return Media(
        video_id=media_id,
        status=MediaStatus.SUCCESS,
        metadata=titled("Corazón ñandú Canción"),
        file=FileData(file_path=f"audio/{media_id}.dca", file_size="2.70MB", file_type="audio/dca"),
        size_bytes=2_831_155,
        encoding=None,
        message="from elsewhere",
        error_code=None,
        processing_date=day,
        created_at=day - timedelta(days=1),
        updated_at=day + timedelta(hours=1),
        attempts=2,
        failures=1,
        play_count=77,
        last_played_at=day + timedelta(days=3),
    )


async def test_an_inserted_record_is_as_it_was(repository: MediaRepository) -> None:
    assert await repository.insert(finished())
    assert await repository.get(SONG) == finished()
    assert [media.video_id for media in (await repository.search("corazon")).items] == [SONG]
    assert await repository.stored_bytes() == 2_831_155
    assert isinstance(await claim(repository, ANN), Finished)


async def test_an_inserted_record_takes_no_other_ones_place(repository: MediaRepository) -> None:
    owned = await claim(repository, ANN)
    assert isinstance(owned, Owned)
    assert not await repository.insert(finished())
    found = await repository.get(SONG)
    assert found is not None
    assert (found.status, found.play_count) == (MediaStatus.PROCESSING, 0)
    assert await repository.insert(finished("another-song"))
    assert not await repository.insert(finished("another-song"))


async def test_an_inserted_records_file_can_be_evicted(repository: MediaRepository) -> None:
    await repository.insert(finished())
    eviction = await repository.begin_eviction(idle=NONE, lease=LONG)
    assert eviction is not None
    assert (eviction.media_id, eviction.size_bytes) == (SONG, 2_831_155)
