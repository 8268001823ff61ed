"""A song in the making grows in the store, whatever becomes of its drafts."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from audio_service.audio.drafts import Drafts
from audio_service.pipelines.early_song import EarlySong, early_song
from common.blobs.base import BlobStore
from common.blobs.local.growing import LocalGrowingBlob
from common.blobs.local.store import open_local
from common.dca import DcaMetadata, DcaWriter
from common.errors import BlobNotFound, StorageUnavailable

KEY = "audio/song.dca"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
async def blobs(root: Path) -> AsyncGenerator[BlobStore]:
    async with open_local(root) as store:
        yield store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "job"
    path.mkdir()
    return path


async def whole(blobs: BlobStore) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(KEY)])


async def test_what_is_written_is_heard_before_it_is_whole(blobs: BlobStore, directory: Path) -> None:
    playable = asyncio.Event()
    async with early_song(blobs, KEY, directory, playable.set) as song:
        with Drafts(directory) as drafts:
            drafts.write(b"beginning")
            song.can_be_heard(drafts.number)
            await playable.wait()
            followed = blobs.follow(KEY)
            assert await anext(followed) == b"beginning"
            drafts.write(b" and end")
        await song.store(drafts.path)
        assert b"".join([chunk async for chunk in followed]) == b" and end"
    assert await whole(blobs) == b"beginning and end"


async def test_a_song_of_which_nothing_was_announced_is_stored_as_it_is(
    blobs: BlobStore, directory: Path, root: Path
) -> None:
    async with early_song(blobs, KEY, directory, _never) as song:
        with Drafts(directory) as drafts:
            drafts.write(b"short")
        inode = drafts.path.stat().st_ino
        await song.store(drafts.path)
    assert await whole(blobs) == b"short"
    assert (root / KEY).stat().st_ino == inode


async def test_an_encoder_that_begins_again_is_followed_from_the_beginning(blobs: BlobStore, directory: Path) -> None:
    playable: asyncio.Queue[None] = asyncio.Queue()
    async with early_song(blobs, KEY, directory, lambda: playable.put_nowait(None)) as song:
        with Drafts(directory) as drafts:
            drafts.write(b"first draft")
            song.can_be_heard(drafts.number)
            await playable.get()
            followed = blobs.follow(KEY)
            assert await anext(followed) == b"first draft"
            drafts.truncate()
            drafts.write(b"second")
            song.can_be_heard(drafts.number)
            await playable.get()
            with pytest.raises(StorageUnavailable):
                await anext(followed)
            again = blobs.follow(KEY)
            assert await anext(again) == b"second"
        await song.store(drafts.path)
        with pytest.raises(StopAsyncIteration):
            await anext(again)
    assert await whole(blobs) == b"second"


async def test_a_draft_that_was_never_announced_is_stored_and_not_the_one_before(
    blobs: BlobStore, directory: Path
) -> None:
    playable = asyncio.Event()
    async with early_song(blobs, KEY, directory, playable.set) as song:
        with Drafts(directory) as drafts:
            drafts.write(b"a long first draft")
            song.can_be_heard(drafts.number)
            await playable.wait()
            followed = blobs.follow(KEY)
            await anext(followed)
            drafts.truncate()
            drafts.write(b"whole")
        await song.store(drafts.path)
    assert await whole(blobs) == b"whole"
    with pytest.raises(StorageUnavailable):
        await anext(followed)


async def test_the_store_is_told_for_how_long_listeners_have_enough(
    blobs: BlobStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    append = LocalGrowingBlob.append

    async def note(self: LocalGrowingBlob, data: bytes, *, lasts: float = 0.0) -> None:
        told.append(lasts)
        await append(self, data, lasts=lasts)

    monkeypatch.setattr(LocalGrowingBlob, "append", note)
    playable = asyncio.Event()
    song_of_ten_minutes = io.BytesIO()
    writer = DcaWriter(song_of_ten_minutes, DcaMetadata())
    for _ in range(30_000):
        writer.write(b"opus")
    writer.flush()
    async with early_song(blobs, KEY, directory, playable.set) as song:
        with Drafts(directory) as drafts:
            drafts.write(song_of_ten_minutes.getvalue())
            song.can_be_heard(drafts.number)
            await playable.wait()
        await song.store(drafts.path)
    assert len(told) == 1
    assert 300 < told[0] <= 600, "less the time since the first of it could be heard"


async def test_a_job_that_fails_leaves_no_half_song(blobs: BlobStore, directory: Path, root: Path) -> None:
    playable = asyncio.Event()

    async def fail() -> None:
        async with early_song(blobs, KEY, directory, playable.set) as song:
            with Drafts(directory) as drafts:
                drafts.write(b"half")
                song.can_be_heard(drafts.number)
                await playable.wait()
                raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    with pytest.raises(BlobNotFound):
        await anext(blobs.follow(KEY))
    assert [path for path in root.rglob("*") if path.is_file()] == []


async def test_a_copy_that_cannot_grow_costs_the_early_start_only(
    blobs: BlobStore, directory: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if root not in Path(f"/proc/self/fd/{descriptor}").readlink().parents:
            return write(descriptor, data)
        loop.call_soon_threadsafe(tried.set)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with early_song(blobs, KEY, directory, _never) as song:
        with Drafts(directory) as drafts:
            drafts.write(b"song")
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", full)
                song.can_be_heard(drafts.number)
                await tried.wait()
                await song.store(drafts.path)
    assert await whole(blobs) == b"song"


async def test_storing_waits_for_a_copy_that_is_far_behind(blobs: BlobStore, directory: Path) -> None:
    data = os.urandom(5 * 1024 * 1024)
    song = EarlySong(blobs, KEY, directory, lambda: None)
    with Drafts(directory) as drafts:
        drafts.write(data)
    song.can_be_heard(drafts.number)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(song.run())
        await song.store(drafts.path)
        assert await whole(blobs) == data


def _never() -> None:
    raise AssertionError("nothing was to be heard")
