"""Open requests over the real broker and the real store: each ends once, whatever happens in between."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot_service.player.rules.model import Entry
from bot_service.player.rules.state import PlayerState
from bot_service.player.snapshot import Snapshot
from bot_service.requests import pending as pending_module
from bot_service.requests.completion import RequestHandler
from bot_service.requests.pending import Pending, download_request
from bot_service.requests.withdrawal import Cancel
from bot_service.settings import BotSettings
from bot_service.store import open_store
from bot_service.store.base import GuildStore, PendingRequest
from common.aws import open_sqs
from common.broker import open_broker
from common.broker.base import Broker
from common.errors import (
    AppError,
    AudioServiceUnavailable,
    BrokerUnavailable,
    DatabaseUnavailable,
    Forbidden,
    QueueFull,
)
from common.messages.base import parse, utc_now
from common.messages.downloads import DownloadRequest, FileData, PlatformMetadata, ProgressEvent, StatusEvent
from tests.servers.emulators import Emulator
from tests.waiting import patience, until


@dataclass
class Told:
    """What a handler was told; `fail` makes the terminal calls raise so many times, `deaf` the calls that a song can be
    heard; `hold` keeps progress calls, `busy` those that a song can be heard. `log` has the calls' ends, too.
    """

    finished: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    timed_out: list[str] = field(default_factory=list[str])
    withdrawn: list[str] = field(default_factory=list[str])
    progress: list[tuple[str, float | None]] = field(default_factory=list[tuple[str, float | None]])
    playable: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    log: list[str] = field(default_factory=list[str])
    fail: int = 0
    deaf: int = 0
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.hold.set()
        self.busy.set()

    @property
    def handler(self) -> RequestHandler:
        return RequestHandler(
            finished=self._finished,
            progress=self._progress,
            timed_out=self._timed_out,
            playable=self._playable,
            withdrawn=self._withdrawn,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(patience(60)), self.changed:
            await self.changed.wait_for(condition)

    async def _finished(self, request: PendingRequest, status: StatusEvent) -> None:
        self.log.append("finished")
        await self._note(lambda: self.finished.append((request.request_id, status.video_id)))
        if self.fail:
            self.fail -= 1
            raise RuntimeError("Discord is not there")

    async def _progress(self, request: PendingRequest, event: ProgressEvent) -> None:
        assert event.request_id == request.request_id
        await self._note(lambda: self.progress.append((request.request_id, event.percent)))
        await self.hold.wait()

    async def _playable(self, request: PendingRequest, event: ProgressEvent) -> None:
        assert event.request_id == request.request_id
        assert event.platform_metadata is not None
        self.log.append("playable begins")
        await self._note(lambda: self.playable.append((request.request_id, event.video_id)))
        try:
            await self.busy.wait()
        finally:
            self.log.append("playable ends")
        if self.deaf:
            self.deaf -= 1
            raise RuntimeError("the player is not there")

    async def _timed_out(self, request: PendingRequest) -> None:
        await self._note(lambda: self.timed_out.append(request.request_id))

    async def _withdrawn(self, request: PendingRequest) -> None:
        await self._note(lambda: self.withdrawn.append(request.request_id))

    async def _note(self, note: Callable[[], None]) -> None:
        async with self.changed:
            note()
            self.changed.notify_all()


@dataclass
class Bot:
    """One bot's life: what it stands on, and what its handler was told."""

    settings: BotSettings
    broker: Broker
    store: GuildStore
    pending: Pending
    told: Told

    async def ask(self, song: str = "a song", **changes: object) -> PendingRequest:
        asked = request_of(song, **changes)
        await self.pending.open(asked)
        return asked

    async def answer(self, request_id: str, *, video_id: str = "v") -> None:
        await publish_status(self.broker, self.settings, request_id, video_id)

    async def report(
        self, request_id: str, percent: float | None, *, video_id: str = "v", playable: bool = False
    ) -> None:
        event = ProgressEvent(
            request_id=request_id,
            video_id=video_id,
            stage="downloading",
            percent=percent,
            playable=playable,
            platform_metadata=PlatformMetadata(title="Song"),
            file_data=FileData(file_path="audio/v.dca"),
        )
        await self.broker.publish(self.settings.topic_download_progress, video_id, event.to_bytes(), {})

    async def all_read(self) -> None:
        """Wait until every status was settled."""

        async def settled() -> bool:
            return await self.broker.lag(self.settings.topic_download_status, "bot-here") == 0

        await until(settled)


