"""`yt-cookies.txt` in the root of a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audio_service.bootstrap import open_services
from audio_service.sources.cookies import CookieFile
from audio_service.sources.stored_cookies import KEY, StoredCookies
from common.aws import open_s3
from common.blobs import open_blobs
from common.settings import SharedSettings
from tests.servers.buckets import bucket_keys, make_bucket
from tests.servers.emulators import Emulator
from tests.servers.system import settings_for

LINE = ".youtube.com\tTRUE\t/\tTRUE\t0\tSID\t{}\n"


@pytest.fixture
async def settings(seaweedfs: Emulator) -> SharedSettings:
    made = SharedSettings(**bucket_keys(seaweedfs))
    await make_bucket(made)
    return made


async def put(settings: SharedSettings, text: str) -> None:
    async with open_s3(settings) as client:
        await client.put_object(Bucket=settings.s3_bucket_name, Key=KEY, Body=text.encode())


def values(file: CookieFile) -> list[str | None]:
    return [cookie.value for cookie in file.current()]


async def test_the_copy_follows_the_bucket(settings: SharedSettings, tmp_path: Path) -> None:
    path = tmp_path / KEY
    file = CookieFile(path)
    async with open_blobs(settings) as blobs:
        stored = StoredCookies(blobs, path)
        await stored.refresh()
        assert values(file) == []
        await put(settings, LINE.format("one"))
        await stored.refresh()
        assert values(file) == ["one"]
        assert path.stat().st_mode & 0o777 == 0o600
        await put(settings, LINE.format("two"))
        await stored.refresh()
        assert values(file) == ["two"]
        before = path.stat().st_ino
        await stored.refresh()
        assert path.stat().st_ino == before, "it was not written again"
        async with open_s3(settings) as client:
            await client.delete_object(Bucket=settings.s3_bucket_name, Key=KEY)
        await stored.refresh()
        assert values(file) == []


async def test_a_store_that_is_away_leaves_the_last_copy(settings: SharedSettings, tmp_path: Path) -> None:
    path = tmp_path / KEY
    await put(settings, LINE.format("kept"))
    async with open_blobs(settings) as blobs:
        stored = StoredCookies(blobs, path)
        await stored.refresh()
    nowhere = settings.model_copy(update={"aws_endpoint_url_s3": "http://127.0.0.1:9"})
    async with open_blobs(nowhere, for_writing=False) as away:
        lost = StoredCookies(away, path)
        with capture_logs() as logs:
            await lost.refresh()
    assert values(CookieFile(path)) == ["kept"]
    assert [line["event"] for line in logs] == ["cookies.store_away"]


async def test_the_service_gives_its_children_the_buckets_cookies(
    settings: SharedSettings, seaweedfs: Emulator, tmp_path: Path
) -> None:
    await put(settings, LINE.format("service"))
    keys = bucket_keys(seaweedfs) | {"s3_bucket_name": settings.s3_bucket_name}
    async with open_services(settings_for(tmp_path, **keys)) as services:
        assert services.settings.cookies_youtube == services.workspace.root / KEY
        assert values(CookieFile(services.settings.cookies_youtube)) == ["service"]
    own = tmp_path / "own.txt"
    async with open_services(settings_for(tmp_path / "own", cookies_youtube=own, **keys)) as services:
        assert services.settings.cookies_youtube == own
        assert not (services.workspace.root / KEY).exists()
