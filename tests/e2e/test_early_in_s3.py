"""A song is heard from S3 before it is whole, by a process that shares nothing with the worker but the queue."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest

from common.dca import DcaReader
from common.dca_blocks import FrameCutter
from common.settings import SharedSettings
from tests.servers.buckets import bucket_keys, make_bucket, objects
from tests.servers.emulators import Emulator
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, open_client, open_worker, settings_for
from tests.waiting import until

SECONDS = 30
START_FRAMES = 250


async def test_a_song_is_heard_from_s3_while_the_rest_is_not_there(
    tmp_path: Path, media: Path, site: MediaSite, seaweedfs: Emulator
) -> None:
    song = make("webm_opus", media, SECONDS)
    settings = settings_for(tmp_path, site.address, http_port=free_port(), **bucket_keys(seaweedfs))
    await make_bucket(settings)
    api_alone = settings.model_copy(update={"num_workers": 0})
    async with open_client(settings) as client, open_audio_process(api_alone) as api, open_worker(settings):
        asked = await client.ask(site.page(site.file(song, hold=song.stat().st_size // 2)))
        async with client.heard:
            await client.heard.wait_for(lambda: any(event.playable for event in client.progress))
        event = next(event for event in client.progress if event.playable)
        url = f"{api.url}/api/v1/media/{event.video_id}/audio"
        cutter = FrameCutter()
        heard = b""
        async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", url) as answer:
            body = answer.aiter_raw()
            while cutter.frames < START_FRAMES:
                heard += (piece := await anext(body))
                cutter.feed(piece)
            assert not client.statuses
            site.gate().release()
            heard += b"".join([piece async for piece in body])
            status = await client.status(asked)
            stored = await http.get(url, headers={"Range": "bytes=0-"})
    assert status.success
    assert (stored.status_code, stored.content) == (206, heard)
    assert sum(1 for _ in DcaReader(io.BytesIO(heard))) == pytest.approx(SECONDS * 50, abs=2)
    await until(lambda: _holds_only(settings, status.file_data.file_path))
    assert not settings.local_storage_path.exists()


async def _holds_only(settings: SharedSettings, key: str) -> bool:
    return await objects(settings) == [key]
