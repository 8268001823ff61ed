"""Live streams that do not say that they are live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from audio_service.addresses import parse_allow
from audio_service.children.jobs import ChildSettings
from audio_service.sources.guard import Guard
from audio_service.sources.ytdlp.extractor import Extractor
from audio_service.sources.ytdlp.growing import GrowingFile
from common.errors import MediaLive
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.waiting import patience

# As fast as the sound of the file plays: 128 kbit/s.
REAL_TIME = 16_000


@pytest_asyncio.fixture
async def site(media: Path) -> AsyncGenerator[MediaSite]:
    async with open_media_site(media) as site:
        yield site


async def downloaded(site: MediaSite, url: str, directory: Path, *, window: float = 0.5) -> int:
    """Download without reading any sound; return the size. A stream is live after `window` seconds of that."""
    settings = ChildSettings(
        network_allow=site.address,
        network_timeout=15,
        max_redirects=5,
        max_duration=3600,
        max_download_bytes=2_000_000,
        memory_bytes=0,
        cpu_seconds=0,
        opus_bitrate=0,
        opus_complexity=0,
        cookies="",
        language="es",
    )
    extractor = Extractor(settings, Guard(parse_allow(site.address), set()), "deno")
    growing = GrowingFile(directory / "source", live_window_seconds=window)

    def read() -> int:
        try:
            with growing.open() as file:
                return sum(map(len, iter(lambda: file.read(65536), b"")))
        finally:
            growing.abandon()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(extractor.download, url, None, growing, lambda _: None))
        return await asyncio.to_thread(read)


async def error_of(site: MediaSite, url: str, directory: Path) -> BaseException:
    with pytest.raises(BaseExceptionGroup) as raised:
        await downloaded(site, url, directory)
    (error,) = raised.value.exceptions
    return error


async def test_a_body_without_a_length_at_the_pace_of_its_sound_is_live(
    site: MediaSite, media: Path, tmp_path: Path
) -> None:
    url = site.file(make("mp3", media, 10), rate=REAL_TIME, unstated=1)
    assert isinstance(await error_of(site, url, tmp_path), MediaLive)


async def test_a_slow_body_with_a_length_is_a_song(site: MediaSite, media: Path, tmp_path: Path) -> None:
    path = make("mp3", media, 3)
    assert await downloaded(site, site.file(path, rate=REAL_TIME), tmp_path) == path.stat().st_size


async def test_a_fast_body_without_a_length_is_a_song(site: MediaSite, media: Path, tmp_path: Path) -> None:
    path = make("mp3", media, 3)
    url = site.file(path, unstated=1)
    # The machine may stand still for longer than half a second.
    assert await downloaded(site, url, tmp_path, window=patience(10)) == path.stat().st_size
