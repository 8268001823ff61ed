"""The bot ends in the middle of a song and starts again; requests that are answered late, never, or to nobody.

A start takes seconds, so the bot restarts three times for all tests: everything that a restart must not lose is under
way each time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from common.messages.base import parse
from common.messages.downloads import DownloadRequest
from tests.discord import FakeDiscord, Interaction, open_fake_discord
from tests.discord.bot_process import BotProcess, bot_environment, open_bot_process
from tests.discord.concert import Library, Room, Song, open_library, open_room
from tests.discord.cost import Cost
from tests.reporting import Table
from tests.servers.system import Client, open_client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(slots=True)
class Told:
    """A request, and what its room and whoever made it see of it."""

    room: Room
    played: Interaction
    request_id: str


@dataclass(slots=True)
class Stand:
    """A Discord, an audio service, and a queue of requests that nobody but the test reads and answers."""

    discord: FakeDiscord
    library: Library
    client: Client
    directory: Path
    names: itertools.count[int] = field(default_factory=itertools.count)

    def room(self) -> Room:
        return open_room(self.discord, f"Casa {next(self.names)}")

    @asynccontextmanager
    async def bot(self, **overrides: str) -> AsyncGenerator[BotProcess]:
        """Run a bot; all of them have the same data."""
        ours = {"EMBEDDED_BROKER_PATH": str(self.client.settings.embedded_broker_path), **overrides}
        environment = bot_environment(self.discord, self.library.settings, self.directory, **ours)
        async with open_bot_process(self.discord, environment) as bot:
            yield bot

    async def request(self) -> DownloadRequest:
        """Take the next request out of the queue."""
        topic = self.client.settings.topic_download_requests
        async with self.client.broker.consume(topic, "test") as deliveries:
            async for delivery in deliveries:
                await delivery.ack()
                return parse(DownloadRequest, delivery.message.value)
        raise AssertionError("the topic has ended")

    async def answer(self, request_id: str, song: Song) -> None:
        """Publish that the song of a request is ready."""
        known = next(status for status in self.library.statuses if status.platform_metadata.title == song.title)
        status = known.model_copy(update={"request_id": request_id})
        await self.client.broker.publish(
            self.client.settings.topic_download_status, request_id, status.to_bytes(), {"schema_version": "1"}
        )

    async def wish(self, name: str) -> Told:
        """Let somebody in a room of its own ask for a song that nobody has."""
        room = self.room()
        played = await room.ana.slash("music", "play", input=self.library.site.file(name))
        await played.message(lambda message: "Buscando" in message.text)
        return Told(room, played, (await self.request()).request_id)


@dataclass(slots=True)
class Restarts:
    """A bot that was killed, started, ended, started, killed, and started again: what was on each time it went.

    `killed`, `ended`: two rooms with two songs each, and the places in what was received there at which the bot went.
    `quiet`: a guild that is not to go on after a restart. `answered`, `expired`: see Told. `forgotten`: a room in which
    the last bot, which is told to forget, found something on.
    """

    stand: Stand
    killed: tuple[Room, int]
    ended: tuple[Room, int]
    quiet: tuple[Room, int]
    answered: Told
    expired: Told
    forgotten: tuple[Room, int]


async def _both(stand: Stand) -> Room:
    room = stand.room()
    await room.play(stand.library.short)
    await room.play(stand.library.middle)
    await room.hears(stand.library.short, 60)
    return room


async def _quiet(stand: Stand) -> Room:
    room = stand.room()
    boss = room.guild.member("carla", room.guild.role("jefes", "manage_guild"))
    await (await boss.slash("music", "settings", resume=False)).message()
    await room.play(stand.library.middle)
    await room.hears(stand.library.middle, 5)
    return room


async def _killed(bot: BotProcess) -> None:
    bot.kill()
    await bot.process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restarts(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Restarts]:
    directory = tmp_path_factory.mktemp("restarts")
    async with AsyncExitStack() as stack:
        library = await stack.enter_async_context(open_library(directory))
        discord = await stack.enter_async_context(open_fake_discord(patience=60))
        ours = library.settings.model_copy(update={"embedded_broker_path": directory / "unread.db"})
        client = await stack.enter_async_context(open_client(ours))
        stand = Stand(discord, library, client, directory)
        async with stand.bot() as bot:
            answered, expired = await stand.wish("one.webm"), await stand.wish("two.webm")
            quiet, killed = await asyncio.gather(_quiet(stand), _both(stand))
            await _killed(bot)
        places = quiet.voice.mark, killed.voice.mark
        expired.played.expire()
        for request_id in ("00000000-0000-4000-8000-000000000000", answered.request_id, expired.request_id):
            await stand.answer(request_id, stand.library.short)
        async with stand.bot() as bot:
            ended, _, _ = await asyncio.gather(
                _both(stand),
                killed.hears(stand.library.middle, 20, since=places[1]),
                answered.room.hears(stand.library.short, 20),
            )
            assert await bot.terminate() == 0
        ended_at = ended.voice.mark
        async with stand.bot() as bot:
            forgotten, _ = await asyncio.gather(_both(stand), ended.hears(stand.library.middle, 20, since=ended_at))
            await _killed(bot)
        forgotten_at = forgotten.voice.mark
        last = {"RESUME_AFTER_RESTART": "false", "REQUEST_TIMEOUT_SECONDS": "1", "VOICE_RECONNECT_SECONDS": "2"}
        async with stand.bot(**last):
            yield Restarts(
                stand=stand,
                killed=(killed, places[1]),
                ended=(ended, ended_at),
                quiet=(quiet, places[0]),
                answered=answered,
                expired=expired,
                forgotten=(forgotten, forgotten_at),
            )
        assert not discord.problems


@pytest.mark.parametrize("end", ["kill -9", "SIGTERM"])
async def test_after_a_restart_it_goes_on_where_it_was(restarts: Restarts, tables: list[Table], end: str) -> None:
    room, place = restarts.killed if end == "kill -9" else restarts.ended
    song, following = restarts.stand.library.short, restarts.stand.library.middle
    await room.notice("sigo donde estaba")
    cost = Cost.of(song, room.voice.received, place)
    cost.report(tables, f"the bot ends by {end}, and starts again")
    assert cost.is_small
    assert following.numbers(room.voice.received)[:20] == list(range(20)), "what was queued behind it comes next"


async def test_a_guild_that_is_told_so_does_not_go_on(restarts: Restarts) -> None:
    room, place = restarts.quiet
    assert room.voice.mark == place
    assert "vac" in await room.say("list")


async def test_a_bot_that_is_told_so_goes_on_nowhere_until_asked(restarts: Restarts) -> None:
    room, place = restarts.forgotten
    assert "vac" in await room.say("list")
    assert room.voice.mark == place
    song = restarts.stand.library.middle
    await room.play(song)
    await room.hears(song, 10)
    heard = room.voice.received[place:]
    assert song.numbers(heard)[0] == 0
    assert not restarts.stand.library.short.numbers(heard)


async def test_an_answer_that_came_meanwhile_reaches_who_asked(restarts: Restarts) -> None:
    told, song = restarts.answered, restarts.stand.library.short
    await told.played.message(lambda message: "Sonando" in message.text and song.title in message.text)
    assert song.numbers(told.room.voice.received)[:20] == list(range(20))


async def test_when_the_reply_can_no_longer_be_changed_the_answer_comes_as_a_message(restarts: Restarts) -> None:
    told = restarts.expired
    message = await told.room.notice("Sonando")
    assert restarts.stand.library.short.title in message.text
    assert told.room.ana.mention in message.text


async def test_an_answer_to_nobody_is_ignored_and_every_other_is_told_once(restarts: Restarts) -> None:
    """The answer to nobody was published before the others, which were heard."""
    for told in (restarts.answered, restarts.expired):
        answers = [message for message in told.room.text.now if "Sonando:" in message.text]
        assert len(answers) == 1, [message.text for message in told.room.text.now]


async def test_what_nobody_answers_in_time_is_given_up_with_a_reason(restarts: Restarts) -> None:
    stand = restarts.stand
    wish, song = await stand.wish("three.webm"), stand.library.short
    answer = await wish.played.message(lambda message: "❌" in message.text)
    assert "Nadie respondió el pedido a tiempo" in answer.text
    assert "vac" in await wish.room.say("list")
    await stand.answer(wish.request_id, stand.library.middle)  # too late: it has ended
    await wish.room.play(song)
    await wish.room.hears(song, 50)
    assert song.numbers(wish.room.voice.received)[:50] == list(range(50))
    assert "vac" in await wish.room.say("list")


async def test_a_voice_that_breaks_again_and_again_is_given_up_and_the_song_kept(restarts: Restarts) -> None:
    room, song = restarts.stand.room(), restarts.stand.library.short
    await room.play(song)
    await room.hears(song, 30)
    place = room.voice.mark
    await _break_until_given_up(room)
    assert len(room.voice.connections) <= 9
    assert room.guild.me.voice_channel is None
    before, place = song.numbers(room.voice.received[:place]), room.voice.mark
    assert "Seguimos" in await room.say("resume")
    await room.hears(song, len(song.frames) - 1, since=place)
    went_on = song.numbers(room.voice.received[place:])
    assert went_on == list(range(went_on[0], len(song.frames)))
    assert went_on[0] >= before[-1] - 50


async def _break_until_given_up(room: Room) -> None:
    """Close every voice connection as soon as it is up, until the bot says why it makes no more."""

    def said() -> str:
        return next((one.text for one in room.text.now if "No pude quedarme" in one.text), "")

    while not said():
        await room.voice.until(lambda voice: voice.connection or said())
        room.voice.close(4006)
        await room.voice.until(lambda voice: voice.connection is None)
    assert "se cortó varias veces" in said()
