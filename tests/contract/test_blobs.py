"""The contract of every blob store. A new adapter adds an entry to ADAPTERS, and no test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from common.blobs import open_blobs
from common.blobs.base import BlobStore
from common.blobs.listing import ListedBlobs
from common.errors import BlobNotFound, StorageUnavailable
from common.settings import SharedSettings
from tests.servers.buckets import bucket_keys, make_bucket

KEY = "audio/k2qgadSvNyU.dca"
CHUNK = 64 * 1024


def local(request: pytest.FixtureRequest) -> SharedSettings:
    directory: Path = request.getfixturevalue("tmp_path")
    return SharedSettings(storage_backend="local", local_storage_path=directory / "made" / "storage")


def s3(request: pytest.FixtureRequest) -> SharedSettings:
    return SharedSettings(**bucket_keys(request.getfixturevalue("seaweedfs")))


ADAPTERS: dict[str, Callable[[pytest.FixtureRequest], SharedSettings]] = {"local": local, "s3-seaweedfs": s3}


@pytest.fixture(params=sorted(ADAPTERS))
def place(request: pytest.FixtureRequest) -> SharedSettings:
    return ADAPTERS[str(request.param)](request)


@pytest.fixture
async def settings(place: SharedSettings) -> SharedSettings:
    if place.storage_backend == "s3":
        await make_bucket(place)
    return place


@pytest.fixture
async def store(settings: SharedSettings) -> AsyncGenerator[BlobStore]:
    async with open_blobs(settings) as opened:
        yield opened


Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Make a source file of its own for each call."""
    count = 0

    def write_file(content: bytes) -> Path:
        nonlocal count
        count += 1
        path = tmp_path / f"source-{count}"
        path.write_bytes(content)
        return path

    return write_file


async def content(store: BlobStore, *, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(KEY, start=start, length=length)])


async def test_what_was_put_is_read_back(store: BlobStore, write: Write) -> None:
    value = os.urandom(3 * CHUNK + 17)
    stat = await store.put(KEY, write(value))
    assert (stat.key, stat.size) == (KEY, len(value))
    assert await content(store) == value
    assert await store.stat(KEY) == stat


async def test_blobs_outlive_the_store_that_took_them(settings: SharedSettings, write: Write) -> None:
    async with open_blobs(settings) as store:
        before = await store.put(KEY, write(b"song"))
    async with open_blobs(settings) as store:
        assert await store.stat(KEY) == before
        assert await content(store) == b"song"


async def test_an_empty_file_is_a_blob(store: BlobStore, write: Write) -> None:
    assert (await store.put(KEY, write(b""))).size == 0
    assert await content(store) == b""


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 0), (0, 1), (5, 10), (CHUNK - 1, 2), (0, 20 * CHUNK), (7, 9 * CHUNK), (10 * CHUNK + 2, None), (0, 10**9)],
)
async def test_a_range_is_exactly_those_bytes(store: BlobStore, write: Write, start: int, length: int | None) -> None:
    value = os.urandom(10 * CHUNK + 3)
    await store.put(KEY, write(value))
    end = None if length is None else start + length
    assert await content(store, start=start, length=length) == value[start:end]


async def test_a_range_behind_the_end_is_empty(store: BlobStore, write: Write) -> None:
    await store.put(KEY, write(b"song"))
    assert await content(store, start=4) == b""
    assert await content(store, start=400, length=5) == b""


async def test_negative_ranges_are_refused(store: BlobStore, write: Write) -> None:
    await store.put(KEY, write(b"song"))
    for start, length in ((-1, None), (0, -1)):
        with pytest.raises(ValueError, match="negative"):
            await content(store, start=start, length=length)


async def test_chunks_are_of_64_kib_at_most(store: BlobStore, write: Write) -> None:
    await store.put(KEY, write(bytes(5 * CHUNK + 1)))
    sizes = [len(chunk) async for chunk in store.read(KEY)]
    assert sum(sizes) == 5 * CHUNK + 1
    assert max(sizes) <= CHUNK
    assert min(sizes) > 0


async def test_a_second_put_replaces_and_changes_the_etag(store: BlobStore, write: Write) -> None:
    first = await store.put(KEY, write(b"one "))
    second = await store.put(KEY, write(b"two "))
    assert await content(store) == b"two "
    assert await store.stat(KEY) == second
    assert first.etag != second.etag


async def test_equal_etags_mean_equal_bytes_however_quick_the_puts(store: BlobStore, write: Write) -> None:
    seen: dict[str, bytes] = {}
    for number in range(60):
        value = b"%04d" % number
        etag = (await store.put(KEY, write(value))).etag
        assert seen.setdefault(etag, value) == value
        await store.delete(KEY)