async def publish_status(broker: Broker, settings: BotSettings, request_id: str, video_id: str = "v") -> None:
    status = StatusEvent(
        request_id=request_id, user_id="7", video_id=video_id, message="ok", success=True, status="success"
    )
    await broker.publish(settings.topic_download_status, video_id, status.to_bytes(), {})


def settings_in(root: Path, **changes: object) -> BotSettings:
    values: dict[str, object] = {
        "discord_token": SecretStr("nobody's"),
        "instance_id": "here",
        "embedded_broker_path": root / "broker.db",
        "broker_lease_seconds": 1.0,
        "bot_sqlite_path": root / "bot.db",
        **changes,
    }
    return BotSettings.model_validate(values)


def request_of(song: str = "a song", **changes: object) -> PendingRequest:
    asked = PendingRequest(
        request_id=str(uuid.uuid4()),
        guild_id=1,
        text_channel_id=2,
        voice_channel_id=3,
        user_id=7,
        song=song,
        locale="es",
        interaction_token="t",  # noqa: S106 - no secret of anybody
        application_id=9,
        message_id=None,
        asked_at=utc_now(),
        playlist_id=None,
    )
    return replace(asked, **changes)  # pyright: ignore[reportArgumentType] - named fields of the dataclass


async def ignored(_request_id: str) -> None:
    """Stand in for an audio service that is told of withdrawals."""


def queue_of(*request_ids: str, guild_id: int = 1) -> Snapshot:
    entries = tuple(Entry(request_id, 7, "a song", utc_now()) for request_id in request_ids)
    return replace(Snapshot.of(PlayerState(guild_id)), entries=entries)


