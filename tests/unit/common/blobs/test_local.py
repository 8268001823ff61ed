"""What only the local store promises: how files get on the disk, and what happens when it is full or gone."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.blobs.base import BlobStore
from common.blobs.local.store import open_local
from common.blobs.local.write import INCOMING, LEFTOVER_SECONDS
from common.errors import BlobNotFound, StorageFull, StorageUnavailable
from tests.servers.reaper import child_environment

KEY = "audio/id.dca"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
async def store(root: Path) -> AsyncGenerator[BlobStore]:
    async with open_local(root) as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"song")
    path.chmod(0o600)
    return path


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_a_file_on_the_same_device_is_moved(store: BlobStore, root: Path, source: Path) -> None:
    inode = source.stat().st_ino
    await store.put(KEY, source)
    assert not source.exists()
    assert (root / KEY).stat().st_ino == inode


async def test_a_file_that_cannot_be_moved_is_copied(store: BlobStore, root: Path, source: Path) -> None:
    other_name = source.with_name("other name")
    other_name.hardlink_to(source)
    await store.put(KEY, source)
    other_name.write_bytes(b"changed afterwards")
    assert (root / KEY).read_bytes() == b"song"
    assert files(root) == [KEY]


async def test_a_file_on_another_device_is_copied(store: BlobStore, root: Path) -> None:
    source = Path("/dev/shm") / f"butakero-{os.getpid()}"  # noqa: S108 - another device is what this is about
    try:
        source.write_bytes(b"song")
        if source.stat().st_dev == root.stat().st_dev:
            pytest.skip("needs two file systems: /dev/shm is on the one where temporary files are")
        await store.put(KEY, source)
        assert (root / KEY).read_bytes() == b"song"
        assert files(root) == [KEY]
    finally:
        source.unlink(missing_ok=True)


async def test_a_link_is_followed_and_not_stored(store: BlobStore, root: Path, source: Path) -> None:
    link = source.with_name("link")
    link.symlink_to(source)
    await store.put(KEY, link)
    assert not (root / KEY).is_symlink()
    assert source.exists()


async def test_other_users_may_read_what_is_stored(store: BlobStore, root: Path, source: Path) -> None:
    await store.put(KEY, source)
    assert (root / KEY).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("number", "links"), [(errno.ENOSPC, 1), (errno.ENOSPC, 2), (errno.EDQUOT, 2)])
async def test_a_full_disk_leaves_what_was_there(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch, number: int, links: int
) -> None:
    before = source.with_name("before")
    before.write_bytes(b"before")
    if links > 1:
        source.with_name("second name").hardlink_to(source)

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    async with open_local(root) as store:
        stat = await store.put(KEY, before)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StorageFull):
                await store.put(KEY, source)
        assert files(root) == [KEY]
        assert await store.stat(KEY) == stat
        await store.put(KEY, source)
        assert (root / KEY).read_bytes() == b"song"


@dataclass(frozen=True, slots=True)
class Sync:
    """One fsync: the path that it was of, its size and mtime then, and what was stored under KEY then."""

    path: str
    size: int
    mtime_ns: int
    stored: bytes | None


@pytest.fixture
def syncs(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sync]:
    """Note each fsync below the store, which is carried out all the same."""
    seen: list[Sync] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path, found = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor)
        stored = (root / KEY).read_bytes() if (root / KEY).exists() else None
        seen.append(Sync(os.path.relpath(path, root), found.st_size, found.st_mtime_ns, stored))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return seen


async def put_moved(store: BlobStore, source: Path) -> None:
    await store.put(KEY, source)


async def put_copied(store: BlobStore, source: Path) -> None:
    source.with_name("second name").hardlink_to(source)
    await store.put(KEY, source)


async def grown(store: BlobStore, source: Path) -> None:
    async with store.grow(KEY) as growing:
        await growing.append(source.read_bytes())
        await growing.commit()


@pytest.mark.parametrize("write", [put_moved, put_copied, grown])
async def test_a_file_is_on_the_disk_before_it_has_its_key_and_the_key_before_the_call_returns(
    store: BlobStore, root: Path, source: Path, syncs: list[Sync], write: Callable[[BlobStore, Path], Awaitable[None]]
) -> None:
    for before, content in ((None, b"song"), (b"song", b"another song")):
        source.write_bytes(content)
        source.with_name("second name").unlink(missing_ok=True)
        syncs.clear()
        await write(store, source)
        file = next(sync for sync in syncs if sync.path not in (".", "audio"))
        assert file.path != KEY
        assert (file.size, file.stored) == (len(content), before), "complete, and not under its key yet"
        assert file.mtime_ns == (root / KEY).stat().st_mtime_ns, "the etag is made of it"
        assert (syncs[-1].path, syncs[-1].stored) == ("audio", content)
        assert [sync.path for sync in syncs].count(".") == (before is None), "a new directory's entry is synced too"


async def test_a_deletion_is_on_the_disk_before_the_call_returns(
    store: BlobStore, source: Path, syncs: list[Sync]
) -> None:
    await store.put(KEY, source)
    syncs.clear()
    await store.delete(KEY)
    assert [(sync.path, sync.stored) for sync in syncs] == [("audio", None)]


async def test_leftovers_of_dead_writers_are_swept_and_no_others(root: Path) -> None:
    incoming = root / INCOMING
    incoming.mkdir(parents=True)
    long_ago = time.time() - LEFTOVER_SECONDS - 10
    for name in ("dead", "busy", "young"):
        (incoming / name).write_bytes(b"partial")
        if name != "young":
            os.utime(incoming / name, (long_ago, long_ago))
    with (incoming / "busy").open("rb") as busy:
        fcntl.flock(busy.fileno(), fcntl.LOCK_EX)
        async with open_local(root):
            pass
    assert sorted(path.name for path in incoming.iterdir()) == ["busy", "young"]


async def test_a_path_that_cannot_be_used_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    for path in (tmp_path / "file", tmp_path / "file" / "storage"):
        with pytest.raises(StorageUnavailable, match="LOCAL_STORAGE_PATH"):
            async with open_local(path):
                pass


async def test_health_tells_how_much_room_there_is(store: BlobStore, root: Path) -> None:
    health = await store.health()
    assert health.name == "local_storage"
    assert 0 < health.metadata["free_bytes"] <= health.metadata["total_bytes"]
    assert files(root) == []


async def test_health_of_a_store_whose_directory_is_gone_is_not_well(
    store: BlobStore, root: Path, source: Path
) -> None:
    shutil.rmtree(root)
    health = await store.health()
    assert not health.ok
    assert "LOCAL_STORAGE_PATH" in health.error
    with pytest.raises(BlobNotFound):
        await store.stat(KEY)
    with pytest.raises(StorageUnavailable):
        await store.put(KEY, source)


async def test_a_file_that_is_cut_while_it_is_read_fails_its_reader(store: BlobStore, root: Path, source: Path) -> None:
    source.write_bytes(bytes(4 * 1024 * 1024))
    await store.put(KEY, source)
    chunks = store.read(KEY)
    await anext(chunks)
    os.truncate(root / KEY, 1024 * 1024)
    with pytest.raises(StorageUnavailable, match="short"):
        async for _ in chunks:
            pass


async def test_reading_leaves_no_descriptor_open(store: BlobStore, source: Path) -> None:
    await store.put(KEY, source)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one look at the process, not a tree walk
    for _ in range(20):
        assert [chunk async for chunk in store.read(KEY)] == [b"song"]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


async def test_a_store_that_is_opened_for_reading_is_not_touched_and_may_come_later(root: Path) -> None:
    async with open_local(root, for_writing=False) as store:
        missing = await store.health()
        with pytest.raises(BlobNotFound):
            await store.stat(KEY)
        assert not root.exists()
        (root / KEY).parent.mkdir(parents=True)
        (root / KEY).write_bytes(b"song")
        assert (await store.health()).ok
        assert b"".join([chunk async for chunk in store.read(KEY)]) == b"song"
        assert [path.name for path in root.iterdir()] == ["audio"]
    assert (missing.ok, "LOCAL_STORAGE_PATH" in missing.error) == (False, True)


async def test_a_follower_hears_of_the_death_of_its_writer(root: Path) -> None:
    async with open_local(root) as store:
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITER, str(root), KEY, stdout=asyncio.subprocess.PIPE, env=child_environment()
        )
        assert writer.stdout is not None
        await writer.stdout.readline()
        followed = store.follow(KEY)
        assert await anext(followed) == b"part"
        writer.kill()
        await writer.wait()
        with pytest.raises(StorageUnavailable, match="discarded"):
            await anext(followed)
        with pytest.raises(BlobNotFound):
            await anext(store.follow(KEY))
        assert len(files(root)) == 1
    async with open_local(root):
        assert files(root) == []


async def test_what_is_appended_and_committed_between_two_looks_of_a_follower_is_not_missed(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, read = asyncio.get_running_loop(), os.read
    async with store.grow(KEY) as growing:

        async def write_the_rest() -> None:
            await growing.append(b" rest")
            await growing.commit()

        def read_and_let_it_be_committed(descriptor: int, count: int) -> bytes:
            """Return the end of the file as it was; the second time, when nothing was read before it, commit first."""
            data = read(descriptor, count)
            if not data:
                ends.append(len(ends))
                if len(ends) == 2:
                    asyncio.run_coroutine_threadsafe(write_the_rest(), loop).result()
            return data

        ends: list[int] = []
        await growing.append(b"first")
        monkeypatch.setattr(os, "read", read_and_let_it_be_committed)
        async with asyncio.timeout(60):
            assert b"".join([chunk async for chunk in store.follow(KEY)]) == b"first rest"
        assert len(ends) > 2


async def test_a_full_disk_ends_a_growing_blob_and_leaves_nothing(
    store: BlobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with store.grow(KEY) as growing:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(StorageFull):
                await growing.append(b"too much")
    assert files(root) == []


async def test_a_commit_that_was_cancelled_leaves_all_or_nothing(store: BlobStore, root: Path) -> None:
    async with store.grow(KEY) as growing:
        await growing.append(b"song")
        committing = asyncio.create_task(growing.commit())
        await asyncio.sleep(0)  # it has begun
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, lambda: None)
    await loop.shutdown_default_executor()
    assert files(root) in ([], [KEY])


_WRITER = """
import asyncio, pathlib, sys
from common.blobs.local.store import open_local
async def main():
    async with open_local(pathlib.Path(sys.argv[1])) as store, store.grow(sys.argv[2]) as growing:
        await growing.append(b"part")
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
