"""Frames of a song that is still being made: followed over the real API, however it breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from structlog.typing import EventDict

from audio_service.media.model import Encoding, audio_key, human_size
from audio_service.media.repository.base import Owned, StoredMedia
from bot_service.audio_api import AudioApi, StillBeingMade
from bot_service.player.voice.frames import FrameStore
from common.blobs.base import GrowingBlob
from common.blobs.local.store import open_local
from common.errors import AudioServiceUnavailable, BlobNotFound, MediaNotFound, SourceTruncated
from common.messages.downloads import FileData
from tests.unit.audio_service.api.library import claim, metadata
from tests.unit.bot_service.player import songs
from tests.unit.bot_service.player.sources import Sources, open_sources

ID = "k2qgadSvNyU"
UNFINISHED = replace(songs.track(count=1_000), unfinished=True)
WHOLE = songs.dca(1_000)
FRAMES = songs.frames(1_000)
# The first frames, and a part of the next one.
PART = WHOLE[: len(songs.dca(300)) + 50]


@pytest.fixture(autouse=True)
def logs() -> Generator[list[EventDict]]:
    """What is logged; a traceback that is drawn for a terminal takes seconds."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.player.voice.frames._FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("bot_service.player.voice.frames._LAST_PAUSE_SECONDS", 0.02)


