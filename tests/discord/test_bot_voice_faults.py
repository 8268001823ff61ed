"""What breaks between the bot and Discord while a song plays: at most a second of it is lost, and at most one repeated.

All faults of voice connections happen at the same time, in guilds of their own; those of the gateway, which all guilds
share, one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.discord import FakeDiscord, assert_stream, open_fake_discord
from tests.discord.bot_process import bot_environment, open_bot_process
from tests.discord.concert import FRAMES_PER_SECOND, Library, Room, Song, open_library, open_room
from tests.discord.cost import Cost
from tests.discord.gateway import GATEWAY_HOST, RESUME_HOST
from tests.reporting import Table
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

# So much of the song is heard before the fault.
_BEFORE = 60


@dataclass(frozen=True, slots=True)
class Bench:
    """A bot, and the voice faults under way in it."""

    discord: FakeDiscord
    library: Library
    faults: dict[str, asyncio.Task[Cost]]

    @property
    def song(self) -> Song:
        return self.library.middle


async def _new_server(room: Room) -> None:
    room.voice.new_server(close=4014)


async def _cut(room: Room) -> None:
    room.voice.cut()


async def _lose(room: Room) -> None:
    room.voice.lose()
    await room.voice.until(lambda voice: len(voice.lost) >= 3 * FRAMES_PER_SECOND)
    room.voice.lose(0)


def _closing(code: int) -> Callable[[Room], Awaitable[None]]:
    async def close(room: Room) -> None:
        room.voice.close(code)

    return close


_FAULTS: dict[str, Callable[[Room], Awaitable[None]]] = {
    "voice closes with 1000": _closing(1000),
    "voice closes with 1001": _closing(1001),
    "voice closes with 4006": _closing(4006),
    "voice closes with 4009": _closing(4009),
    "voice closes with 4015": _closing(4015),
    "4014 and another voice server": _new_server,
    "voice TCP is cut": _cut,
    "no UDP for three seconds": _lose,
}


async def _suffer(room: Room, song: Song, fault: Callable[[Room], Awaitable[None]]) -> Cost:
    """Play the song, let the fault happen in the middle, and count when it is over."""
    await room.play(song)
    await room.hears(song, _BEFORE)
    place = room.voice.mark
    await fault(room)
    packets = await room.hears_the_end(song)
    everything = sorted([*packets, *room.voice.lost], key=lambda packet: packet.arrived)
    assert_stream([packet for packet in everything if packet.connection == packets[-1].connection])
    return Cost.of(song, packets, place, room.voice.lost)


@asynccontextmanager
async def _all_at_once(discord: FakeDiscord, song: Song) -> AsyncGenerator[dict[str, asyncio.Task[Cost]]]:
    tasks = {
        name: asyncio.ensure_future(_suffer(open_room(discord, name), song, fault)) for name, fault in _FAULTS.items()
    }
    try:
        yield tasks
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Bench]:
    directory = tmp_path_factory.mktemp("faults")
    async with AsyncExitStack() as stack:
        library = await stack.enter_async_context(open_library(directory))
        discord = await stack.enter_async_context(open_fake_discord(patience=60))
        await stack.enter_async_context(
            open_bot_process(discord, bot_environment(discord, library.settings, directory))
        )
        tasks = await stack.enter_async_context(_all_at_once(discord, library.middle))
        yield Bench(discord, library, tasks)
        assert not discord.problems


@pytest.mark.parametrize("fault", list(_FAULTS))
async def test_a_voice_fault_costs_at_most_a_second_of_the_song(bench: Bench, tables: list[Table], fault: str) -> None:
    cost = await bench.faults[fault]
    cost.report(tables, fault)
    assert cost.is_small


async def _cut_gateway(discord: FakeDiscord, _room: Room) -> None:
    before = discord.gateway.resumes
    discord.gateway.cut()
    await discord.gateway.resumed(before + 1)


async def _invalidate(discord: FakeDiscord, _room: Room) -> None:
    before = len(discord.gateway.identifies)
    discord.gateway.invalidate()
    await discord.gateway.identified(before + 1)


async def _cut_everything(discord: FakeDiscord, room: Room) -> None:
    before = len(discord.proxy.refused)

    def vain() -> int:
        refused = [host.partition(":")[0] for host in discord.proxy.refused[before:]]
        return refused.count(GATEWAY_HOST) + refused.count(RESUME_HOST)

    room.voice.lose()
    discord.proxy.down()
    await until(lambda: vain() >= 2)  # at once, and after the pause that its library takes then
    discord.proxy.up()
    room.voice.lose(0)


@pytest.mark.parametrize(
    ("fault", "happen", "name"),
    [
        ("gateway TCP is cut, resumed", _cut_gateway, "corta"),
        ("gateway session is invalid", _invalidate, "corta"),
        ("no network until it has come back twice in vain", _cut_everything, "media"),
    ],
)
async def test_a_gateway_fault_costs_at_most_a_second_of_the_song(
    bench: Bench, tables: list[Table], fault: str, happen: Callable[[FakeDiscord, Room], Awaitable[None]], name: str
) -> None:
    await asyncio.wait(bench.faults.values())
    song = bench.library.songs[name]
    cost = await _suffer(open_room(bench.discord, fault), song, lambda room: happen(bench.discord, room))
    cost.report(tables, fault)
    assert cost.is_small


@pytest.mark.parametrize(("code", "words"), [(4017, "cifrado de extremo a extremo"), (4021, "límite")])
async def test_what_cannot_be_mended_ends_with_an_honest_message(bench: Bench, code: int, words: str) -> None:
    room = open_room(bench.discord, str(code))
    await room.play(bench.song)
    await room.hears(bench.song, _BEFORE)
    room.voice.close(code)
    notice = await room.notice("No pude quedarme en el canal de voz")
    assert words in notice.text
    await room.voice.disconnected()
    assert len(room.voice.connections) == 1
    assert bench.song.title in await room.say("list"), "the queue is kept"
