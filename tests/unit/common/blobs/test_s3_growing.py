"""Growing blobs in S3: what they cost, two writers, writers that die, answers that are lost."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from common.aws import open_s3 as open_client
from common.blobs import open_blobs
from common.blobs.s3 import following, growing, sweep
from common.blobs.s3.bucket import Bucket
from common.blobs.s3.heads import interval_before
from common.blobs.s3.store import S3BlobStore
from common.blobs.s3.upload import PART_BYTES
from common.errors import BlobNotFound, StorageUnavailable
from common.settings import SharedSettings
from tests.reporting import Table
from tests.servers.buckets import bucket_keys, make_bucket, objects, uploads
from tests.servers.emulators import Emulator
from tests.servers.reaper import child_environment
from tests.waiting import patience, until

KEY = "audio/id.dca"
MB = 1024 * 1024


@pytest.fixture
async def settings(seaweedfs: Emulator) -> SharedSettings:
    found = SharedSettings(**bucket_keys(seaweedfs))
    await make_bucket(found)
    return found


@asynccontextmanager
async def opened(settings: SharedSettings, lease_seconds: float = 20.0) -> AsyncGenerator[tuple[S3BlobStore, Bucket]]:
    async with open_client(settings) as client:
        bucket = Bucket(client, settings.s3_bucket_name)
        yield S3BlobStore(bucket, lease_seconds), bucket


@pytest.fixture
async def store(settings: SharedSettings) -> AsyncGenerator[S3BlobStore]:
    async with opened(settings) as (found, _):
        yield found


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second between segments last a twentieth."""

    def shorter(number: int, lasts: float = 0.0) -> float:
        return interval_before(number, 20 * lasts) / 20

    for module in (growing, following):
        monkeypatch.setattr(module, "interval_before", shorter)


async def rest(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@pytest.mark.usefixtures("hurried")
async def test_a_song_of_three_minutes_costs_few_requests(settings: SharedSettings, tables: list[Table]) -> None:
    """Ten seconds of download, in a twentieth of the time."""
    seen: Counter[str] = Counter()
    looks: Counter[str] = Counter()
    song = os.urandom(2_900_000)
    began = time.monotonic()
    async with opened(settings) as (store, bucket), opened(settings) as (elsewhere, other):
        _count(bucket, seen)
        _count(other, looks)
        async with store.grow(KEY) as blob:
            await blob.append(song[:80_000])
            following_task = asyncio.create_task(rest(elsewhere.follow(KEY)))
            for start in range(80_000, len(song), 60_000):
                await blob.append(song[start : start + 60_000])
                await asyncio.wait({following_task}, timeout=0.01)  # the pace of the download
            await blob.commit()
            assert await following_task == song
    assert await objects(settings) == [KEY]
    rows: list[Sequence[str]] = [
        (who, method, str(number))
        for who, requests in (("writer", seen), ("follower", looks))
        for method, number in requests.items()
    ]
    tables.append(Table("S3 requests for a song of three minutes", ("by", "method", "requests"), rows))
    seconds = time.monotonic() - began
    segments, renewals = _segments_in(20 * seconds), int(seconds / 6)
    assert seen["PUT"] <= segments + renewals + 4, (seen, seconds)
    assert seen.total() - seen["PUT"] <= 5, seen


def test_segments_are_soon_at_first_and_then_few() -> None:
    assert [_segments_in(seconds) for seconds in (0, 1, 2, 10, 180)] == [1, 2, 3, 6, 63]


@pytest.mark.parametrize(("pace", "segments"), [(4.0, 8), (2.0, 15), (1.5, 20)])
def test_a_source_that_is_ahead_of_its_listeners_costs_few_segments(pace: float, segments: int) -> None:
    """Four minutes, announced with five seconds. A listener that began at once has two of them left at the least."""
    at, number, stored = 0.0, 1, 5.0
    while stored < 240:
        at += interval_before(number + 1, stored - at)
        assert stored - at >= 2, (number, at)
        number += 1
        stored = 5 + pace * at
    assert number == segments


def _segments_in(seconds: float) -> int:
    """How many segments there are when something is appended all the time."""
    number = 0
    while seconds >= 0:
        number += 1
        seconds -= interval_before(number + 1)
    return number


@pytest.mark.usefixtures("hurried")
async def test_more_than_a_part_is_followed_and_stored_whole(settings: SharedSettings, store: S3BlobStore) -> None:
    song = os.urandom(2 * PART_BYTES + 12_345)
    async with open_blobs(settings, for_writing=False) as elsewhere, store.grow(KEY) as blob:
        await blob.append(song[:1])
        followed = asyncio.create_task(rest(elsewhere.follow(KEY)))
        for start in range(1, len(song), MB):
            await blob.append(song[start : start + MB])
        stat = await blob.commit()
        assert await followed == song
    assert (stat.size, stat.etag[-2:]) == (len(song), "-3")
    assert await store.stat(KEY) == stat
    assert await rest(store.read(KEY)) == song
    assert (await objects(settings), await uploads(settings)) == ([KEY], [])


@pytest.mark.usefixtures("hurried")
async def test_a_discarded_blob_leaves_neither_segments_nor_parts(settings: SharedSettings, store: S3BlobStore) -> None:
    async with store.grow(KEY) as blob:
        await blob.append(bytes(PART_BYTES + 1))
        await blob.append(b"1")
        await until(lambda: uploads(settings))
        assert len(await objects(settings, "growing/")) > 1
    assert (await objects(settings), await uploads(settings)) == ([], [])


async def test_a_writer_that_is_cancelled_leaves_nothing(settings: SharedSettings, store: S3BlobStore) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with store.grow(KEY) as blob:
            await blob.append(b"song")
            begun.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write())
    await begun.wait()
    assert len(await objects(settings)) == 2
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await objects(settings) == []