@asynccontextmanager
async def open_bot(settings: BotSettings, told: Told | None = None, cancel: Cancel = ignored) -> AsyncGenerator[Bot]:
    told = told or Told()
    async with open_broker(settings) as broker, open_store(settings) as store:
        pending = Pending(store, broker, settings, cancel)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pending.run(stop, told.handler))
            try:
                yield Bot(settings, broker, store, pending, told)
            finally:
                stop.set()


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncGenerator[Bot]:
    async with open_bot(settings_in(tmp_path)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.requests.completion.RETRY_DELAY", timedelta(milliseconds=20))
    monkeypatch.setattr("bot_service.requests.pending.RETRY_DELAY", timedelta(milliseconds=20))
    monkeypatch.setattr("bot_service.requests.withdrawal._SETTLED", timedelta(milliseconds=20))


async def test_a_request_is_stored_and_published_with_its_key_and_guild(bot: Bot) -> None:
    asked = await bot.ask("  A   Song ")
    assert await bot.store.request(asked.request_id) == asked
    [message] = await bot.broker.peek(bot.settings.topic_download_requests)
    request = parse(DownloadRequest, message.value)
    assert (message.key, message.headers["correlation_id"]) == ("a song", asked.request_id)
    assert (request.request_id, request.user_id, request.guild_id) == (asked.request_id, "7", "1")
    assert (request.song, request.provider_type) == ("  A   Song ", "youtube")


async def test_a_status_ends_its_request_once_however_often_it_comes(bot: Bot) -> None:
    asked = await bot.ask()
    await asyncio.gather(*(bot.answer(asked.request_id) for _ in range(5)))
    await bot.all_read()
    assert bot.told.finished == [(asked.request_id, "v")]
    assert await bot.store.request(asked.request_id) is None


async def test_what_nobody_here_asked_for_and_what_nobody_can_read_is_passed_over(bot: Bot) -> None:
    await bot.answer("somebody else's")
    await bot.broker.publish(bot.settings.topic_download_status, "k", b"{", {})
    asked = await bot.ask()
    await bot.answer(asked.request_id)
    await bot.all_read()
    assert bot.told.finished == [(asked.request_id, "v")]


async def test_a_request_whose_song_left_the_queue_is_withdrawn_once(tmp_path: Path) -> None:
    cancelled: list[str] = []

    async def cancel(request_id: str) -> None:
        cancelled.append(request_id)

    async with open_bot(settings_in(tmp_path), cancel=cancel) as bot:
        kept, left, elsewhere = await bot.ask(), await bot.ask(), await bot.ask(guild_id=2)
        bot.pending.queue_changed(queue_of(kept.request_id, left.request_id))
        bot.pending.queue_changed(queue_of(kept.request_id))
        await until(lambda: _gone(bot, left))
        await bot.answer(left.request_id)
        await bot.answer(elsewhere.request_id)
        await bot.all_read()
        assert (cancelled, bot.told.withdrawn) == ([left.request_id], [left.request_id])
        assert bot.told.finished == [(elsewhere.request_id, "v")]
        assert [one.request_id for one in await bot.store.open_requests()] == [kept.request_id]


async def test_a_request_that_could_not_be_withdrawn_stays_open_until_the_next_change(tmp_path: Path) -> None:
    refusals: list[AppError] = [AudioServiceUnavailable(), Forbidden()]

    async def cancel(_request_id: str) -> None:
        if refusals:
            raise refusals.pop()

    async with open_bot(settings_in(tmp_path), cancel=cancel) as bot:
        asked = await bot.ask()
        for left in (1, 0):
            bot.pending.queue_changed(queue_of())
            await until(lambda left=left: len(refusals) == left)
            assert await bot.store.request(asked.request_id) == asked
        bot.pending.queue_changed(queue_of())
        await bot.told.until(lambda: bot.told.withdrawn == [asked.request_id])


async def test_an_answer_that_comes_while_the_bot_restarts_still_arrives(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with open_bot(settings) as first:
        asked = await first.ask()
    async with open_broker(settings) as broker:
        await publish_status(broker, settings, asked.request_id, "later")
    async with open_bot(settings) as second:
        await second.told.until(lambda: bool(second.told.finished))
        await second.all_read()
        assert second.told.finished == [(asked.request_id, "later")]


async def test_a_request_that_was_stored_and_not_published_is_published_after_the_restart(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    asked = request_of("words")
    async with open_store(settings) as store:
        await store.add_requests([asked])
    async with open_bot(settings) as bot, bot.broker.consume(settings.topic_download_requests, "w") as deliveries:
        delivery = await anext(deliveries)
        assert parse(DownloadRequest, delivery.message.value) == download_request(asked)


async def test_a_first_start_with_open_requests_hears_what_was_said_before(tmp_path: Path) -> None:
    before = settings_in(tmp_path)
    async with open_bot(before) as first:
        asked = await first.ask()
    renamed = settings_in(tmp_path, instance_id="renamed")
    async with open_broker(before) as broker, broker.consume(before.topic_download_status, "keeps it"):
        await publish_status(broker, before, asked.request_id)
        async with open_bot(renamed) as second:
            await second.told.until(lambda: second.told.finished == [(asked.request_id, "v")])


async def test_a_handler_that_fails_is_asked_again_and_the_others_go_on(bot: Bot) -> None:
    bot.told.fail = 2
    asked = await bot.ask()
    await bot.answer(asked.request_id)
    await bot.told.until(lambda: len(bot.told.finished) == 3)
    await bot.all_read()
    assert bot.told.finished == [(asked.request_id, "v")] * 3
    other = await bot.ask()
    await bot.answer(other.request_id)
    await bot.told.until(lambda: bot.told.finished[-1] == (other.request_id, "v"))


async def test_a_handler_that_always_fails_is_given_up(bot: Bot) -> None:
    bot.told.fail = 100
    asked = await bot.ask()
    await bot.answer(asked.request_id)
    await bot.all_read()
    assert len(bot.told.finished) == 4
    assert await bot.store.open_requests() == []


async def test_progress_reaches_its_request_and_those_that_joined_it(bot: Bot) -> None:
    asked, joined = await bot.ask(), await bot.ask()
    await bot.report(joined.request_id, None)
    await bot.told.until(lambda: len(bot.told.progress) == 1)
    await bot.report("somebody else's", 10, video_id="another")
    await bot.report("somebody else's", 20)
    await bot.told.until(lambda: len(bot.told.progress) == 2)
    await bot.report(asked.request_id, 30)
    await bot.told.until(lambda: len(bot.told.progress) == 4)
    assert bot.told.progress[:2] == [(joined.request_id, None), (joined.request_id, 20)]
    assert sorted(bot.told.progress[2:]) == sorted([(asked.request_id, 30.0), (joined.request_id, 30.0)])


async def test_progress_that_is_still_shown_ends_before_the_end_is_told(bot: Bot) -> None:
    bot.told.hold.clear()
    asked = await bot.ask()
    await bot.report(asked.request_id, 10)
    await bot.told.until(lambda: len(bot.told.progress) == 1)
    await bot.report(asked.request_id, 20)
    other = await bot.ask()
    await bot.report(other.request_id, 1, video_id="w")
    await bot.told.until(lambda: len(bot.told.progress) == 2)
    await bot.answer(asked.request_id)
    await bot.answer(other.request_id, video_id="w")
    assert bot.told.finished == []
    bot.told.hold.set()
    await bot.told.until(lambda: len(bot.told.finished) == 2)
    assert bot.told.progress == [(asked.request_id, 10), (other.request_id, 1)]


async def test_that_a_song_can_be_heard_is_told_once_to_its_request_and_to_those_that_joined_it(bot: Bot) -> None:
    asked, joined, later = await bot.ask(), await bot.ask(), await bot.ask()
    await bot.report(joined.request_id, None)
    await bot.report(asked.request_id, 10, playable=True)
    await bot.told.until(lambda: len(bot.told.playable) == 2)
    await bot.report(asked.request_id, 20, playable=True)
    await bot.report(later.request_id, 25)
    await bot.told.until(lambda: len(bot.told.progress) == 2)
    await bot.report(asked.request_id, 30, playable=True)
    await bot.told.until(lambda: len(bot.told.playable) == 3)
    assert sorted(bot.told.playable[:2]) == sorted([(asked.request_id, "v"), (joined.request_id, "v")])
    assert bot.told.playable[2] == (later.request_id, "v")
    assert bot.told.progress == [(joined.request_id, None), (later.request_id, 25)]


async def test_that_a_song_can_be_heard_is_not_left_out_while_progress_is_shown(bot: Bot) -> None:
    bot.told.hold.clear()
    asked = await bot.ask()
    await bot.report(asked.request_id, 10)
    await bot.told.until(lambda: len(bot.told.progress) == 1)
    await bot.report(asked.request_id, 20, playable=True)
    await bot.told.until(lambda: bool(bot.told.playable))
    bot.told.hold.set()


async def test_who_could_not_be_told_that_a_song_can_be_heard_is_told_at_the_next_event(bot: Bot) -> None:
    bot.told.deaf = 1
    asked = await bot.ask()
    for number in range(1, 3):
        await bot.report(asked.request_id, number, playable=True)
        await bot.told.until(lambda number=number: len(bot.told.playable) == number)
    await bot.report(asked.request_id, 3, playable=True)
    await bot.answer(asked.request_id)
    await bot.told.until(lambda: bool(bot.told.finished))
    assert bot.told.playable == [(asked.request_id, "v")] * 2


async def test_the_end_waits_until_it_was_told_that_the_song_can_be_heard(bot: Bot) -> None:
    bot.told.busy.clear()
    asked, other = await bot.ask(), await bot.ask()
    await bot.report(asked.request_id, 10, playable=True)
    await bot.told.until(lambda: bool(bot.told.playable))
    await bot.answer(asked.request_id)
    await bot.answer(other.request_id)
    await bot.told.until(lambda: bool(bot.told.finished))
    bot.told.busy.set()
    await bot.told.until(lambda: len(bot.told.finished) == 2)
    assert [request_id for request_id, _ in bot.told.finished] == [other.request_id, asked.request_id]
    assert bot.told.log == ["playable begins", "finished", "playable ends", "finished"]


async def test_a_call_that_hangs_is_ended_before_the_end_is_told(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.requests.progress._GRACE_SECONDS", 0.05)
    bot.told.busy.clear()
    asked = await bot.ask()
    await bot.report(asked.request_id, 10, playable=True)
    await bot.told.until(lambda: bool(bot.told.playable))
    await bot.answer(asked.request_id)
    await bot.told.until(lambda: bool(bot.told.finished))
    assert bot.told.log == ["playable begins", "playable ends", "finished"]


async def test_between_the_calls_of_a_failing_end_nobody_is_told_that_the_song_can_be_heard(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_service.requests.completion.RETRY_DELAY", timedelta(seconds=1))
    bot.told.fail = 1
    asked, other = await bot.ask(), await bot.ask()
    await bot.answer(asked.request_id)
    await bot.told.until(lambda: len(bot.told.finished) == 1)
    await bot.report(asked.request_id, 10, playable=True)
    await bot.report(other.request_id, 10, playable=True, video_id="w")
    await bot.told.until(lambda: len(bot.told.finished) == 2 and bool(bot.told.playable))
    assert bot.told.playable == [(other.request_id, "w")]


async def test_what_waits_too_long_times_out_once_and_a_late_answer_is_passed_over(tmp_path: Path) -> None:
    async with open_bot(settings_in(tmp_path)) as bot:
        late = await bot.ask(asked_at=utc_now() - timedelta(hours=1))
        patient = await bot.ask()
        await bot.told.until(lambda: bool(bot.told.timed_out))
        await until(lambda: _gone(bot, late))
        await bot.answer(late.request_id)
        await bot.answer(patient.request_id)
        await bot.all_read()
        assert bot.told.timed_out == [late.request_id]
        assert bot.told.finished == [(patient.request_id, "v")]


async def test_an_answer_that_lies_unread_goes_before_the_time_out(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with open_bot(settings) as first:
        asked = await first.ask()
    async with open_store(settings) as store:
        await store.add_requests([replace(asked, asked_at=utc_now() - timedelta(hours=1))])
    async with open_broker(settings) as broker:
        await publish_status(broker, settings, asked.request_id)
    async with open_bot(settings) as second:
        await second.told.until(lambda: bool(second.told.finished or second.told.timed_out))
        assert second.told.timed_out == []


async def test_a_queue_that_is_full_refuses_and_nothing_stays_stored(tmp_path: Path) -> None:
    async with open_bot(settings_in(tmp_path, embedded_broker_max_backlog=2)) as bot:
        topic = bot.settings.topic_download_requests
        async with bot.broker.consume(topic, "audio-workers"):
            requests = [request_of() for _ in range(5)]
            refused = await bot.pending.open_all(requests)
        assert [type(error) for error in refused.values()] == [QueueFull] * 3
        assert list(refused) == [one.request_id for one in requests[2:]]
        assert {one.request_id for one in await bot.store.open_requests()} == {one.request_id for one in requests[:2]}


async def test_with_the_broker_away_a_request_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with open_bot(settings_in(tmp_path)) as bot, AsyncExitStack() as away:
        asked = await bot.ask()
        other = await away.enter_async_context(open_broker(settings_in(tmp_path / "other")))
        bot.pending._broker = other  # pyright: ignore[reportPrivateUsage] - a broker that is going to be closed
        await away.aclose()
        with pytest.raises(BrokerUnavailable):
            await bot.ask()
        assert [one.request_id for one in await bot.store.open_requests()] == [asked.request_id]


async def test_before_the_answers_can_be_heard_nothing_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_module, "_SUBSCRIBE_SECONDS", 0.01)
    settings = settings_in(tmp_path)
    async with open_broker(settings) as broker, open_store(settings) as store:
        pending = Pending(store, broker, settings, ignored)
        asked = request_of()
        with pytest.raises(BrokerUnavailable):
            await pending.open(asked)
        assert await store.open_requests() == []
        assert await broker.peek(settings.topic_download_requests) == []


async def test_a_store_that_is_away_refuses_and_comes_back(tmp_path: Path) -> None:
    async with open_broker(settings_in(tmp_path)) as broker, AsyncExitStack() as opened:
        settings = settings_in(tmp_path)
        store = await opened.enter_async_context(open_store(settings))
        pending, stop, told = Pending(store, broker, settings, ignored), asyncio.Event(), Told()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pending.run(stop, told.handler))
            asked = request_of()
            await pending.open(asked)
            await opened.aclose()
            another = request_of()
            with pytest.raises(DatabaseUnavailable):
                await pending.open(another)
            # What this process knows of the request is enough to tell its end; the store is told when it is back.
            await publish_status(broker, settings, asked.request_id)
            await told.until(lambda: bool(told.finished))
            async with open_store(settings) as reopened:
                assert [one.request_id for one in await reopened.open_requests()] == [asked.request_id]
            stop.set()
        assert told.finished == [(asked.request_id, "v")]
    async with open_bot(settings) as after:
        await after.told.until(lambda: bool(after.told.finished))
        await until(lambda: _gone(after, asked))


async def test_no_progress_group_stays_behind(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with open_bot(settings) as bot:
        await bot.ask()
        assert sorted(groups_in(settings)) == ["bot-here", "bot-here.progress"]
    assert groups_in(settings) == ["bot-here"]


async def test_every_life_of_a_bot_on_sqs_has_the_same_queues(tmp_path: Path, ministack: Emulator) -> None:
    """A killed bot runs nothing at its end; a stopped one deletes no queue, as SQS blocks the name for 60 s."""
    name = uuid.uuid4().hex
    topics = {f"topic_download_{kind}": f"{name}.{kind}" for kind in ("requests", "status", "progress")}
    on_sqs = {"messaging_backend": "sqs", "aws_endpoint_url": ministack.url, "sqs_wait_time_seconds": 1}
    settings = settings_in(tmp_path, **{**on_sqs, **topics, "broker_lease_seconds": 30.0})
    lives: list[list[str]] = []
    for _ in range(3):
        async with open_bot(settings) as bot:
            asked = await asked_once_subscribed(bot)
            await until(partial(progress_arrives, bot, asked))
            lives.append(await group_queues(settings, name))
    assert lives[0] == lives[1] == lives[2]
    assert len(lives[0]) == 2


async def asked_once_subscribed(bot: Bot) -> PendingRequest:
    """Ask again where subscribing took longer than a request waits for it."""
    async with asyncio.timeout(patience(60)):
        while True:
            with suppress(BrokerUnavailable):
                return await bot.ask()


async def progress_arrives(bot: Bot, asked: PendingRequest) -> bool:
    """Publish it again and again: the first may come before the subscription."""
    await bot.report(asked.request_id, 10)
    return asked.request_id in {request_id for request_id, _ in bot.told.progress}


async def group_queues(settings: BotSettings, prefix: str) -> list[str]:
    async with open_sqs(settings) as client:
        found = (await client.list_queues(QueueNamePrefix=prefix)).get("QueueUrls", [])
    return sorted(url for url in found if "--" in url)


def groups_in(settings: BotSettings) -> list[str]:
    with closing(sqlite3.connect(settings.embedded_broker_path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM consumer_groups")]


async def _gone(bot: Bot, asked: PendingRequest) -> bool:
    return await bot.store.request(asked.request_id) is None