@pytest.fixture
async def sources(tmp_path: Path) -> AsyncGenerator[Sources]:
    async with open_sources(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def attempt(sources: Sources, content: bytes) -> AsyncGenerator[GrowingBlob]:
    """Write a growing copy whose beginning is `content`."""
    async with sources.service.blobs.grow(audio_key(ID)) as growing:
        await growing.append(content)
        yield growing


async def succeed(sources: Sources, owned: Owned) -> None:
    """Make the record a success, whose file is the whole song."""
    try:
        stat = await sources.service.blobs.stat(audio_key(ID))
    except BlobNotFound:
        upload = sources.files.parent / "song.part"
        await asyncio.to_thread(upload.write_bytes, WHOLE)
        stat = await sources.service.blobs.put(audio_key(ID), upload)
    made = StoredMedia(
        metadata=metadata(ID, "Canción"),
        file=FileData(file_path=audio_key(ID), file_size=human_size(stat.size), file_type="audio/dca"),
        size_bytes=stat.size,
        encoding=Encoding("passthrough", "opus 20 ms", len(FRAMES), "00"),
        message="",
    )
    await sources.service.repository.mark_success(ID, owned.fence, made)


async def take(blocks: AsyncIterator[list[bytes]], count: int) -> list[bytes]:
    """Read until there are so many frames."""
    taken: list[bytes] = []
    while len(taken) < count:
        taken += await anext(blocks)
    return taken


async def rest(blocks: AsyncIterator[list[bytes]]) -> list[bytes]:
    return [frame async for block in blocks for frame in block]


async def test_a_song_is_followed_to_its_end_as_it_grows(sources: Sources) -> None:
    await claim(sources.service, ID, "Canción")
    async with attempt(sources, PART) as growing, sources.store.open(UNFINISHED) as blocks:
        assert await take(blocks, 300) == FRAMES[:300]
        await growing.append(WHOLE[len(PART) : -70])
        assert await take(blocks, 699) == FRAMES[300:999]
        await growing.append(WHOLE[-70:])
        await growing.commit()
        assert await rest(blocks) == FRAMES[999:]


async def test_what_was_flushed_is_not_kept_back_until_a_block_is_full(sources: Sources) -> None:
    await claim(sources.service, ID, "Canción")
    async with attempt(sources, WHOLE[: len(songs.dca(3))]), sources.store.open(UNFINISHED) as blocks:
        assert await take(blocks, 3) == FRAMES[:3]


@pytest.mark.parametrize("begun", [True, False])
async def test_an_attempt_that_fails_is_followed_by_the_next_without_a_seam(
    sources: Sources,
    begun: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    owned = await claim(sources.service, ID, "Canción")
    async with sources.store.open(UNFINISHED) as blocks:
        async with attempt(sources, PART):
            assert await take(blocks, 300) == FRAMES[:300]
        reading = asyncio.create_task(take(blocks, 300))
        more = len(songs.dca(600))
        async with attempt(sources, WHOLE[:more] if begun else WHOLE[:1000]) as second:
            await second.append(WHOLE[more if begun else 1000 : more])
            assert await reading == FRAMES[300:600]
            await second.append(WHOLE[more:])
            await second.commit()
            await succeed(sources, owned)
            assert await rest(blocks) == FRAMES[600:]


async def test_a_song_that_is_whole_by_the_time_it_is_asked_for_again_comes_from_the_blob_store(
    sources: Sources,
) -> None:
    await claim(sources.service, ID, "Canción")
    async with sources.store.open(UNFINISHED) as blocks:
        async with attempt(sources, PART):
            assert await take(blocks, 300) == FRAMES[:300]
            songs.stored(sources.files, UNFINISHED, WHOLE)
        assert await rest(blocks) == FRAMES[300:]


async def test_a_song_of_which_there_is_nothing_yet_is_waited_for(sources: Sources) -> None:
    owned = await claim(sources.service, ID, "Canción")
    with pytest.raises(StillBeingMade):
        async with sources.api.audio(ID):
            pass
    async with sources.store.open(UNFINISHED, 700) as blocks:
        reading = asyncio.create_task(take(blocks, 300))
        await succeed(sources, owned)
        assert await reading == FRAMES[700:]


async def test_a_song_that_was_given_up_fails_at_once(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.player.voice.frames._RETRY_SECONDS", 1e6)
    owned = await claim(sources.service, ID, "Canción")
    async with sources.store.open(UNFINISHED) as blocks:
        async with attempt(sources, PART):
            assert await take(blocks, 300) == FRAMES[:300]
            await sources.service.repository.mark_error(ID, owned.fence, error_code="source_truncated", message=".")
        with pytest.raises(MediaNotFound) as caught:
            await rest(blocks)
    assert not isinstance(caught.value, StillBeingMade)


async def test_without_a_new_frame_for_long_it_is_given_up(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.player.voice.frames._RETRY_SECONDS", 0.1)
    await claim(sources.service, ID, "Canción")
    async with sources.store.open(UNFINISHED) as blocks:
        async with attempt(sources, PART):
            assert await take(blocks, 300) == FRAMES[:300]
        with pytest.raises(SourceTruncated, match="no new frame"):
            await rest(blocks)


async def test_the_beginning_of_a_song_that_grows_slowly_is_what_there_is(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_service.player.voice.frames._HEAD_SECONDS", 2.0)
    owned = await claim(sources.service, ID, "Canción")
    async with attempt(sources, PART) as growing:
        head = await sources.store.prefetch(UNFINISHED)
        assert (list(head.frames), head.whole) == (FRAMES[:300], False)
        async with sources.store.open(UNFINISHED, head=head) as blocks:
            assert await anext(blocks) == FRAMES[:300]
            await growing.append(WHOLE[len(PART) :])
            await growing.commit()
            await succeed(sources, owned)
            assert await rest(blocks) == FRAMES[300:]


async def test_nothing_at_all_is_a_beginning_too(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.player.voice.frames._HEAD_SECONDS", 0.05)
    await claim(sources.service, ID, "Canción")
    head = await sources.store.prefetch(UNFINISHED)
    assert (list(head.frames), head.whole) == ([], False)


@pytest.mark.parametrize(("unfinished", "level"), [(True, "debug"), (False, "warning")])
async def test_that_an_unfinished_song_is_in_no_blob_store_warns_nobody(
    sources: Sources,
    unfinished: bool,  # noqa: FBT001 - a parameter of the test
    level: str,
    logs: list[EventDict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await claim(sources.service, ID, "Canción")
    monkeypatch.setattr("bot_service.player.voice.frames._RETRY_SECONDS", 0.0)
    track = replace(UNFINISHED, unfinished=unfinished, file_path="audio/x.dca")
    async with sources.store.open(track) as blocks:
        with pytest.raises(SourceTruncated):
            await rest(blocks)
    assert [line["log_level"] for line in logs if line["event"] == "frames.blob_not_found"] == [level]


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(files: Path, *answers: Answer) -> AsyncGenerator[FrameStore]:
    """A store of nothing, and a service that gives each question its own answer; the last one stays."""
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return await answers[min(asked, len(answers)) - 1](request)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with open_local(files) as blobs, httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            yield FrameStore(blobs, AudioApi(client))
    finally:
        await runner.cleanup()


def breaks_off(after: int, *, length: int | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={} if length is None else {"Content-Length": str(length)})
        if length is None:
            response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(WHOLE[:after])
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def all_of_it(_: web.Request) -> web.StreamResponse:
    return web.Response(body=WHOLE)


async def test_a_service_that_is_away_for_a_moment_is_asked_again_once_the_song_was_begun(tmp_path: Path) -> None:
    async with (
        answering(tmp_path, breaks_off(len(PART)), hangs_up, all_of_it) as store,
        store.open(UNFINISHED) as blocks,
    ):
        assert await rest(blocks) == FRAMES


async def test_a_service_that_is_away_from_the_beginning_is_not_waited_for(tmp_path: Path) -> None:
    async with answering(tmp_path, hangs_up, all_of_it) as store, store.open(UNFINISHED) as blocks:
        with pytest.raises(AudioServiceUnavailable):
            await rest(blocks)


async def test_a_whole_song_that_breaks_off_is_the_players_to_ask_for_again(tmp_path: Path) -> None:
    broken = breaks_off(len(PART), length=len(WHOLE))
    async with answering(tmp_path, broken, all_of_it) as store, store.open(songs.track()) as blocks:
        assert await take(blocks, 300) == FRAMES[:300]
        with pytest.raises(AudioServiceUnavailable):
            await rest(blocks)


@pytest.mark.parametrize(("counts", "whole"), [((10, 40, 60, 700), True), ((10, 40, 40, 700), False)])
async def test_patience_begins_anew_with_every_new_frame(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    counts: tuple[int, ...],
    whole: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """There is just enough of it to ask once in vain."""
    monkeypatch.setattr("bot_service.player.voice.frames._RETRY_SECONDS", 1e-9)
    parts = [breaks_off(len(songs.dca(count))) for count in counts]
    async with answering(tmp_path, *parts, all_of_it) as store, store.open(UNFINISHED, 5) as blocks:
        if whole:
            assert await rest(blocks) == FRAMES[5:]
        else:
            assert await take(blocks, 35) == FRAMES[5:40]
            with pytest.raises(SourceTruncated):
                await rest(blocks)
