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
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.servers.system import open_audio_process, settings_for

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

    async def move_in(self) -> None:
        """Go to a guild of this test's own, where nothing was played yet; ana sits in its voice channel."""
        self.guild = self.discord.guild(f"Casa {len(self.discord.world.guilds)}")
        self.voice, self.ana = self.guild.voice_channel("Musica"), self.guild.member("ana")
        await asyncio.wait_for(self._known(), 30)
        self.ana.join(self.voice)

    async def _known(self) -> None:
        """The bot takes new guilds over one by one: it has this one when it answers there."""
        await (await self.ana.slash("music", "status")).message()

    async def play(self, name: str, seconds: float = SECONDS) -> None:
        """Play a new song and wait until it sounds."""
        played = await self.ana.slash("music", "play", input=self.song(name, seconds))
        await played.message(lambda message: "Sonando" in message.text)

    @property
    def text(self) -> Channel:
        return next(iter(self.guild.channels.values()))

    def song(self, name: str, seconds: float = SECONDS) -> str:
        """Return the URL of a song that nobody has asked for yet."""
        path = make("webm_opus", self.site.directory, seconds)
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
        assert bot.process.returncode is None
        assert not discord.problems


async def test_a_new_song_is_fetched_and_its_own_packets_are_heard(stage: Stage) -> None:
    url = stage.song("nueva")
    await stage.move_in()
    played = await stage.ana.slash("music", "play", input=url)
    await played.deferred()
    answer = await played.message(lambda message: "Sonando" in message.text)
    assert played.in_time
    assert "nueva" in answer.text
    packets = await stage.guild.voice.sound(SECONDS * 50)
    stored = sorted(stage.audio.local_storage_path.rglob("*.dca"), key=lambda path: path.stat().st_mtime_ns)
    assert_plays(packets, frames_of(stored[-1]))


async def test_somebody_who_is_not_in_a_voice_channel_is_told_so_privately(stage: Stage) -> None:
    beto = stage.guild.member("beto", locale="en-US")
    played = await beto.slash("music", "play", input="anything")
    answer = await played.message()
    assert "You are not in a voice channel" in answer.text
    assert answer.ephemeral


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [("wrong.token.here", 78, "Discord does not accept this token"), ("", 78, "DISCORD_TOKEN: ")],
)
async def test_a_wrong_or_missing_token_is_one_line_and_an_exit(
    stage: Stage, tmp_path: Path, token: str, code: int, said: str
) -> None:
    environment = bot_environment(stage.discord, stage.audio, tmp_path, DISCORD_TOKEN=token, BOT_HTTP_PORT="0")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot_service",
        cwd=ROOT,
        env=child_environment(environment),
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == code
    lines = stderr.decode().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


async def test_health_says_what_the_contract_says(stage: Stage) -> None:
    await stage.move_in()
    async with httpx.AsyncClient(base_url=stage.bot.url, trust_env=False) as http:
        answer = await http.get("/api/v1/health")
        metrics = (await http.get("/metrics")).text
    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == "operational"
    assert set(told) == {"status", "discord", "audio_service", "timestamp", "version", "message"}
    assert told["discord"]["connected"] is True
    assert told["discord"]["guilds"] >= 1
    assert told["discord"]["session_id"]
    assert told["audio_service"]["connected"] is True
    assert "butakero_bot_guilds " in metrics
    assert 'butakero_bot_commands_total{name="status",outcome="ok"}' in metrics


