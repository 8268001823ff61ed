"""The whole product in real processes: bot, Kafka, audio service, MongoDB, a media site, and a Discord of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from audio_service.settings import AudioSettings
from bot_service.discord_ui.replies.errors import explain_code
from common.messages.downloads import StatusEvent
from tests.discord import FakeDiscord, Packet, assert_plays, frames_of, open_fake_discord
from tests.discord.bot_process import backends_of, bot_environment, open_bot_process
from tests.discord.concert import Room, open_room
from tests.servers.clustered import open_clustered
from tests.servers.kafka import Kafka
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.mongo import Mongo
from tests.servers.system import Client, ServiceProcess, open_audio_process
from tests.waiting import patience, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SECONDS = 3
_FRAMES = _SECONDS * 50


@dataclass(slots=True)
class Product:
    """Everything runs, and one song, "Una milonga conocida", has been played once. `client` overhears the topics."""

    discord: FakeDiscord
    site: MediaSite
    client: Client
    audio: AudioSettings
    known: Path
    known_frames: list[bytes]
    process: ServiceProcess
    stack: AsyncExitStack

    def room(self, name: str) -> Room:
        return open_room(self.discord, name)

    @property
    def known_url(self) -> str:
        """Where the known song stands."""
        return self.site.page(self.site.file(self.known), title="Una milonga conocida")

    def another(self, name: str, seconds: int) -> Path:
        """Put a song on the site that no test has asked for."""
        return make("webm_opus", self.site.directory, seconds, sound="noise").rename(self.site.directory / name)

    async def statuses_of(self, title: str, number: int) -> list[StatusEvent]:
        """Wait for `number` statuses of the song with this title and return all of its statuses."""

        def found() -> list[StatusEvent]:
            return [status for status in self.client.statuses if status.platform_metadata.title == title]

        await until(lambda: len(found()) >= number)
        return found()

    async def kill_audio_service(self) -> None:
        self.process.kill()
        await self.process.process.wait()

    async def start_audio_service(self) -> None:
        self.process = await self.stack.enter_async_context(open_audio_process(self.audio))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def product(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka, mongo: Mongo) -> AsyncGenerator[Product]:
    directory = tmp_path_factory.mktemp("product")
    files = directory / "files"
    files.mkdir()
    song = make("webm_opus", files, _SECONDS, sound="noise")
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_media_site(files))
        system, client = await stack.enter_async_context(open_clustered(directory, site, kafka, mongo))
        discord = await stack.enter_async_context(open_fake_discord(patience=60))
        audio = system.settings(network_timeout_seconds=60.0, drain_seconds=5.0)
        process = await stack.enter_async_context(open_audio_process(audio))
        environment = bot_environment(
            discord, audio, directory, **backends_of(audio) | {"KAFKA_TIMEOUT_SECONDS": "3", "DRAIN_SECONDS": "5"}
        )
        await stack.enter_async_context(open_bot_process(discord, environment))
        running = Product(discord, site, client, audio, song, [], process, stack)
        rehearsal = running.room("Ensayo")
        played = await rehearsal.ana.slash("music", "play", input=running.known_url)
        await played.message(lambda message: "Sonando" in message.text)
        await rehearsal.voice.sound(_FRAMES)
        [stored] = audio.local_storage_path.rglob("*.dca")
        running.known_frames = frames_of(stored)
        yield running
        assert not discord.problems


async def test_a_new_song_ends_in_its_packets_and_the_second_time_nothing_is_downloaded(product: Product) -> None:
    site, gate = product.site, product.site.gate("half")
    song = product.another("zamba.webm", _SECONDS)
    url = site.page(site.file(song, gate="half", hold=1000), title="Una zamba nueva")
    room = product.room("Casa")
    guild, ana = room.guild, room.ana
    played = await ana.slash("music", "play", input=url)
    await played.message(lambda message: "Buscando" in message.text)
    async with asyncio.timeout(patience(60)):
        await gate.reached.wait()
    await played.message(lambda message: "⏳" in message.text)
    gate.release()
    answer = await played.message(lambda message: "Sonando" in message.text)
    assert "Una zamba nueva" in answer.text
    assert played.in_time
    [status] = await product.statuses_of("Una zamba nueva", 1)
    stored = product.audio.local_storage_path / status.file_data.file_path
    first = await guild.voice.sound(_FRAMES)
    _assert_is_the_file(first, stored)

    for wish in (url, "zamba nueva"):
        await guild.voice.silence()
        place = guild.voice.mark
        again = await ana.slash("music", "play", input=wish)
        await again.message(lambda message: "Una zamba nueva" in message.text)
        _assert_is_the_file(await guild.voice.sound(_FRAMES, since=place), stored)
    assert site.gets[site.file_path(song)] == 1
    [by_request, by_url] = await product.statuses_of("Una zamba nueva", 2)
    assert by_request.success
    assert by_url.video_id == by_request.video_id


async def test_without_the_audio_service_known_songs_play_and_new_ones_wait_for_it(product: Product) -> None:
    room = product.room("Sin servicio")
    await product.kill_audio_service()
    await _plays_the_known_song(product, room)
    known = await room.ana.slash("music", "play", input=product.known_url)
    assert "Una milonga conocida" in (await known.message()).text
    new = await room.ana.slash("music", "play", input=product.site.file(product.another("another.webm", 1)))
    asked = await new.message(lambda message: "Buscando" in message.text)
    assert "La biblioteca no responde" in asked.text
    await product.start_audio_service()
    # Queued, or on already: the known song is short.
    await new.message(lambda message: "another" in message.text and "🔎" not in message.text)


async def test_without_the_queue_known_songs_play_and_new_ones_are_refused_with_a_reason(
    product: Product, kafka: Kafka
) -> None:
    room = product.room("Sin cola")
    with kafka.frozen():
        await _plays_the_known_song(product, room)
        await _refuses_a_new_one(product, room, "broker_unavailable")


async def test_without_the_database_known_songs_play_and_new_ones_are_refused_with_a_reason(
    product: Product, mongo: Mongo
) -> None:
    room = product.room("Sin base")
    with mongo.frozen():
        await _plays_the_known_song(product, room)
        await _refuses_a_new_one(product, room, "db_connection_failed")
    again = await room.ana.slash("music", "play", input=product.known_url)
    await again.message(lambda message: "milonga" in message.text)


async def _plays_the_known_song(product: Product, room: Room) -> None:
    await room.ana.slash("music", "play", input="milonga conocida")
    assert_plays(await room.voice.sound(20), product.known_frames)


async def _refuses_a_new_one(product: Product, room: Room, code: str) -> None:
    new = await room.ana.slash("music", "play", input=f"{product.known_url}&never")
    answer = await new.message(lambda message: "Buscando" not in message.text)
    assert explain_code(code, "es") in answer.text


def _assert_is_the_file(packets: list[Packet], stored: Path) -> None:
    """Assert that these are the file's packets from its first to its last, as RTP wants them, and nothing else."""
    frames = frames_of(stored)
    assert len(frames) >= _FRAMES
    assert_plays(packets, frames)
    assert not any(packet.is_silence for packet in packets)
    nonces = [packet.nonce for packet in packets]
    assert nonces == list(range(nonces[0], nonces[0] + len(packets)))
