"""The fake, tried with a real client process: what it says and records is what discord.py does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from common.dca import DcaMetadata, DcaWriter
from tests.discord import (
    Channel,
    FakeDiscord,
    Guild,
    Member,
    assert_plays,
    frames_of,
    open_fake_discord,
)

ROOT = Path(__file__).parents[2]
FRAMES = 700
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    discord: FakeDiscord
    guild: Guild
    voice: Channel
    ana: Member
    frames: list[bytes]

    @property
    def text(self) -> Channel:
        return next(iter(self.guild.channels.values()))


def a_song(path: Path) -> Path:
    """Write frames that are all different; nobody decodes them."""
    with path.open("wb") as file:
        writer = DcaWriter(file, DcaMetadata())
        for number in range(FRAMES):
            writer.write(b"\xfc" + number.to_bytes(4, "big") * 20)
    return path


@asynccontextmanager
async def a_small_bot(discord: FakeDiscord, song: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    environment = {**os.environ, **discord.environment}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.discord.small_bot", str(song)), env=environment, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    song = a_song(tmp_path_factory.mktemp("song") / "song.dca")
    async with open_fake_discord() as discord:
        guild = discord.guild()
        voice, ana = guild.voice_channel(), guild.member("ana")
        async with a_small_bot(discord, song):
            await discord.ready()
            yield Stage(discord, guild, voice, ana, frames_of(song))


@pytest_asyncio.fixture(loop_scope="module")
async def playing(stage: Stage) -> AsyncGenerator[Stage]:
    """Ana has started the song, and it is heard."""
    stage.ana.join(stage.voice)
    known = len(stage.guild.voice.connections)
    played = await stage.ana.slash("small", "play", title="a song")
    await stage.guild.voice.connected(known + 1)
    await played.message()
    stage.guild.voice.received.clear()
    yield stage
    if stage.guild.me.voice_channel is not None:
        await (await stage.ana.slash("small", "stop")).message()
    await stage.guild.voice.disconnected()


async def test_a_command_is_deferred_and_its_song_arrives_packet_by_packet(stage: Stage) -> None:
    stage.ana.join(stage.voice)
    played = await stage.ana.slash("small", "play", title="a song", times=2)
    assert (await played.deferred()).after < 60
    assert (await played.message()).text == "playing a song 2"
    packets = await stage.guild.voice.packets(100)
    assert_plays(packets, stage.frames)
    assert packets[-1].speaking  # the first ones may overtake the word of it, which goes another way
    assert played.kinds == ["deferred", "message"]
    left = await stage.ana.slash("small", "stop")
    assert (await left.message()).text == "left"
    await stage.guild.voice.disconnected()
    assert stage.guild.me.voice_channel is None
    assert not stage.discord.problems
