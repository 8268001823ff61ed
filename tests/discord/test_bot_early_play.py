"""A real bot plays what a real audio service still downloads, from a site that gives a part and waits for the test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from audio_service.media.model import audio_key
from audio_service.settings import AudioSettings
from tests.discord import FakeDiscord, Interaction, Message, assert_plays, assert_stream, frames_of, open_fake_discord
from tests.discord.bot_process import BotProcess, bot_environment, open_bot_process
from tests.discord.concert import FRAMES_PER_SECOND, Room, open_room
from tests.discord.crowd import metrics_of
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.ports import free_port
from tests.servers.system import Client, ServiceProcess, open_audio_process, open_client, settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 12
# Where the site waits for the test: some seconds more than a start needs.
HELD_SECONDS = 8
STARVED = "butakero_bot_frames_starved_total"


@dataclass(frozen=True, slots=True)
class Stage:
    """A bot, an audio service, and somebody who hears every status."""

    discord: FakeDiscord
    bot: BotProcess
    settings: AudioSettings
    service: ServiceProcess
    site: MediaSite
    client: Client

    def song(self, title: str, *, cut: int = 0, **behaviour: str | int) -> Song:
        """Publish a song whose download waits at a gate. `cut`: it breaks off so many bytes behind the gate."""
        rate = 128 + len(self.site.gets)  # the same noise at another bit rate makes other packets
        path = make("webm_opus", self.site.directory, SECONDS, sound="noise", codec_options={"b": f"{rate}000"})
        held = path.stat().st_size * HELD_SECONDS // SECONDS
        if cut:
            behaviour |= {"cut": held + cut, "ranges": "no"}
        file = self.site.file(path, hold=held, gate=title, rate=path.stat().st_size * 4 // SECONDS, **behaviour)
        return Song(self, title, self.site.page(file, title=title), path)

    async def starved(self) -> float:
        return (await metrics_of(self.bot))[STARVED]


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the site at four times its speed, up to the gate that has its title."""

    stage: Stage
    title: str
    url: str
    path: Path

    @property
    def is_held(self) -> bool:
        return not self.stage.site.gate(self.title).released.is_set()

    @property
    def downloads(self) -> int:
        return self.stage.site.gets[self.stage.site.file_path(self.path)]

    def release(self) -> None:
        self.stage.site.gate(self.title).release()

    async def ask(self, room: Room) -> Interaction:
        return await room.ana.slash("music", "play", input=self.url)

    async def frames(self) -> list[bytes]:
        """Wait for the song's success, and return the frames of its file."""
        client = self.stage.client

        def found() -> list[str]:
            return [one.video_id for one in client.statuses if one.platform_metadata.title == self.title]

        async with client.heard:
            await client.heard.wait_for(found)
        return frames_of(self.stage.settings.local_storage_path / audio_key(found()[0]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    directory = tmp_path_factory.mktemp("early")
    (directory / "files").mkdir()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_media_site(directory / "files"))
        settings = settings_for(directory, site.address, http_port=free_port(), num_workers=2)
        service = await stack.enter_async_context(open_audio_process(settings))
        client = await stack.enter_async_context(open_client(settings))
        discord = await stack.enter_async_context(open_fake_discord())
        environment = bot_environment(discord, settings, directory, LOG_LEVEL="warning")
        bot = await stack.enter_async_context(open_bot_process(discord, environment))
        yield Stage(discord, bot, settings, service, site, client)
        assert not discord.problems


def _plays(message: Message) -> bool:
    return message.text.startswith("▶️ Sonando: ")


def _failed(message: Message) -> bool:
    return message.text.startswith("❌")


async def test_a_song_sounds_while_it_is_downloaded_and_in_another_guild_too(stage: Stage) -> None:
    song = stage.song("Milonga que viene llegando")
    here, there = open_room(stage.discord), open_room(stage.discord)
    starved = await stage.starved()
    asked = await song.ask(here)
    await here.voice.sound(1)
    assert song.is_held
    assert (await asked.message(_plays)).text == f"▶️ Sonando: {song.title}"
    joined = await song.ask(there)
    await joined.message(lambda message: "⏳" in message.text)
    song.release()
    frames = await song.frames()
    assert len(frames) == pytest.approx(SECONDS * FRAMES_PER_SECOND, abs=2)
    for room, count in ((here, len(frames)), (there, 100)):
        packets = await room.voice.sound(count)
        assert [packet.payload for packet in packets] == frames[:count]
        assert_stream(packets)
    assert await stage.starved() == starved
    assert song.downloads == 1
    for interaction in (asked, joined):
        told = [event.text for event in interaction.events if event.kind in {"message", "edit"}]
        assert told[-1] == f"▶️ Sonando: {song.title}"
        assert told.count(told[-1]) == 1


async def test_a_download_that_breaks_off_for_good_is_told_and_the_song_is_gone(stage: Stage) -> None:
    song, room = stage.song("Milonga que no llega", cut=4096), open_room(stage.discord)
    asked = await song.ask(room)
    await room.voice.sound(20)
    assert song.is_held
    song.release()
    answer = await asked.message(_failed)
    assert answer.text.startswith(f"❌ {song.title}: Se corta antes de terminar:")
    await room.voice.silence()
    assert "La cola está vacía" in await room.say("list")
    assert "❌" in await room.say("previous")
    assert "todavía no sonó nada" in await room.say("history")
    assert not [message.text for message in room.text.messages if message.text.startswith("⚠️")]
    assert not any(one.success for one in stage.client.statuses if one.platform_metadata.title == song.title)
    async with httpx.AsyncClient(base_url=stage.service.url, trust_env=False) as http:
        found = (await http.get("/api/v1/media/search", params={"title": song.title})).json()["data"]
    assert not any(record["success"] for record in found)


async def test_a_download_that_stands_still_and_breaks_off_once_is_heard_to_its_end(stage: Stage) -> None:
    """What is not there yet is silence; nothing of the song is lost, or heard twice."""
    song, room = stage.song("Milonga que vuelve", cut=4096, times=1), open_room(stage.discord)
    starved = await stage.starved()
    asked = await song.ask(room)
    await room.voice.sound(HELD_SECONDS * FRAMES_PER_SECOND // 2)
    assert await stage.starved() == starved
    await room.voice.silence(count=20)
    assert song.is_held
    song.release()
    frames = await song.frames()
    packets = await room.voice.sound(len(frames))
    assert_plays(packets, frames)
    assert song.downloads > 1
    assert (await asked.message(_plays)).text == f"▶️ Sonando: {song.title}"
