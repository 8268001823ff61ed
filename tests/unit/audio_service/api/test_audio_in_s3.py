"""Songs that lie in S3: sent with ranges by the API, followed while they are made, and read by the bot itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from audio_service.media.model import audio_key
from bot_service.audio_api import open_audio_api
from bot_service.player.voice.frames import FrameStore
from common.blobs import open_blobs
from common.settings import SharedSettings
from tests.servers.buckets import bucket_keys, make_bucket
from tests.servers.emulators import Emulator
from tests.servers.ports import free_port
from tests.unit.audio_service.api.library import Api, add_song, claim, dca, open_api, served
from tests.unit.bot_service.player import songs

URL = "/api/v1/media/song/audio"
FILE = dca(2_000)


@pytest.fixture
async def api(tmp_path: Path, seaweedfs: Emulator) -> AsyncGenerator[Api]:
    keys = bucket_keys(seaweedfs)
    await make_bucket(SharedSettings(**keys))
    async with open_api(tmp_path, **keys) as opened:
        yield opened


async def test_a_song_in_s3_is_sent_whole_and_by_ranges_with_a_strong_etag(api: Api) -> None:
    await add_song(api.deps, "song", file=FILE)
    whole = await api.client.get(URL)
    assert (whole.status_code, whole.content, whole.headers["content-length"]) == (200, FILE, str(len(FILE)))
    etag = whole.headers["etag"]
    assert (etag[0], etag[-1], len(etag)) == ('"', '"', 34)
    for asked, start, end in (("bytes=0-0", 0, 1), ("bytes=70000-140000", 70_000, 140_001), ("bytes=-7", -7, None)):
        part = await api.client.get(URL, headers={"Range": asked, "If-Range": etag})
        assert (part.status_code, part.content) == (206, FILE[start:end])
    beyond = await api.client.get(URL, headers={"Range": f"bytes={len(FILE)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(FILE)}")
    assert (await api.client.get(URL, headers={"If-None-Match": etag})).status_code == 304
    await api.deps.blobs.delete(audio_key("song"))
    assert (await api.client.get(URL)).json()["error"]["code"] == "blob_not_found"


async def test_health_has_the_bucket_under_s3(api: Api) -> None:
    answer = (await api.client.get("/api/v1/health")).json()
    assert answer["services"]["s3"] == {
        "metadata": {"bucket_name": api.deps.settings.s3_bucket_name},
        "status": "saludable",
    }
    assert (await api.client.get("/readyz")).json()["services"]["s3"] is True


async def test_a_song_that_another_process_makes_is_followed_over_http(api: Api) -> None:
    await claim(api.deps, "song", "Canción")
    async with (
        open_blobs(api.deps.settings, for_writing=False) as elsewhere,
        elsewhere.grow(audio_key("song")) as growing,
        served(api.app) as (host, port),
        httpx.AsyncClient(trust_env=False) as client,
    ):
        await growing.append(FILE[:500])
        async with client.stream("GET", f"http://{host}:{port}{URL}") as answer:
            body = answer.aiter_raw()
            heard = await anext(body)
            await growing.append(FILE[500:])
            await growing.commit()
            heard += b"".join([block async for block in body])
    assert heard == FILE


async def test_the_bot_reads_s3_itself(api: Api) -> None:
    """Its audio service does not answer."""
    file = songs.dca(2_000)
    async with (
        open_blobs(api.deps.settings, for_writing=False) as blobs,
        open_audio_api(f"http://127.0.0.1:{free_port()}", "") as away,
    ):
        path = api.root / "source"
        await asyncio.to_thread(path.write_bytes, file)
        await api.deps.blobs.put(songs.track().file_path, path)
        async with FrameStore(blobs, away).open(songs.track(), 777) as blocks:
            assert [frame async for block in blocks for frame in block] == songs.frames(2_000)[777:]