async def test_what_people_do_while_a_song_is_on(stage: Stage) -> None:
    await stage.move_in()
    ana, text = stage.ana, stage.text
    await stage.play("larga", 60.0)
    shown = await text.next_message(lambda message: "larga" in message.text and message.buttons)
    await (await ana.slash("music", "play", input=stage.song("segunda", 4.0))).message(lambda m: "posición 1" in m.text)

    async def say(*path: str, **options: object) -> str:
        interaction = await ana.slash("music", *path, **options)
        return (await interaction.message()).text

    assert "larga" in await say("playing")
    assert "segunda" in await say("list")
    assert "segunda" in await say("queue", page=1)
    assert "pausa" in await say("pause")
    assert "Ya está en pausa" in await say("pause")
    assert "Seguimos" in await say("resume")
    assert "0:30" in await say("seek", time="30s")
    assert "Escribilo como" in await say("seek", time="soon")
    assert "fuera del tema" in await say("seek", time="5:00")
    assert "Repito la cola" in await say("loop", mode="queue")
    assert "Sin repetición" in await say("loop", mode="off")
    assert "mezclada" in await say("shuffle")
    assert "posición 1" in await say("move", **{"from": 1, "to": 1})
    assert "No hay nada en esa posición" in await say("remove", position=7)
    assert "Guardada" in await say("favorites", "add")
    assert "larga" in await say("favorites", "list")
    assert "posición 2" in await say("favorites", "play", number=1)
    assert "Saqué de la cola" in await say("remove", position=2)
    assert "Saqué de tus favoritas" in await say("favorites", "remove", number=1)
    assert "Todavía no tenés favoritas" in await say("favorites", "play", number=1)
    assert "gestion" in await say("settings", vote_skip=True)
    assert "Servicio de audio" in await say("status")

    pressed = ana.press(shown, "⏯️")
    await pressed.deferred()
    await shown.until(lambda message: "En pausa" in message.text)
    assert "Seguimos" in await say("resume")
    assert "segunda" in await say("jump", position=1)
    assert "larga" in await say("history")
    assert "larga" in await say("previous")
    assert "Ahora suena: segunda" in await say("skip")
    assert "paré la música" in await say("stop")
    assert "No está sonando nada" in await say("skip")
    await stage.guild.voice.disconnected()


async def test_songs_of_the_library_are_offered_while_typing_and_start_at_once(stage: Stage) -> None:
    await stage.move_in()
    await stage.play("conocida")
    ana = stage.ana
    await (await ana.slash("music", "stop")).message()
    offered = await ana.autocomplete("music", "play", input="conoc")
    assert any("conocida" in choice["name"] for choice in offered)
    played = await ana.slash("music", "play", input=offered[0]["value"])
    await played.message(lambda message: "Sonando" in message.text)
    assert "Buscando" not in " ".join(event.text for event in played.events)


async def test_a_song_that_cannot_be_had_is_explained_and_leaves_the_queue(stage: Stage) -> None:
    await stage.move_in()
    ana = stage.ana
    played = await ana.slash("music", "play", input="http://127.0.0.1:1/nothing.webm")
    answer = await played.message(lambda message: "❌" in message.text)
    assert "dirección no está permitida" in answer.text
    assert "La cola está vacía" in (await (await ana.slash("music", "list")).message()).text
    assert "dirección no está permitida" in (await (await ana.slash("music", "status")).message()).text


async def test_managers_change_the_settings(stage: Stage) -> None:
    await stage.move_in()
    carla = stage.guild.member("carla", stage.guild.role("jefes", "manage_guild"))
    changed = await carla.slash("music", "settings", vote_skip=True, per_user=3)
    assert "Ajustes guardados" in (await changed.message()).text
    shown = (await (await carla.slash("music", "settings")).message()).text
    assert "Votar para saltear" in shown


async def test_what_is_found_can_be_picked_from_a_menu(stage: Stage) -> None:
    await stage.move_in()
    await stage.play("buscada")
    ana = stage.ana
    await (await ana.slash("music", "stop")).message()
    found = await (await ana.slash("music", "search", input="buscada")).message()
    assert "buscada" in found.text
    picked = ana.choose(found, found.menus[0]["options"][0]["value"])
    await picked.message(lambda message: "Sonando" in message.text)


@pytest.mark.parametrize("ending", ["kill", "terminate"])
async def test_after_a_restart_the_song_goes_on_and_the_old_buttons_work(
    stage: Stage, tmp_path: Path, ending: str
) -> None:
    async with open_fake_discord() as discord:
        guild = discord.guild("Casa")
        voice, ana = guild.voice_channel("Musica"), guild.member("ana")
        ana.join(voice)
        environment = bot_environment(discord, stage.audio, tmp_path, INSTANCE_ID=f"bot-{ending}")
        text = next(iter(guild.channels.values()))
        async with open_bot_process(discord, environment) as bot:
            await (await ana.slash("music", "play", input=stage.song(f"sigue-{ending}", 60.0))).message(
                lambda message: "Sonando" in message.text
            )
            shown = await text.next_message(lambda message: message.buttons)
            await guild.voice.sound(100)
            if ending == "kill":
                bot.kill()
                await bot.process.wait()
            else:
                assert await bot.terminate() == 0
        async with open_bot_process(discord, environment):
            await guild.voice.connected(2)
            paused = ana.press(shown, "⏯️")
            await paused.deferred()
            await shown.until(lambda message: "En pausa" in message.text)
            shown = (await (await ana.slash("music", "playing")).message()).text
            assert "sigue" in shown
            assert "0:00 /" not in shown
        assert not discord.problems
