"""`python -m audio_service.transcode_task` on SQS, DynamoDB and S3, as ECS runs it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from audio_service.media.model import MediaStatus, audio_key
from audio_service.media.repository import open_repository
from audio_service.settings import AudioSettings
from audio_service.sources.bucket import find_object
from common.aws import open_s3
from common.blobs import open_blobs
from common.dca import DcaReader
from tests.servers.aws_system import aws_settings
from tests.servers.emulators import Emulator
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite
from tests.servers.reaper import child_environment
from tests.servers.system import ROOT, environment_of, open_client

_KEY = "audio_input_raw/Una zamba + (dúo) 100%.m4a"
_SECONDS = 3


async def test_an_object_becomes_a_song_once(
    tmp_path: Path, media: Path, site: MediaSite, ministack: Emulator, seaweedfs: Emulator
) -> None:
    # None of the leases expires, and the S3 server has time to answer, on the slowest machine.
    patient = {"lease_seconds": 120, "broker_lease_seconds": 120, "network_timeout_seconds": 60.0, "num_workers": 1}
    allowed = seaweedfs.url.removeprefix("http://")
    async with (
        aws_settings(tmp_path, site, ministack, seaweedfs, network_allow=allowed, **patient) as settings,
        open_client(settings) as client,
        open_s3(settings) as s3,
    ):
        bucket = settings.s3_bucket_name
        await s3.put_object(Bucket=bucket, Key=_KEY, Body=make("m4a", media, _SECONDS).read_bytes())
        stored = await find_object(s3, bucket, _KEY)

        assert await run_task(settings) == (0, "")
        status = await client.status(stored.request_id)
        assert (status.success, status.video_id) == (True, stored.media_id)

        async with open_repository(settings) as repository:
            record = await repository.get(stored.media_id)
            assert record is not None
            assert (record.status, record.file.file_path) == (MediaStatus.SUCCESS, audio_key(stored.media_id))
            assert record.metadata.title == "Una zamba + (dúo) 100%"

        assert await run_task(settings) == (0, "")
        await client.heard_all()
        assert client.answers() == {stored.request_id: 1}
        async with open_repository(settings) as repository:
            assert await repository.get(stored.media_id) == record

        dca = tmp_path / "read.dca"
        async with open_blobs(settings) as blobs:
            dca.write_bytes(b"".join([piece async for piece in blobs.read(audio_key(stored.media_id))]))
        with dca.open("rb") as reading:
            assert abs(len(list(DcaReader(reading))) - _SECONDS * 50) <= 5


async def run_task(settings: AudioSettings) -> tuple[int | None, str]:
    """Return its exit code, and what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "audio_service.transcode_task"),
        cwd=ROOT,
        env=child_environment({**environment_of(settings), "S3_BUCKET": settings.s3_bucket_name, "S3_KEY": _KEY}),
        stderr=asyncio.subprocess.PIPE,
    )
    _, written = await process.communicate()
    return process.returncode, written.decode()