async def test_a_reader_keeps_the_file_it_opened(store: BlobStore, write: Write) -> None:
    old, new = bytes([1]) * 30 * CHUNK, bytes([2]) * 30 * CHUNK
    await store.put(KEY, write(old))
    replaced, deleted = store.read(KEY), store.read(KEY)
    parts = [[await anext(replaced)], [await anext(deleted)]]
    await store.put(KEY, write(new))
    parts[0] += [chunk async for chunk in replaced]
    await store.delete(KEY)
    parts[1] += [chunk async for chunk in deleted]
    assert b"".join(parts[0]) == old
    assert b"".join(parts[1]) == old


async def test_readers_see_one_whole_file_while_it_is_replaced(store: BlobStore, write: Write) -> None:
    values = [bytes([number]) * 9 * CHUNK for number in range(20)]
    await store.put(KEY, write(values[0]))
    writing = asyncio.Event()

    async def read_on() -> int:
        reads = 0
        while not writing.is_set():
            assert await content(store) in values
            reads += 1
        return reads

    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read_on()) for _ in range(3)]
        for value in values:
            await store.put(KEY, write(value))
        writing.set()
    assert all(reader.result() for reader in readers)


async def test_concurrent_puts_leave_one_of_them_whole(store: BlobStore, write: Write) -> None:
    values = [bytes([number]) * 5 * CHUNK for number in range(8)]
    await asyncio.gather(*(store.put(KEY, write(value)) for value in values))
    assert await content(store) in values


async def test_a_reader_that_stops_early_frees_what_it_held(store: BlobStore, write: Write) -> None:
    await store.put(KEY, write(bytes(40 * CHUNK)))
    for _ in range(50):
        async for _ in store.read(KEY):
            break
        for patience in (0.0, 0.0001, 0.001):
            try:
                async with asyncio.timeout(patience):
                    await content(store)
            except TimeoutError:
                continue
    assert await content(store) == bytes(40 * CHUNK)


async def test_what_is_not_there_is_not_found(store: BlobStore) -> None:
    with pytest.raises(BlobNotFound):
        await store.stat(KEY)
    with pytest.raises(BlobNotFound):
        await content(store)


async def test_a_key_that_others_lie_below_is_not_found(store: BlobStore, write: Write) -> None:
    await store.put("audio/below/x.dca", write(b"song"))
    with pytest.raises(BlobNotFound):
        await store.stat("audio/below")
    with pytest.raises(BlobNotFound):
        _ = [chunk async for chunk in store.read("audio/below")]
    await store.delete("audio/below")
    assert (await store.stat("audio/below/x.dca")).size == 4


async def test_deleting_twice_is_as_good_as_once(store: BlobStore, write: Write) -> None:
    await store.put(KEY, write(b"song"))
    await store.delete(KEY)
    await store.delete(KEY)
    with pytest.raises(BlobNotFound):
        await store.stat(KEY)


async def test_a_source_that_is_missing_stores_nothing(store: BlobStore, write: Write, tmp_path: Path) -> None:
    await store.put(KEY, write(b"song"))
    with pytest.raises(StorageUnavailable):
        await store.put(KEY, tmp_path / "missing")
    assert await content(store) == b"song"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a/./b",
        "a//b",
        "a/",
        ".hidden",
        "a/.hidden",
        "a\\..\\b",
        "nul\0",
        "line\n",
        "ñ",
        "x" * 201,
        "/".join(["x" * 100] * 6),
    ],
)
async def test_keys_that_are_not_made_from_ids_are_refused(store: BlobStore, write: Write, key: str) -> None:
    source = write(b"song")
    with pytest.raises(ValueError, match="key"):
        await store.put(key, source)
    with pytest.raises(ValueError, match="key"):
        await store.stat(key)
    with pytest.raises(ValueError, match="key"):
        _ = [chunk async for chunk in store.read(key)]
    with pytest.raises(ValueError, match="key"):
        await store.delete(key)
    assert source.read_bytes() == b"song"


async def test_health_tells_that_all_is_well(store: BlobStore) -> None:
    health = await store.health()
    assert health.ok
    assert health.name
    assert not health.error


async def test_what_is_written_is_followed_as_it_comes_to_its_committed_end(store: BlobStore) -> None:
    async with store.grow(KEY) as growing:
        await growing.append(b"first")
        followed = store.follow(KEY)
        assert await anext(followed) == b"first"
        await growing.append(b" second")
        assert await anext(followed) == b" second"
        with pytest.raises(BlobNotFound):
            await content(store)
        await growing.append(b" third")
        stat = await growing.commit()
        assert b"".join([chunk async for chunk in followed]) == b" third"
    assert await content(store) == b"first second third"
    assert await store.stat(KEY) == stat


