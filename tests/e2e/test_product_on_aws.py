"""The bot and the audio service in real processes on SQS, DynamoDB and S3, at a Discord of our own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.blobs import open_blobs
from tests.discord import assert_plays, frames_of, open_fake_discord
from tests.discord.bot_process import backends_of, bot_environment, open_bot_process
from tests.discord.concert import open_room
from tests.servers.aws_system import aws_settings
from tests.servers.emulators import CREDENTIALS, Emulator
from tests.servers.media_files import make
from tests.servers.media_site import open_media_site
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, open_client
from tests.waiting import patience

pytestmark = pytest.mark.slow

_SECONDS = 6
_FRAMES = _SECONDS * 50


async def test_a_song_is_played_while_it_comes_and_after_a_restart_without_another_download(
    tmp_path: Path, ministack: Emulator, seaweedfs: Emulator
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    song = make("webm_opus", files, _SECONDS, sound="noise")
    async with (
        open_media_site(files) as site,
        aws_settings(tmp_path, site, ministack, seaweedfs, http_port=free_port(), drain_seconds=3.0) as audio,
        open_fake_discord(patience=60) as discord,
        open_client(audio) as client,
        open_audio_process(audio),
    ):
        named = {"DYNAMODB_TABLE_BOT": f"{audio.dynamodb_table_songs}-bot", "DRAIN_SECONDS": "3"}
        environment = bot_environment(discord, audio, tmp_path, **backends_of(audio) | CREDENTIALS | named)
        room = open_room(discord, "Nube")
        url = site.page(site.file(song, gate="half", hold=1000), title="Una zamba en la nube")
        async with open_bot_process(discord, environment):
            played = await room.ana.slash("music", "play", input=url)
            async with asyncio.timeout(patience(60)):
                await site.gate("half").reached.wait()
            site.gate("half").release()
            answer = await played.message(lambda message: "Sonando" in message.text)
            assert "Una zamba en la nube" in answer.text
            first = await room.voice.sound(_FRAMES)
            await (await room.ana.slash("music", "favorites", "add")).message()
            # A bot that is stopped within the song's last frame goes on with it at the next start.
            await room.voice.silence()
        stored = tmp_path / "stored.dca"
        async with open_blobs(audio) as blobs:
            stored.write_bytes(b"".join([piece async for piece in blobs.read(client.statuses[0].file_data.file_path)]))
        assert_plays(first, frames_of(stored))

        async with open_bot_process(discord, environment):
            since = room.voice.mark
            again = await room.ana.slash("music", "favorites", "play", number=1)
            await again.message(lambda message: "Una zamba en la nube" in message.text)
            assert_plays(await room.voice.sound(_FRAMES, since=since), frames_of(stored))
        assert site.gets[site.file_path(song)] == 1
        assert not discord.problems
        assert [status.success for status in client.statuses] == [True]
