"""What only the S3 store promises: parts, resumed reads, presigned URLs, and what it says when a server refuses."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
import tracemalloc
from collections.abc import AsyncGenerator
from pathlib import Path

import botocore.auth
import httpx
import pytest

from common.aws import open_s3 as open_client
from common.blobs import open_blobs
from common.blobs.base import BlobStore
from common.blobs.presigned import PresignedPut, PresignedUrls
from common.blobs.s3 import reading
from common.blobs.s3.bucket import Bucket, MisconfiguredStorage
from common.blobs.s3.upload import PART_BYTES
from common.errors import BlobNotFound, StorageFull, StorageUnavailable
from common.settings import SharedSettings
from tests.servers.buckets import bucket_keys, make_bucket, objects, uploads
from tests.servers.emulators import Emulator
from tests.servers.network import open_forwarder
from tests.servers.ports import free_port
from tests.servers.s3_stub import open_s3_stub
from tests.waiting import patience, until

KEY = "audio/id.dca"
MB = 1024 * 1024


@pytest.fixture
async def settings(seaweedfs: Emulator) -> SharedSettings:
    found = SharedSettings(**bucket_keys(seaweedfs))
    await make_bucket(found)
    return found


@pytest.fixture
async def store(settings: SharedSettings) -> AsyncGenerator[BlobStore]:
    async with open_blobs(settings, for_writing=False) as opened:
        yield opened


async def content(store: BlobStore) -> bytes:
    return b"".join([chunk async for chunk in store.read(KEY)])


async def test_a_large_file_is_stored_by_parts_in_little_memory(
    store: BlobStore, settings: SharedSettings, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    size = (1024 if os.environ.get("FULL") else 100) * MB + 17
    with source.open("wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        stat = await store.put(KEY, source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stat.size == size
    assert stat.etag.endswith(f"-{-(-size // PART_BYTES)}"), "S3's own etag says how many parts there were"
    assert await store.stat(KEY) == stat
    assert peak < 64 * MB
    assert await uploads(settings) == []
    assert source.exists()


async def test_parts_are_put_together_in_order(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    value = os.urandom(3 * PART_BYTES + 5)
    source.write_bytes(value)
    await store.put(KEY, source)
    assert hashlib.sha256(await content(store)).digest() == hashlib.sha256(value).digest()


async def test_an_upload_that_fails_or_is_cancelled_is_aborted(
    store: BlobStore, settings: SharedSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(3 * PART_BYTES))
    pread = os.pread

    def shorter(descriptor: int, count: int, offset: int) -> bytes:
        return b"" if offset else pread(descriptor, count, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", shorter)
        with pytest.raises(StorageUnavailable, match="shorter"):
            await store.put(KEY, source)
    assert await uploads(settings) == []
    putting = asyncio.create_task(store.put(KEY, source))
    await until(lambda: uploads(settings))
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert await uploads(settings) == []
    with pytest.raises(BlobNotFound):
        await store.stat(KEY)


async def test_a_read_that_breaks_off_is_continued_where_it_was(
    seaweedfs: Emulator, settings: SharedSettings, store: BlobStore, tmp_path: Path
) -> None:
    value = os.urandom(24 * MB)
    source = tmp_path / "source"
    source.write_bytes(value)
    await store.put(KEY, source)
    port = free_port()
    near = settings.model_copy(update={"aws_endpoint_url_s3": f"http://127.0.0.1:{port}"})
    async with (
        open_forwarder(f"127.0.0.1:{seaweedfs.port}", port) as network,
        open_blobs(near, for_writing=False) as through,
    ):
        chunks = through.read(KEY, start=5, length=20 * MB)
        got = bytearray(await anext(chunks))
        await network.cut()
        await network.restore()
        async for chunk in chunks:
            got += chunk
        assert got == value[5 : 5 + 20 * MB]
        chunks = through.read(KEY)
        await anext(chunks)
        await network.cut()
        source.write_bytes(bytes(24 * MB))
        await store.put(KEY, source)
        await network.restore()
        with pytest.raises(StorageUnavailable, match="PreconditionFailed"):
            async for _ in chunks:
                pass


async def test_a_server_that_is_killed_is_read_on_when_it_is_back_and_has_all_or_nothing_of_what_was_written(
    seaweedfs: Emulator,
    settings: SharedSettings,
    store: BlobStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_RESUME_SECONDS", patience(120))
    value, other = os.urandom(3 * PART_BYTES), "audio/other.dca"
    source = tmp_path / "source"
    source.write_bytes(value)
    await store.put(KEY, source)
    chunks = store.read(KEY)
    got = bytearray(await anext(chunks))
    putting = asyncio.create_task(store.put(other, source))
    await until(lambda: putting.done() or uploads(settings))
    await seaweedfs.kill()
    await seaweedfs.start()
    async for chunk in chunks:
        got += chunk
    assert got == value
    await asyncio.wait({putting})
    if putting.exception() is None:
        assert (await store.stat(other)).size == len(value)
    else:
        assert isinstance(putting.exception(), StorageUnavailable)
        with pytest.raises(BlobNotFound):
            await store.stat(other)
    with seaweedfs.frozen():
        putting = asyncio.create_task(store.put(other, source))
        assert await asyncio.wait({putting}, timeout=1) == (set(), {putting})
    assert (await putting).size == len(value)


@pytest.mark.parametrize("times_refused", [2, 4])
async def test_a_server_that_asks_for_fewer_requests_is_asked_again_later(
    aws_credentials: None,  # noqa: ARG001 - the stub checks none
    tmp_path: Path,
    times_refused: int,
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"song")
    refused = (503, "SlowDown", "Please reduce your request rate.")
    async with open_s3_stub([refused] * times_refused) as stub, open_blobs(stub.settings, for_writing=False) as store:
        if times_refused < 4:
            assert (await store.put(KEY, source)).size == 4
        else:
            with pytest.raises(StorageUnavailable, match="SlowDown"):
                await store.put(KEY, source)
    assert stub.requests == [("PUT", f"/songs/{KEY}")] * min(times_refused + 1, 4)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((403, "AccessDenied", "Access Denied"), MisconfiguredStorage, "S3_BUCKET_NAME: .*AccessDenied"),
        ((403, "RequestTimeTooSkewed", "The difference is too large."), MisconfiguredStorage, "clock"),
        ((404, "NoSuchBucket", "It does not exist."), MisconfiguredStorage, "S3_BUCKET_NAME: .*NoSuchBucket"),
    ],
)
async def test_a_refusal_ends_the_start_with_one_line(
    aws_credentials: None,  # noqa: ARG001 - the stub checks none
    answer: tuple[int, str, str],
    kind: type[Exception],
    said: str,
) -> None:
    async with open_s3_stub([answer]) as stub:
        with pytest.raises(kind, match=said) as caught:
            async with open_blobs(stub.settings):
                pass
        assert "\n" not in str(caught.value)
        assert getattr(caught.value, "needs_operator", False)


async def test_a_refusal_without_a_reason_names_what_it_may_be(aws_credentials: None) -> None:  # noqa: ARG001 - the stub checks none
    async with open_s3_stub([(403, "", "")]) as stub, open_blobs(stub.settings, for_writing=False) as store:
        with pytest.raises(MisconfiguredStorage, match=f"^S3_BUCKET_NAME: {KEY}: HeadObject: 403.*rights.*clock"):
            await store.stat(KEY)


async def test_a_store_without_room_is_full(aws_credentials: None, tmp_path: Path) -> None:  # noqa: ARG001 - as above
    source = tmp_path / "source"
    source.write_bytes(b"song")
    full = (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
    async with open_s3_stub([full] * 4) as stub, open_blobs(stub.settings, for_writing=False) as store:
        with pytest.raises(StorageFull):
            await store.put(KEY, source)


async def test_a_missing_name_and_a_missing_bucket_are_said_at_the_start(settings: SharedSettings) -> None:
    for name in ("", "songs-of-another"):
        with pytest.raises(MisconfiguredStorage, match="S3_BUCKET_NAME"):
            async with open_blobs(settings.model_copy(update={"s3_bucket_name": name})):
                pass


async def test_a_wrong_secret_and_a_wrong_clock_are_said_at_the_start(
    settings: SharedSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(MisconfiguredStorage, match="SignatureDoesNotMatch"):
            async with open_blobs(settings):
                pass

    def in_an_hour() -> dt.datetime:
        return dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(hours=1)

    monkeypatch.setattr(botocore.auth, "get_current_datetime", in_an_hour)
    with pytest.raises(MisconfiguredStorage, match="clock"):
        async with open_blobs(settings):
            pass


async def test_a_server_that_is_away_prevents_no_start(settings: SharedSettings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"aws_endpoint_url_s3": f"http://127.0.0.1:{free_port()}"})
    source = tmp_path / "source"
    source.write_bytes(b"song")
    async with open_blobs(away) as store:
        health = await store.health()
        assert (health.name, health.ok, "S3_BUCKET_NAME" in health.error) == ("s3", False, True)


async def test_health_names_the_bucket(store: BlobStore, settings: SharedSettings) -> None:
    health = await store.health()
    assert (health.name, health.ok, health.metadata) == ("s3", True, {"bucket_name": settings.s3_bucket_name})


async def test_health_says_why_it_is_not_well(settings: SharedSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = settings.model_copy(update={"s3_bucket_name": "songs-of-another"})
    async with open_blobs(gone, for_writing=False) as store:
        health = await store.health()
    assert (health.ok, "NoSuchBucket" in health.error) == (False, True)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    async with open_blobs(settings, for_writing=False) as store:
        health = await store.health()
    assert (health.ok, "SignatureDoesNotMatch" in health.error) == (False, True)


async def test_missing_credentials_are_said_at_the_start(
    settings: SharedSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(MisconfiguredStorage, match="AWS credentials"):
        async with open_blobs(settings):
            pass


async def test_segments_are_removed_one_by_one_where_many_cannot_be(
    aws_credentials: None,  # noqa: ARG001 - the stub checks none
) -> None:
    async with open_s3_stub([(501, "NotImplemented", "")]) as stub, open_client(stub.settings) as client:
        await Bucket(client, "songs").delete_all(["a", "b"])
        assert [method for method, _ in stub.requests if method == "DELETE"] == ["DELETE"] * 2


async def test_the_start_leaves_nothing_in_the_bucket(settings: SharedSettings) -> None:
    async with open_blobs(settings):
        pass
    assert await objects(settings) == []


async def test_the_stores_own_objects_have_no_keys(store: BlobStore) -> None:
    for key in ("growing/x", "growing/0a/head"):
        with pytest.raises(ValueError, match="not a blob key"):
            store.read(key)


async def test_a_presigned_url_reads_one_blob_for_its_time(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"song")
    await store.put(KEY, source)
    assert isinstance(store, PresignedUrls)
    url, expired = await store.presign_get(KEY, seconds=60), await store.presign_get(KEY, seconds=1)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).content == b"song"
        assert (await client.get(url.replace("id.dca", "other.dca"))).status_code == 403
        await until(lambda: _status(client, expired, 403))


async def _status(client: httpx.AsyncClient, url: str, status: int) -> bool:
    return (await client.get(url)).status_code == status


async def test_a_presigned_upload_is_of_one_key_type_length_and_digest_and_once(store: BlobStore) -> None:
    assert isinstance(store, PresignedUrls)
    body = b"a voice message"
    allowed = await store.presign_put(KEY, "audio/mp4", len(body), seconds=60, sha256=hashlib.sha256(body).digest())

    async def put(body: bytes = body, url: str = allowed.url, content_type: str = "audio/mp4") -> int:
        wanted = {**allowed.headers, "Content-Length": str(len(body)), "Content-Type": content_type}
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.put(url, content=body, headers=wanted)).status_code

    assert await put(body[:-1]) == 403
    assert await put(content_type="text/html") == 403
    assert await put(url=allowed.url.replace("id.dca", "other.dca")) == 403
    assert await put(body[::-1]) == 400
    with pytest.raises(BlobNotFound):
        await store.stat(KEY)
    assert await put() == 200
    assert await content(store) == body
    assert await put() == 412
    late = await store.presign_put("audio/late.dca", "audio/mp4", 1, seconds=1)
    assert isinstance(late, PresignedPut)
    await until(lambda: late.expires_at < dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.put(late.url, content=b"x", headers=dict(late.headers))).status_code == 403


async def test_a_browser_uploads_to_the_public_address(settings: SharedSettings, seaweedfs: Emulator) -> None:
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    async with (
        open_forwarder(seaweedfs.url.removeprefix("http://"), port),
        open_blobs(settings.model_copy(update={"s3_public_url": public})) as store,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        assert isinstance(store, PresignedUrls)
        allowed = await store.presign_put(KEY, "audio/mp4", 4, seconds=60)
        assert allowed.url.startswith(f"{public}/")
        # The host is part of what is signed.
        inside = allowed.url.replace(public, seaweedfs.url)
        assert (await client.put(inside, content=b"note", headers=dict(allowed.headers))).status_code == 403
        assert (await client.put(allowed.url, content=b"note", headers=dict(allowed.headers))).status_code == 200
        assert await content(store) == b"note"
        # The service and its children read where the service does.
        assert (await store.presign_get(KEY, seconds=60)).startswith(f"{seaweedfs.url}/")
