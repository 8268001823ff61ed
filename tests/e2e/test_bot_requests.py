"""A bot's requests to a running audio service: asked, followed, answered, found, heard; then without a download."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot_service.audio_api import open_audio_api
from bot_service.requests.songs import Found, Requested, Requester, Songs
from tests.servers.media_files import make
from tests.servers.media_site import open_media_site
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, settings_for
from tests.unit.bot_service.audio import bot_settings
from tests.unit.bot_service.requests.test_pending import open_bot

REQUESTER = Requester(guild_id=1, user_id=7, text_channel_id=2, voice_channel_id=3, locale="es")


async def test_a_song_is_requested_once_and_found_afterwards(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    song = make("webm_opus", files, seconds=2)
    async with open_media_site(files) as site:
        settings = settings_for(tmp_path, site.address, http_port=free_port())
        ours = bot_settings(tmp_path, f"http://127.0.0.1:{settings.http_port}")
        ours = ours.model_copy(update={"embedded_broker_path": settings.embedded_broker_path})
        async with open_audio_process(settings), open_bot(ours) as bot, open_audio_api(ours.audio_processor_url) as api:
            songs = Songs(api, bot.pending, bot.store)
            feed = await songs.expand(site.feed(site.page(site.file(song), title="Una milonga"), title="Milongas"), 5)
            assert feed is not None
            [item] = feed.items
            requested = await songs.find_or_request(item.url, REQUESTER)
            assert isinstance(requested, Requested)
            await bot.told.until(lambda: bool(bot.told.finished))
            [(request_id, video_id)] = bot.told.finished
            assert request_id == requested.request_id

            found = await songs.find_or_request("una milonga", replace(REQUESTER, guild_id=2))
            assert isinstance(found, Found)
            assert found.track.video_id == video_id
            async with api.audio(video_id) as body:
                audio = b"".join([block async for block in body])
            assert audio == (settings.local_storage_path / found.track.file_path).read_bytes()
            assert site.gets[site.file_path(song)] == 1
            assert await bot.store.open_requests() == []
