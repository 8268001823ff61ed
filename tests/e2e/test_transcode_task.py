"""`python -m audio_service.transcode_task` on objects of a real S3 server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from types_aiobotocore_s3 import S3Client

from audio_service.media.model import Media, MediaStatus, audio_key
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Waiter
from audio_service.settings import AudioSettings
from audio_service.sources.bucket import StoredObject, find_object
from audio_service.transcode_task import Ending, TaskSettings, bring_in
from common.aws import open_s3
from common.blobs import open_blobs
from common.dca import DcaReader
from common.errors import MediaNotFound
from tests.servers.buckets import bucket_keys, make_bucket
from tests.servers.emulators import Emulator
from tests.servers.media_files import make
from tests.servers.reaper import child_environment
from tests.servers.system import ROOT, environment_of, open_client, settings_for

KEY = "audio_input_raw/Una zamba + (dúo) 100%.m4a"
SECONDS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Settings with embedded backends, and a bucket of the S3 server."""

    settings: AudioSettings
    s3: S3Client
    bucket: str

    async def put(self, body: bytes, key: str = KEY) -> StoredObject:
        await self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return await find_object(self.s3, self.bucket, key)

    async def record(self, media_id: str) -> Media | None:
        async with open_repository(self.settings) as repository:
            return await repository.get(media_id)

    async def start(self, **named: str) -> asyncio.subprocess.Process:
        environment = {**environment_of(self.settings), "S3_BUCKET": self.bucket, "S3_KEY": KEY, **named}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "audio_service.transcode_task"),
            cwd=ROOT,
            env=child_environment(environment),
            stderr=asyncio.subprocess.PIPE,
        )

    async def here(self, **named: str) -> Ending:
        """Run the task in this process."""
        ending = Ending()
        values: dict[str, Any] = {"s3_bucket": self.bucket, "s3_key": KEY, **named}
        await bring_in(TaskSettings(**values), self.settings, ending)
        return ending


@pytest.fixture
async def place(tmp_path: Path, seaweedfs: Emulator) -> AsyncGenerator[Place]:
    keys = bucket_keys(seaweedfs)
    allowed = seaweedfs.url.removeprefix("http://")
    only_s3 = {"aws_endpoint_url_s3": keys["aws_endpoint_url_s3"], "s3_bucket_name": keys["s3_bucket_name"]}
    # The S3 server shares the machine with the task: a slow answer of it must not become a failed attempt.
    settings = settings_for(tmp_path, allowed, num_workers=1, network_timeout_seconds=60.0, **only_s3)
    await make_bucket(settings)
    async with open_s3(settings) as client:
        yield Place(settings, client, settings.s3_bucket_name)


