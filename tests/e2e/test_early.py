"""A song is heard before it is whole: over HTTP, from any process, and never a part of it as if it were the whole."""

from __future__ import annotations

import io
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from common.dca import DcaReader
from common.dca_blocks import FrameCutter
from common.messages.downloads import ProgressEvent
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite
from tests.servers.ports import free_port
from tests.servers.system import Client, open_audio_process, open_client, open_worker, settings_for
from tests.waiting import until

SECONDS = 30
START_FRAMES = 250


@pytest.fixture
def song(media: Path) -> Path:
    return make("webm_opus", media, SECONDS)


def half(song: Path) -> int:
    return song.stat().st_size // 2


async def playable(client: Client, request_id: str) -> ProgressEvent:
    async with client.heard:
        await client.heard.wait_for(lambda: any(event.playable for event in client.progress))
    return next(event for event in client.progress if event.playable and event.request_id == request_id)


async def test_the_beginning_is_heard_while_the_rest_is_not_there_and_the_end_follows(
    tmp_path: Path, site: MediaSite, song: Path
) -> None:
    """The API that is asked runs in another process than the worker: it finds the song in the shared store."""
    settings = settings_for(tmp_path, site.address, http_port=free_port())
    api_alone = settings.model_copy(update={"num_workers": 0})
    async with open_client(settings) as client, open_audio_process(api_alone) as api, open_worker(settings):
        asked = await client.ask(site.page(site.file(song, hold=half(song))))
        event = await playable(client, asked.request_id)
        assert not client.statuses
        assert event.platform_metadata is not None
        assert event.platform_metadata.title
        assert event.file_data is not None
        url = f"{api.url}/api/v1/media/{event.video_id}/audio"
        cutter = FrameCutter()
        heard = b""
        async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", url) as answer:
            body = answer.aiter_raw()
            while cutter.frames < START_FRAMES:
                heard += (piece := await anext(body))
                cutter.feed(piece)
            looked_up = (await http.get(f"{api.url}/api/v1/media/", params={"video_id": event.video_id})).json()
            assert (looked_up["data"]["status"], looked_up["data"]["success"]) == ("processing", False)
            site.gate().release()
            heard += b"".join([piece async for piece in body])
            status = await client.status(asked)
            stored = await http.get(url)
    assert status.success
    assert status.file_data.file_path == event.file_data.file_path
    assert heard == stored.content
    assert "content-length" in stored.headers
    assert sum(1 for _ in DcaReader(io.BytesIO(heard))) == pytest.approx(SECONDS * 50, abs=2)


async def test_a_download_that_fails_midway_leaves_no_half_song(tmp_path: Path, site: MediaSite, song: Path) -> None:
    settings = settings_for(tmp_path, site.address, http_port=free_port(), service_max_attempts=1)
    async with open_client(settings) as client, open_audio_process(settings) as api:
        bad = site.file(song, hold=half(song), cut=half(song) + 4096)
        asked = await client.ask(site.page(bad))
        event = await playable(client, asked.request_id)
        url = f"{api.url}/api/v1/media/{event.video_id}/audio"
        async with httpx.AsyncClient(trust_env=False) as http:
            async with http.stream("GET", url) as answer:
                body = answer.aiter_raw()
                await anext(body)
                site.gate().release()
                await cut_off(body)
            status = await client.status(asked)
            gone = await http.get(url)
            found = await http.get(f"{api.url}/api/v1/media/search", params={"title": "a page"})
    assert (status.success, status.error_code) == (False, "source_truncated")
    assert (gone.status_code, gone.json()["error"]["status"]) == (404, "error")
    assert not any(record["success"] for record in found.json()["data"])
    assert files(settings.local_storage_path) == []


async def test_a_worker_that_dies_midway_leaves_its_song_to_another(
    tmp_path: Path, site: MediaSite, song: Path
) -> None:
    """Who listened is cut off, asks again, and hears the other worker's song to its end."""
    settings = settings_for(tmp_path, site.address, http_port=free_port())
    api_alone = settings.model_copy(update={"num_workers": 0})
    doomed = settings.model_copy(update={"http_port": free_port(), "num_workers": 1})
    held = site.page(site.file(song, hold=half(song)))
    async with open_client(settings) as client, open_audio_process(api_alone) as api:
        async with open_audio_process(doomed) as worker:
            asked = await client.ask(held)
            event = await playable(client, asked.request_id)
            url = f"{api.url}/api/v1/media/{event.video_id}/audio"
            async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", url) as answer:
                body = answer.aiter_raw()
                heard = await anext(body)
                worker.process.send_signal(signal.SIGKILL)
                heard += await cut_off(body)
        site.gate().release()
        async with open_worker(settings), httpx.AsyncClient(trust_env=False) as http:
            status = await client.status(asked)
            stored = await http.get(url)
        assert status.success
        assert stored.content.startswith(heard)
        await client.heard_all()
        assert client.answers() == {asked.request_id: 1}
    await until(lambda: files(settings.local_storage_path) == [f"audio/{event.video_id}.dca"])


async def test_whoever_joins_late_is_told_as_well(tmp_path: Path, site: MediaSite, song: Path) -> None:
    settings = settings_for(tmp_path, site.address, num_workers=2)
    url = site.page(site.file(song, hold=half(song), rate=200_000))
    async with open_client(settings) as client, open_worker(settings):
        first = await client.ask(url)
        event = await playable(client, first.request_id)
        second = await client.ask(url)

        def told() -> bool:
            later = client.progress[client.progress.index(event) + 1 :]
            joined = [place for place, one in enumerate(later) if one.request_id == second.request_id and one.video_id]
            return bool(joined) and any(one.playable for one in later[joined[0] :])

        site.gate().release()
        async with client.heard:
            await client.heard.wait_for(told)
        statuses = await client.all_of([first.request_id, second.request_id])
    assert all(status.success for status in statuses)
    assert site.gets[site.file_path(song)] == 1


async def cut_off(body: AsyncIterator[bytes]) -> bytes:
    """Read until the connection is cut, and return what came; an end that looks well is none."""
    heard = b""
    try:
        async for piece in body:
            heard += piece
    except httpx.RemoteProtocolError:
        return heard
    pytest.fail("a part of the song ended as if it were the whole")


def files(root: Path) -> list[str]:
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return sorted(str(path) for path in found if not re.match(r"\.incoming/.*\.probe", str(path)))
