"""Every kind of media people link to, through the real yt-dlp, child processes, broker and library."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from common.dca import DcaReader
from tests.servers.media_files import make
from tests.servers.system import System, open_system

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 2.4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[System]:
    async with open_system(tmp_path_factory.mktemp("real-input")) as running:
        yield running


async def frames_of(system: System, key: str, path: Path) -> list[bytes]:
    with path.open("wb") as file:
        async for chunk in system.services.blobs.read(key):
            file.write(chunk)
    with path.open("rb") as file:
        return list(DcaReader(file))


@pytest.mark.parametrize(
    ("kind", "options", "mode"),
    [
        ("webm_opus", {}, "passthrough"),
        ("webm_opus", {"layout": "mono"}, "passthrough"),
        ("ogg_opus", {}, "passthrough"),
        ("ogg_opus", {"layout": "mono"}, "passthrough"),
        ("ogg_opus", {"codec_options": {"frame_duration": "10"}}, "repacketised"),
        ("ogg_opus", {"codec_options": {"frame_duration": "40"}}, "repacketised"),
        ("ogg_opus", {"codec_options": {"frame_duration": "60"}}, "repacketised"),
        ("ogg_opus", {"codec_options": {"frame_duration": "120"}}, "repacketised"),
        ("fmp4", {}, "transcoded"),
        ("m4a", {}, "transcoded"),
        ("mp3", {}, "transcoded"),
        ("flac", {}, "transcoded"),
        ("wav", {}, "transcoded"),
        ("mp4_video", {}, "transcoded"),
    ],
)
async def test_a_file_becomes_dca(
    system: System, tmp_path: Path, kind: str, options: dict[str, object], mode: str
) -> None:
    song = make(kind, system.site.directory, SECONDS, **options)  # pyright: ignore[reportArgumentType] - options by name
    status = await system.client.status(await system.client.ask(system.site.file(song)))
    assert status.success, status
    record = await system.services.repository.get(status.video_id)
    assert record is not None
    assert record.encoding is not None
    assert record.encoding.mode == mode, record.encoding
    frames = await frames_of(system, status.file_data.file_path, tmp_path / "song.dca")
    assert len(frames) == record.encoding.frames
    assert len(frames) * 20 == status.platform_metadata.duration_ms
    # Encoders pad the end, and pre-skip and MP3 delay add to the beginning.
    assert abs(len(frames) * 0.02 - SECONDS) < 0.2


@pytest.mark.parametrize("way", ["page", "video_page", "jsonld", "hls", "redirect"])
async def test_a_link_that_leads_to_a_file_becomes_dca(system: System, way: str) -> None:
    site = system.site
    song = site.file(make("webm_opus", site.directory, SECONDS), way=way)
    hls = make("hls", site.directory, SECONDS)
    links = {
        "page": site.page(song, title="A page"),
        "video_page": site.page(song, title="A video", tag="video"),
        "jsonld": site.jsonld(song, title="Described", seconds=2),
        "hls": site.file(hls),
        "redirect": site.redirect(song, hops=2),
    }
    status = await system.client.status(await system.client.ask(links[way]))
    assert status.success, status
    assert status.platform_metadata.duration_ms > 2000


@pytest.mark.parametrize(
    "title",
    [
        "AC/DC - Back in Black",
        "../../etc/passwd",
        "..",
        "Café ☕ 🎶 naïve",
        "x" * 300,
        "שיר יפה مرحبا",
        "'; DROP TABLE media; --",
        "[red]markup[/red] `code` @everyone",
    ],
)
async def test_a_title_stays_a_title(system: System, title: str) -> None:
    site = system.site
    song = site.file(make("webm_opus", site.directory, 1.0), title=title)
    status = await system.client.status(await system.client.ask(site.jsonld(song, title=title)))
    assert status.success, status
    assert status.platform_metadata.title == title
    found = await system.services.repository.search(title[:80])
    assert status.video_id in {media.video_id for media in found.items} or len(title) < 3
    root = system.services.settings.local_storage_path.resolve()
    stored = root / status.file_data.file_path
    assert stored.resolve().is_relative_to(root)
    assert stored.is_file()


async def test_an_hour_of_audio(system: System, tmp_path: Path) -> None:
    song = make("webm_opus", system.site.directory, 3600.0)
    status = await system.client.status(await system.client.ask(system.site.file(song)))
    assert status.success, status
    frames = await frames_of(system, status.file_data.file_path, tmp_path / "hour.dca")
    assert abs(len(frames) - 180_000) < 50