async def test_a_follower_that_waits_at_the_end_for_now_is_told_of_what_comes(store: BlobStore) -> None:
    async with store.grow(KEY) as growing, asyncio.TaskGroup() as tasks:
        await growing.append(b"1")
        followed = store.follow(KEY)
        await anext(followed)
        rest = tasks.create_task(_rest(followed))
        for _ in range(3):
            await growing.append(b"2" * CHUNK)
        await growing.commit()
    assert rest.result() == b"2" * 3 * CHUNK


async def test_followers_each_get_everything(store: BlobStore) -> None:
    async with store.grow(KEY) as growing, asyncio.TaskGroup() as tasks:
        await growing.append(b"a")
        readers = [tasks.create_task(_rest(store.follow(KEY))) for _ in range(5)]
        await growing.append(b"b")
        await growing.commit()
        assert [await reader for reader in readers] == [b"ab"] * 5


async def test_a_discarded_blob_fails_its_followers_and_leaves_nothing(store: BlobStore) -> None:
    async with store.grow(KEY) as growing:
        await growing.append(b"part")
        followed = store.follow(KEY)
        assert await anext(followed) == b"part"
    with pytest.raises(StorageUnavailable):
        await anext(followed)
    for gone in (store.follow(KEY), store.read(KEY)):
        with pytest.raises(BlobNotFound):
            await anext(gone)


async def test_a_discarded_blob_leaves_what_was_stored_before(store: BlobStore, write: Write) -> None:
    await store.put(KEY, write(b"old"))
    async with store.grow(KEY) as growing:
        await growing.append(b"new")
        assert await content(store) == b"old"
    assert await content(store) == b"old"


async def test_a_commit_replaces_what_was_stored_before(store: BlobStore, write: Write) -> None:
    old = await store.put(KEY, write(b"old"))
    async with store.grow(KEY) as growing:
        await growing.append(b"new")
        new = await growing.commit()
    assert await content(store) == b"new"
    assert new.etag != old.etag


async def test_a_second_writer_supersedes_the_first(store: BlobStore) -> None:
    async with store.grow(KEY) as first:
        await first.append(b"first")
        followed = store.follow(KEY)
        await anext(followed)
        async with store.grow(KEY) as second:
            await second.append(b"second")
            for late in (first.commit(), first.append(b"!"), anext(followed)):
                with pytest.raises(StorageUnavailable):
                    await late
            await second.commit()
    assert await content(store) == b"second"


async def test_only_what_is_being_written_can_be_followed(store: BlobStore, write: Write) -> None:
    await store.put(KEY, write(b"whole"))
    with pytest.raises(BlobNotFound):
        await anext(store.follow(KEY))
    async with store.grow("audio/another.dca") as growing:
        await growing.append(b"another's")
        with pytest.raises(BlobNotFound):
            await anext(store.follow(KEY))


async def test_another_process_follows(settings: SharedSettings, store: BlobStore) -> None:
    async with open_blobs(settings, for_writing=False) as elsewhere, store.grow(KEY) as growing:
        await growing.append(b"seen")
        followed = elsewhere.follow(KEY)
        assert await anext(followed) == b"seen"
        await growing.commit()
        with pytest.raises(StopAsyncIteration):
            await anext(followed)


async def test_a_folder_s_blobs_are_listed(store: BlobStore, write: Write) -> None:
    assert isinstance(store, ListedBlobs)
    assert not [blob async for blob in store.blobs_in("folder")]
    for key in ("folder/one", "folder/deep/two", "folder2/three"):
        await store.put(key, write(b"x"))
    listed = {blob.key: blob.age async for blob in store.blobs_in("folder")}
    assert set(listed) == {"folder/one", "folder/deep/two"}
    assert all(timedelta(0) <= age < timedelta(hours=1) for age in listed.values())
    await store.delete("folder/one")
    assert [blob.key async for blob in store.blobs_in("folder")] == ["folder/deep/two"]
    with pytest.raises(ValueError, match="not a blob key"):
        [blob async for blob in store.blobs_in("../outside")]


@pytest.mark.parametrize("key", ["../outside", ".hidden", ""])
async def test_a_growing_key_is_refused_like_any_other(store: BlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a blob key"):
        async with store.grow(key):
            pass
    with pytest.raises(ValueError, match="not a blob key"):
        store.follow(key)


async def _rest(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])