async def test_of_many_writers_one_commits_and_the_blob_is_whole(settings: SharedSettings) -> None:
    songs = [bytes([number]) * 200_000 for number in range(6)]

    async def write(song: bytes) -> bytes:
        async with opened(settings) as (store, _), store.grow(KEY) as blob:
            await blob.append(song)
            await blob.commit()
            return song

    ended = await asyncio.gather(*(write(song) for song in songs), return_exceptions=True)
    assert all(isinstance(end, bytes | StorageUnavailable) for end in ended)
    committed = [end for end in ended if isinstance(end, bytes)]
    async with opened(settings) as (store, _):
        assert await rest(store.read(KEY)) in committed
    assert await objects(settings) == [KEY]


async def test_a_writer_that_is_superseded_in_mid_commit_overwrites_nothing(settings: SharedSettings) -> None:
    async with opened(settings) as (first_store, bucket), opened(settings) as (second_store, _):
        put = bucket.put

        async def be_overtaken(key: str, *args: Any, **options: Any) -> str:  # noqa: ANN401 - passed on
            if key == KEY:
                async with second_store.grow(KEY) as second:
                    await second.append(b"second")
                    await second.commit()
            return await put(key, *args, **options)

        async with first_store.grow(KEY) as first:
            await first.append(b"first")
            bucket.put = be_overtaken  # type: ignore[method-assign]
            with pytest.raises(StorageUnavailable):
                await first.commit()
        assert await rest(second_store.read(KEY)) == b"second"


async def test_a_repeated_request_whose_first_answer_was_lost_is_no_conflict(settings: SharedSettings) -> None:
    async with opened(settings) as (store, bucket):
        put = bucket.put

        async def put_twice(*args: Any, **options: Any) -> str:  # noqa: ANN401 - passed on
            await put(*args, **options)
            return await put(*args, **options)

        bucket.put = put_twice  # type: ignore[method-assign]
        async with store.grow(KEY) as blob:
            await blob.append(b"song")
            stat = await blob.commit()
        assert await store.stat(KEY) == stat
        assert await rest(store.read(KEY)) == b"song"


