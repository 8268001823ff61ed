"""The one sender of all guilds, in a real client of the fake Discord: nobody's fault is anybody else's silence."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import discord
import pytest

from bot_service.player.voice import connections
from bot_service.player.voice.client import WatchedVoiceClient
from bot_service.player.voice.dca_source import DcaSource
from tests.discord import Guild, assert_plays, assert_stream, open_fake_discord
from tests.unit.bot_service.player import songs
from tests.unit.bot_service.player.voice.voice_rig import open_client
from tests.waiting import patience, until

pytestmark = pytest.mark.slow

GUILDS = 3
PATIENCE_SECONDS = 30


@dataclass
class Seat:
    """The bot's place in one guild."""

    guild: Guild
    client: WatchedVoiceClient

    async def play(self, source: discord.AudioSource) -> Exception | None:
        """Play to the end, and return what `after` was given."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Exception | None] = loop.create_future()
        self.client.play(source, after=lambda error: loop.call_soon_threadsafe(ended.set_result, error))
        async with asyncio.timeout(patience(PATIENCE_SECONDS)):
            return await ended


@pytest.fixture
async def seats() -> AsyncGenerator[list[Seat]]:
    async with open_fake_discord() as fake:
        rooms = [(guild, guild.voice_channel()) for guild in (fake.guild(f"Casa {place}") for place in range(GUILDS))]
        async with open_client(fake) as client:
            made = [
                Seat(guild, await connections.connect(client, int(guild.id), int(channel.id)))
                for guild, channel in rooms
            ]
            yield made
            for seat in made:
                await connections.leave(seat.client)
        assert not fake.problems
    await until(lambda: not senders())


def song(count: int) -> DcaSource:
    source = DcaSource()
    source.feed(songs.frames(count))
    source.finish()
    return source


class Faulty(DcaSource):
    """Gives five frames; then, each time it is read, something happens first."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self.feed(songs.frames(10))
        self.finish()
        self._happens = happens

    def read(self) -> bytes:
        if self.sent == 5:
            self._happens()
        return super().read()


def senders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("voice pacer", "audio-player"))]


async def test_all_guilds_are_sent_to_by_one_thread_which_ends_with_the_last_song(seats: list[Seat]) -> None:
    async with asyncio.TaskGroup() as tasks:
        plays = [tasks.create_task(seat.play(song(60 + 20 * place))) for place, seat in enumerate(seats)]
        await seats[0].guild.voice.sound(10)
        await until(lambda: senders() == ["voice pacer"] * 2)  # one that sends, and one that looks after it
    assert [play.result() for play in plays] == [None] * GUILDS
    for place, seat in enumerate(seats):
        count = 60 + 20 * place
        packets = await seat.guild.voice.packets(count + 5)
        assert_plays(packets, songs.frames(count))
        assert [packet.is_silence for packet in packets] == [False] * count + [True] * 5
    await until(lambda: not senders())


async def test_what_goes_wrong_in_one_guild_is_told_there_and_stops_no_other(seats: list[Seat]) -> None:
    def break_down() -> None:
        raise ArithmeticError

    def fall_over(_error: Exception | None) -> None:
        raise LookupError

    seats[1].client.play(song(5), after=fall_over)
    async with asyncio.TaskGroup() as tasks:
        well = tasks.create_task(seats[0].play(song(60)))
        ill = tasks.create_task(seats[2].play(Faulty(break_down)))
    assert well.result() is None
    assert isinstance(ill.result(), ArithmeticError)
    assert_plays(await seats[0].guild.voice.packets(65), songs.frames(60))
    assert_plays(await seats[1].guild.voice.packets(10), songs.frames(5))
    assert_plays(await seats[2].guild.voice.packets(5), songs.frames(5))
    assert await seats[2].play(song(20)) is None, "the guild can play again"


async def test_a_guild_that_sticks_holds_up_the_others_for_a_second_at_most(seats: list[Seat]) -> None:
    stuck = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(seats[0].play(Faulty(stuck.wait)))
        await seats[0].guild.voice.sound(5)
        for seat in seats[1:]:
            assert await seat.play(song(20)) is None
        assert not first.done()
        stuck.set()
    assert first.result() is None
    for seat, count in zip(seats, (10, 20, 20), strict=True):
        assert_plays(await seat.guild.voice.packets(count + 5), songs.frames(count))


async def test_what_is_heard_is_announced_and_so_is_its_end_also_to_another_voice_server(seats: list[Seat]) -> None:
    seat, voice = seats[0], seats[0].guild.voice
    source = song(150)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(seat.play(source))
        await voice.sound(10)
        seat.client.pause()
        await voice.silence()
        await voice.until(lambda one: len(one.speaking_changes) == 1 + 2)
        assert seat.client.is_paused()
        assert not seat.client.is_playing()
        seat.client.resume()
        await voice.sound(20)
        voice.new_server(close=4014)
        await voice.connected(2)
    # discord.py itself tells each voice server, to begin with, that nothing is heard.
    told = [False, True, False, True, *[False, True, False]]
    await voice.until(lambda one: len(one.speaking_changes) == len(told))
    assert [speaking for _, speaking in voice.speaking_changes] == told
    assert_stream(voice.received)
    assert source.sent == 150


async def test_a_connection_that_is_away_is_waited_for_and_no_frame_is_taken_meanwhile(seats: list[Seat]) -> None:
    seat, source = seats[0], song(100)
    voice = seat.guild.voice
    async with asyncio.TaskGroup() as tasks:
        play = tasks.create_task(seat.play(source))
        await voice.sound(10)
        voice.lose()  # nor is the bot told where it is, which it asks over UDP
        voice.new_server(close=4014)
        await until(lambda: not seat.client.is_connected())
        taken = source.sent
        await seats[1].play(song(20))
        assert taken <= source.sent <= taken + 1 < 100
        assert seat.client.is_playing()
        assert not play.done()
        seat.client.stop()
    sent = sorted([*voice.lost, *voice.received], key=lambda packet: packet.arrived)
    assert [packet.payload for packet in sent] == songs.frames(source.sent)


async def test_what_cannot_be_sent_is_refused(seats: list[Seat]) -> None:
    client = seats[0].client
    with pytest.raises(discord.ClientException):
        client.play(discord.PCMAudio(io.BytesIO()))
    client.play(song(50))
    with pytest.raises(discord.ClientException):
        client.play(song(50))
    client.stop()
    assert not client.is_playing()
    await connections.leave(client)
    with pytest.raises(discord.ClientException):
        client.play(song(50))
