"""Words and YouTube links through the Data API client, a fake of that API, and a watch page on the local site."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from tests.servers.media_site import MediaSite
from tests.servers.system import open_client, open_worker, settings_for
from tests.servers.youtube_api import FakeYouTubeApi, fake_youtube_api

VIDEO_ID = "k2qgadSvNyU"
TITLE = "Dua Lipa - New Rules (Official Music Video)"


@pytest.fixture
async def api() -> AsyncGenerator[FakeYouTubeApi]:
    async with fake_youtube_api() as fake:
        fake.add_video(VIDEO_ID, title=TITLE)
        yield fake


@pytest.fixture
def settings(tmp_path: Path, site: MediaSite, api: FakeYouTubeApi) -> AudioSettings:
    song = site.file(next(site.directory.iterdir()))
    return settings_for(
        tmp_path,
        site.address,
        youtube_api_key=api.key,
        youtube_api_url=api.url,
        youtube_watch_url=site.page(song) + "&v={id}",
    )


async def test_words_and_links_of_one_video_are_one_search_one_download_one_record(
    settings: AudioSettings, site: MediaSite, api: FakeYouTubeApi
) -> None:
    async with open_client(settings) as client, open_worker(settings) as services:
        asked = [
            await client.ask("dua lipa new rules"),
            await client.ask("  Dua LIPA   new rules "),
            await client.ask(f"https://youtu.be/{VIDEO_ID}?t=3"),
            await client.ask(f"https://www.youtube.com/watch?list=x&v={VIDEO_ID}"),
        ]
        statuses = await client.all_of(request.request_id for request in asked)
        await client.drained()
        assert {(status.success, status.video_id) for status in statuses} == {(True, VIDEO_ID)}
        record = await services.repository.get(VIDEO_ID)
    assert record is not None
    assert record.metadata.title == TITLE
    assert record.metadata.platform == "YouTube"
    assert api.count("search") == 1
    assert site.gets[site.file_path(next(site.directory.iterdir()))] == 1


async def test_a_rejected_key_is_the_operators_to_mend(settings: AudioSettings, api: FakeYouTubeApi) -> None:
    api.fail_with("keyInvalid")
    async with open_client(settings) as client, open_worker(settings):
        status = await client.status(await client.ask("dua lipa new rules"))
    assert status.error_code == "youtube_api_error"


async def test_a_video_that_is_gone_is_told_with_its_id(settings: AudioSettings) -> None:
    async with open_client(settings) as client, open_worker(settings) as services:
        status = await client.status(await client.ask("https://youtu.be/gone_gone_1"))
        record = await services.repository.get(status.video_id)
    assert (status.error_code, status.video_id) == ("media_removed", "gone_gone_1")
    assert record is not None
    assert record.error_code == "media_removed"
