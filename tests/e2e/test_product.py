"""The whole product in real processes: bot, Kafka, audio service, MongoDB, a media site, and a Discord of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from tests.discord import FakeDiscord, Guild, Packet, assert_plays, frames_of, open_fake_discord
from tests.discord.bot_process import backends_of, bot_environment, open_bot_process
from tests.servers.clustered import open_clustered
from tests.servers.kafka import Kafka
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.mongo import Mongo
from tests.servers.system import Client, open_audio_process

_SECONDS = 3
_FRAMES = _SECONDS * 50


@dataclass(frozen=True, slots=True)
class Product:
    """Everything runs. `client` overhears the topics as another bot would; nobody has asked for `song` yet."""

    discord: FakeDiscord
    guild: Guild
    site: MediaSite
    client: Client
    audio: AudioSettings
    song: Path


@pytest.fixture
async def product(tmp_path: Path, kafka: Kafka, mongo: Mongo) -> AsyncGenerator[Product]:
    files = tmp_path / "files"
    files.mkdir()
    song = make("webm_opus", files, _SECONDS, sound="noise")
    async with (
        open_media_site(files) as site,
        open_clustered(tmp_path, site, kafka, mongo) as (system, client),
        open_fake_discord(patience=60) as discord,
    ):
        audio = system.settings(network_timeout_seconds=60.0)
        environment = bot_environment(discord, audio, tmp_path, **backends_of(audio))
        guild = discord.guild()
        async with open_audio_process(audio), open_bot_process(discord, environment):
            yield Product(discord, guild, site, client, audio, song)
        assert not discord.problems


async def test_a_new_song_ends_in_its_packets_and_the_second_time_nothing_is_downloaded(product: Product) -> None:
    guild, site, gate = product.guild, product.site, product.site.gate("half")
    url = site.page(site.file(product.song, gate="half", hold=1000), title="Una milonga nueva")
    ana = guild.member("ana")
    ana.join(guild.voice_channel("Musica"))

    played = await ana.slash("music", "play", input=url)
    await played.message(lambda message: "Buscando" in message.text)
    async with asyncio.timeout(60):
        await gate.reached.wait()
    await played.message(lambda message: "⏳" in message.text)
    gate.release()
    answer = await played.message(lambda message: "Sonando" in message.text)
    assert "Una milonga nueva" in answer.text
    assert played.in_time
    [stored] = product.audio.local_storage_path.rglob("*.dca")
    first = await guild.voice.sound(_FRAMES)
    _assert_is_the_file(first, stored)

    for wish in (url, "milonga nueva"):
        await guild.voice.silence()
        place = guild.voice.mark
        again = await ana.slash("music", "play", input=wish)
        await again.message(lambda message: "Una milonga nueva" in message.text)
        _assert_is_the_file(await guild.voice.sound(_FRAMES, since=place), stored)
    assert site.gets[site.file_path(product.song)] == 1
    [by_request, by_url] = product.client.statuses
    assert by_request.success
    assert by_url.video_id == by_request.video_id


def _assert_is_the_file(packets: list[Packet], stored: Path) -> None:
    """Assert that these are the file's packets from its first to its last, as RTP wants them, and nothing else."""
    frames = frames_of(stored)
    assert len(frames) >= _FRAMES
    assert_plays(packets, frames)
    assert not any(packet.is_silence for packet in packets)
    nonces = [packet.nonce for packet in packets]
    assert nonces == list(range(nonces[0], nonces[0] + len(packets)))
