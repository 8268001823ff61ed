"""What every blob store keeps. An adapter adds an entry to ADAPTERS, and no test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from common.blobs import open_blobs
from common.blobs.base import BlobStore
from common.errors import BlobNotFound, StorageUnavailable
from common.settings import SharedSettings

KEY = "audio/k2qgadSvNyU.dca"
CHUNK = 64 * 1024


def local(directory: Path) -> SharedSettings:
    return SharedSettings(storage_backend="local", local_storage_path=directory / "made" / "storage")


ADAPTERS: dict[str, Callable[[Path], SharedSettings]] = {"local": local}


@pytest.fixture(params=sorted(ADAPTERS))
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> SharedSettings:
    return ADAPTERS[str(request.param)](tmp_path)


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