@pytest.fixture(scope="module")
def m4a(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make("m4a", tmp_path_factory.mktemp("media"), SECONDS).read_bytes()


@asynccontextmanager
async def open_hanging_s3(stored: StoredObject) -> AsyncGenerator[tuple[str, asyncio.Event]]:
    """Serve S3 that knows the object and never sends it; yield its URL, and the event that it was asked for."""
    asked = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.method != "HEAD":
            asked.set()
            await asyncio.Event().wait()
        put_at = format_datetime(datetime.fromisoformat(stored.put_at).astimezone(UTC), usegmt=True)
        headers = {"ETag": f'"{stored.etag}"', "Last-Modified": put_at, "Content-Length": str(stored.size)}
        return web.Response(headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    _, written = await process.communicate()
    return process.returncode, written.decode()


async def test_a_killed_task_that_is_started_again_ends_once(place: Place, m4a: bytes) -> None:
    stored = await place.put(m4a)
    async with open_client(place.settings) as client, open_repository(place.settings) as repository:
        async with open_hanging_s3(stored) as (url, asked):
            allowed = f"{place.settings.network_allow},{url.removeprefix('http://')}"
            killed = await place.start(AWS_ENDPOINT_URL_S3=url, NETWORK_ALLOW=allowed)
            await asked.wait()
            killed.kill()
            await ended(killed)
        begun = await repository.get(stored.media_id)
        assert begun is not None
        assert begun.status is MediaStatus.PROCESSING

        assert await ended(await place.start()) == (0, "")
        status = await client.status(stored.request_id)
        assert status.success
        assert await ended(await place.start()) == (0, "")
        await client.heard_all()
        assert client.answers() == {stored.request_id: 1}

        record = await repository.get(stored.media_id)
    assert record is not None
    assert record.status is MediaStatus.SUCCESS
    assert record.metadata.title == "Una zamba + (dúo) 100%"
    assert record.metadata.platform == "S3"
    assert "X-Amz" not in str(record), "a signature in the record"
    async with open_blobs(place.settings) as blobs:
        data = b"".join([piece async for piece in blobs.read(audio_key(stored.media_id))])
    file = place.settings.temp_path / "read.dca"
    file.write_bytes(data)
    with file.open("rb") as reading:
        assert abs(len(list(DcaReader(reading))) - SECONDS * 50) <= 5
    assert b"X-Amz" not in data


async def test_what_is_no_media_is_answered_once_with_one_line(place: Place) -> None:
    stored = await place.put(b"no sound in here. " * 500)
    async with open_client(place.settings) as client:
        code, written = await ended(await place.start(REQUEST_ID=stored.request_id, LOG_LEVEL="error"))
        assert code == 1
        (line,) = written.splitlines()
        assert line.startswith(f"s3://{place.bucket}/{KEY}: media_")
        status = await client.status(stored.request_id)
        assert (status.success, status.error_code) == (False, line.split(": ")[1])
        assert (await place.here()).why.endswith("answered before; put the object again for a new try")
        await client.heard_all()
        assert client.answers() == {stored.request_id: 1}


async def test_an_object_that_is_gone_is_an_answer_where_a_request_waits_for_it(place: Place) -> None:
    ending = await place.here()
    missing = f"media_not_found: s3://{place.bucket}/{KEY}: there is no such object"
    assert (ending.code, ending.why) == (1, missing)
    async with open_client(place.settings) as client:
        ending = await place.here(request_id="asked-for")
        assert (ending.code, ending.why) == (1, missing)
        assert (await client.status("asked-for")).error_code == "media_not_found"


async def test_an_object_without_rights_or_server_is_one_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    ending = await place.here()
    assert ending.code == 1
    assert ending.why.startswith(f"source_forbidden: s3://{place.bucket}/{KEY}: may not be read (s3:GetObject on it")


async def test_a_replaced_object_ends_the_older_request_and_serves_the_newer(place: Place, m4a: bytes) -> None:
    older = await place.put(m4a[:-1])
    async with open_repository(place.settings) as repository, open_client(place.settings) as client:
        waiter = Waiter(older.request_id, "")
        await repository.claim(older.media_id, waiter, older.metadata, timedelta(minutes=5))
        newer = await place.put(m4a)
        ending = await place.here(request_id=older.request_id)
        assert ending.why == f"media_removed: s3://{place.bucket}/{KEY}: was replaced after this request"
        assert (await client.status(older.request_id)).error_code == "media_removed"
        assert (await place.here(request_id=newer.request_id)).code == 0
        assert (await client.status(newer.request_id)).video_id == newer.media_id != older.media_id


async def test_the_same_bytes_put_again_are_a_new_request_for_the_same_song(place: Place) -> None:
    first = StoredObject(place.bucket, KEY, "etag", "2026-01-01T00:00:00+00:00", 1)
    again = StoredObject(place.bucket, KEY, "etag", "2026-01-01T00:00:01+00:00", 1)
    assert first.media_id == again.media_id
    assert first.request_id != again.request_id
    with pytest.raises(MediaNotFound):
        await find_object(place.s3, place.bucket, "audio_input_raw/other.m4a")