async def test_a_server_that_fails_ends_a_growing_blob(settings: SharedSettings) -> None:
    async with opened(settings) as (store, bucket):

        async def fail(*_: object, **__: object) -> str:
            raise StorageUnavailable("away")

        async with store.grow(KEY) as blob:
            bucket.put = fail  # type: ignore[method-assign]
            with pytest.raises(StorageUnavailable, match="away"):
                await blob.append(b"song")
            with pytest.raises(StorageUnavailable, match="away"):
                await blob.commit()


async def test_followers_hear_of_the_death_of_a_writer_and_the_next_start_sweeps(
    settings: SharedSettings, store: S3BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _WRITER,
        settings.model_dump_json(include={"storage_backend", "s3_bucket_name", "aws_endpoint_url_s3"}),
        KEY,
        str(patience(4)),  # a writer that stands still for so long is taken for dead before it is
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert writer.stdout is not None
    assert await writer.stdout.readline() == b"ready\n"
    followed = store.follow(KEY)
    assert await anext(followed) == b"part"
    writer.kill()
    await writer.wait()
    with pytest.raises(StorageUnavailable, match="dead"):
        await anext(followed)
    with pytest.raises(BlobNotFound):
        await anext(store.follow(KEY))
    assert len(await objects(settings)) == 2
    async with open_blobs(settings):
        pass
    assert len(await objects(settings)) == 2, "too young to be swept"
    monkeypatch.setattr(sweep, "SEGMENTS_SECONDS", -1.0)
    monkeypatch.setattr(sweep, "UPLOADS_SECONDS", -1.0)
    async with open_client(settings) as client:
        await client.create_multipart_upload(Bucket=settings.s3_bucket_name, Key=KEY)
    async with open_blobs(settings):
        await until(lambda: _is_empty(settings))


async def test_a_commit_without_the_heads_removal_ends_its_followers(settings: SharedSettings) -> None:
    """The writer died in between: the head is there until its lease ends."""
    async with opened(settings, lease_seconds=patience(1.5)) as (store, bucket), opened(settings) as (elsewhere, _):

        async def fail(*_: object, **__: object) -> None:
            raise StorageUnavailable("dead")

        bucket.delete = fail  # type: ignore[method-assign]
        async with store.grow(KEY) as blob:
            await blob.append(b"song")
            followed = elsewhere.follow(KEY)
            assert await anext(followed) == b"song"
            await blob.append(b" rest")
            await blob.commit()
        assert await rest(followed) == b" rest"


async def test_a_writer_that_is_slow_keeps_its_lease(settings: SharedSettings) -> None:
    async with opened(settings, lease_seconds=patience(1.5)) as (store, bucket), opened(settings) as (elsewhere, _):
        renewals = 0
        put = bucket.put

        async def count(key: str, *args: Any, **options: Any) -> str:  # noqa: ANN401 - passed on
            nonlocal renewals
            renewals += key.endswith("/head")
            return await put(key, *args, **options)

        async with store.grow(KEY) as blob:
            await blob.append(b"song")
            followed = elsewhere.follow(KEY)
            assert await anext(followed) == b"song"
            bucket.put = count  # type: ignore[method-assign]
            await until(lambda: renewals >= 4)
            await blob.append(b" rest")
            assert await anext(followed) == b" rest"
            await blob.commit()


def _count(bucket: Bucket, requests: Counter[str]) -> None:
    def count(request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's own type
        requests[request.method] += 1

    bucket.client.meta.events.register("before-send.s3", count)


async def _is_empty(settings: SharedSettings) -> bool:
    return not await objects(settings) and not await uploads(settings)


_WRITER = """
import asyncio, json, sys
from common.aws import open_s3
from common.blobs.s3.bucket import Bucket
from common.blobs.s3.store import S3BlobStore
from common.settings import SharedSettings
async def main():
    settings = SharedSettings(**json.loads(sys.argv[1]))
    async with open_s3(settings) as client:
        store = S3BlobStore(Bucket(client, settings.s3_bucket_name), float(sys.argv[3]))
        async with store.grow(sys.argv[2]) as growing:
            await growing.append(b"part")
            print("ready", flush=True)
            await asyncio.Event().wait()
asyncio.run(main())
"""
