"""The real bot process between a Discord of our own and a real audio service: what people type, and what they get."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from audio_service.settings import AudioSettings
from tests.discord import Channel, FakeDiscord, Guild, Member, assert_plays, frames_of, open_fake_discord
from tests.discord.bot_process import ROOT, BotProcess, bot_environment, open_bot_process
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.system import free_port, open_audio_process, settings_for

SECONDS = 3
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    discord: FakeDiscord
    bot: BotProcess
    audio: AudioSettings
    site: MediaSite
    guild: Guild
    voice: Channel
    ana: Member

    @property
    def text(self) -> Channel:
        return next(iter(self.guild.channels.values()))

    def song(self, name: str) -> str:
        """Return the URL of a song that nobody has asked for yet."""
        path = make("webm_opus", self.site.directory, SECONDS)
        copy = path.with_name(f"{name}.webm")
        copy.write_bytes(path.read_bytes())
        return self.site.file(copy)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    directory = tmp_path_factory.mktemp("bot")
    files = directory / "files"
    files.mkdir()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_media_site(files))
        audio = settings_for(directory, site.address, http_port=free_port())
        await stack.enter_async_context(open_audio_process(audio))
        discord = await stack.enter_async_context(open_fake_discord())
        guild = discord.guild("Casa")
        voice, ana = guild.voice_channel("Musica"), guild.member("ana")
        environment = bot_environment(discord, audio, directory)
        bot = await stack.enter_async_context(open_bot_process(discord, environment))
        yield Stage(discord, bot, audio, site, guild, voice, ana)
        assert not discord.problems


async def test_a_new_song_is_fetched_and_its_own_packets_are_heard(stage: Stage) -> None:
    url = stage.song("nueva")
    stage.ana.join(stage.voice)
    played = await stage.ana.slash("music", "play", input=url)
    await played.deferred()
    answer = await played.message(lambda message: "Sonando" in message.text)
    assert played.in_time
    assert "nueva" in answer.text
    packets = await stage.guild.voice.sound(SECONDS * 50)
    stored = list(stage.audio.local_storage_path.rglob("*.dca"))
    assert len(stored) == 1
    assert_plays(packets, frames_of(stored[0]))


async def test_somebody_who_is_not_in_a_voice_channel_is_told_so_privately(stage: Stage) -> None:
    beto = stage.guild.member("beto", locale="en-US")
    played = await beto.slash("music", "play", input="anything")
    answer = await played.message()
    assert "You are not in a voice channel" in answer.text
    assert answer.ephemeral


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [("wrong.token.here", 1, "Discord does not accept this token"), ("", 78, "DISCORD_TOKEN: ")],
)
async def test_a_wrong_or_missing_token_is_one_line_and_an_exit(
    stage: Stage, tmp_path: Path, token: str, code: int, said: str
) -> None:
    environment = bot_environment(stage.discord, stage.audio, tmp_path, DISCORD_TOKEN=token, BOT_HTTP_PORT="0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot_service", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == code
    lines = stderr.decode().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


async def test_health_says_what_the_contract_says(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.bot.url, trust_env=False) as http:
        answer = await http.get("/api/v1/health")
        metrics = (await http.get("/metrics")).text
    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == "operational"
    assert set(told) == {"status", "discord", "audio_service", "timestamp", "version", "message"}
    assert told["discord"]["connected"] is True
    assert told["discord"]["guilds"] == 1
    assert told["discord"]["session_id"]
    assert told["audio_service"]["connected"] is True
    assert "butakero_bot_guilds 1.0" in metrics
