"""Frames out of a real local store, and out of a real audio service when that store has not got them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from bot_service.audio_api import AudioApi
from bot_service.player.voice.frames import HEAD_FRAMES, FrameStore, Head
from bot_service.store.base import Track
from common.blobs.base import BlobStat, BlobStore, GrowingBlob
from common.blobs.local.store import open_local
from common.errors import AppError, AudioServiceUnavailable, BlobNotFound, MediaCorrupt, StorageUnavailable
from common.health import Health
from tests.unit.audio_service.api.library import add_song
from tests.unit.bot_service.player import songs
from tests.unit.bot_service.player.sources import Sources, open_sources

ID = "k2qgadSvNyU"


@pytest.fixture
async def sources(tmp_path: Path) -> AsyncGenerator[Sources]:
    async with open_sources(tmp_path) as opened:
        yield opened


async def read(store: FrameStore, track: Track, start: int = 0, head: Head | None = None) -> list[bytes]:
    async with store.open(track, start, head=head) as blocks:
        return [frame async for block in blocks for frame in block]


async def test_a_stored_song_comes_from_the_store_in_blocks(sources: Sources) -> None:
    track = songs.stored(sources.files, songs.track(), songs.dca(2_000))
    async with sources.store.open(track) as blocks:
        found = [block async for block in blocks]
    assert [frame for block in found for frame in block] == songs.frames(2_000)
    assert 8 <= len(found) < 40
    assert all(found)


@pytest.mark.parametrize("start", [0, 1, 777, 1_999, 2_000, 5_000])
async def test_a_song_can_be_opened_at_any_frame(sources: Sources, start: int) -> None:
    track = songs.stored(sources.files, songs.track(), songs.dca(2_000))
    assert await read(sources.store, track, start) == songs.frames(2_000)[start:]


@pytest.mark.parametrize("start", [0, 1_234])
async def test_a_song_that_the_store_lacks_comes_from_the_audio_service(sources: Sources, start: int) -> None:
    await add_song(sources.service, ID, file=songs.dca(2_000))
    assert await read(sources.store, songs.track(), start) == songs.frames(2_000)[start:]


async def test_a_path_that_is_no_key_of_the_store_is_as_good_as_missing(sources: Sources) -> None:
    await add_song(sources.service, ID, file=songs.dca(10))
    elsewhere = Track(ID, "Canción", 200, "", "", "YouTube", "/srv/elsewhere/../song.dca")
    assert await read(sources.store, elsewhere) == songs.frames(10)


class BreakingStore:
    """A store that is cut off after some bytes."""

    def __init__(self, store: BlobStore, after: int) -> None:
        self._store = store
        self._after = after

    async def put(self, key: str, path: Path) -> BlobStat:
        return await self._store.put(key, path)

    async def stat(self, key: str) -> BlobStat:
        return await self._store.stat(key)

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        left = self._after
        async for chunk in self._store.read(key, start=start, length=length):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                raise StorageUnavailable("cut off")

    def grow(self, key: str) -> AbstractAsyncContextManager[GrowingBlob]:
        return self._store.grow(key)

    def follow(self, key: str) -> AsyncIterator[bytes]:
        return self._store.follow(key)

    async def delete(self, key: str) -> None:
        await self._store.delete(key)

    async def health(self) -> Health:
        return await self._store.health()


@pytest.mark.parametrize("after", [1, 100_000, 200_000])
async def test_a_store_that_breaks_off_is_followed_by_the_audio_service_without_a_seam(
    sources: Sources, after: int
) -> None:
    await add_song(sources.service, ID, file=songs.dca(2_000))
    async with open_local(sources.files) as blobs:
        track = songs.stored(sources.files, songs.track(), songs.dca(2_000))
        store = FrameStore(BreakingStore(blobs, after), sources.api)
        assert await read(store, track, 100) == songs.frames(2_000)[100:]


async def test_a_song_that_nobody_has_is_named_so(sources: Sources) -> None:
    with pytest.raises(AppError) as caught:
        await read(sources.store, songs.track())
    assert caught.value.code in {"media_not_found", "blob_not_found"}


async def test_a_record_whose_file_is_gone_is_named_so(sources: Sources) -> None:
    media = await add_song(sources.service, ID)
    await sources.service.blobs.delete(media.file.file_path)
    with pytest.raises(BlobNotFound):
        await read(sources.store, songs.track())


async def test_without_store_and_audio_service_the_service_is_said_to_be_away(tmp_path: Path) -> None:
    async with open_local(tmp_path) as blobs, httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
        with pytest.raises(AudioServiceUnavailable):
            await read(FrameStore(blobs, AudioApi(client)), songs.track())


async def test_a_damaged_file_gives_its_sound_part_and_is_not_fetched_again(sources: Sources) -> None:
    await add_song(sources.service, ID, file=songs.dca(2_000))
    track = songs.stored(sources.files, songs.track(), songs.dca(700)[:-1])
    async with sources.store.open(track, 600) as blocks:
        assert await anext(blocks) == songs.frames(99, first=600)
        with pytest.raises(MediaCorrupt, match="ends in a frame"):
            await anext(blocks)


async def test_a_prefetched_head_is_continued_by_the_file(sources: Sources) -> None:
    track = songs.stored(sources.files, songs.track(), songs.dca(2_000))
    head = await sources.store.prefetch(track)
    assert (list(head.frames), head.whole) == (songs.frames(HEAD_FRAMES), False)
    assert await read(sources.store, track, 0, head) == songs.frames(2_000)
    assert await read(sources.store, track, 120, head) == songs.frames(2_000)[120:]
    assert await read(sources.store, track, 900, head) == songs.frames(2_000)[900:]


async def test_a_short_song_is_prefetched_whole_and_needs_no_file_any_more(sources: Sources) -> None:
    track = songs.stored(sources.files, songs.track(), songs.dca(100))
    head = await sources.store.prefetch(track)
    (sources.files / track.file_path).unlink()
    assert head.whole
    assert await read(sources.store, track, 0, head) == songs.frames(100)


async def test_the_head_of_another_song_is_not_played(sources: Sources) -> None:
    track = songs.stored(sources.files, songs.track(), songs.dca(100))
    other = Head("dQw4w9WgXcQ", songs.frames(5, first=9_000), whole=True)
    assert await read(sources.store, track, 0, other) == songs.frames(100)


async def test_a_reader_that_stops_early_leaves_nothing_open(sources: Sources) -> None:
    track = songs.stored(sources.files, songs.track(), songs.dca(20_000))
    before = len(await asyncio.to_thread(lambda: list(Path("/proc/self/fd").iterdir())))
    for _ in range(5):
        async with sources.store.open(track) as blocks:
            assert await anext(blocks) == songs.frames(250)
    after = len(await asyncio.to_thread(lambda: list(Path("/proc/self/fd").iterdir())))
    assert after == before


async def test_the_last_second_of_three_hours_is_found_while_others_have_their_turns(sources: Sources) -> None:
    count = 540_000
    track = songs.stored(sources.files, songs.track(count=count), songs.dca(count, size=60))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)  # a turn of the loop is what is counted

    async with asyncio.TaskGroup() as tasks:
        competitor = tasks.create_task(others())
        assert await read(sources.store, track, count - 50) == songs.frames(50, first=count - 50, size=60)
        competitor.cancel()
    assert turns > 60
