"""A file behind a presigned URL, as the child reads it: on a real S3 server, and on servers that misbehave."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

import httpx
import pytest

from audio_service.audio.base import EncodeOptions, WholeFileNeededError
from audio_service.audio.message import Message, make_message
from audio_service.sources.remote_file import LARGEST_PIECE, ReadInOrder, RemoteBlob, RemoteFile, open_remote
from common.blobs import open_blobs
from common.blobs.presigned import PresignedUrls
from common.errors import AppError, StorageUnavailable, UploadMismatch, UploadMissing
from common.settings import SharedSettings
from tests.servers.buckets import bucket_keys, make_bucket
from tests.servers.emulators import Emulator
from tests.servers.media_files import make

KEY = "quarantine/upload"
MEGABYTE = 1024 * 1024
DATA = random.Random(1).randbytes(3 * MEGABYTE)


@asynccontextmanager
async def stored(server: Emulator, path: Path) -> AsyncGenerator[tuple[RemoteBlob, Callable[[Path], object]]]:
    """Put a file into a bucket; yield where it is, and what replaces it."""
    settings = SharedSettings(**bucket_keys(server))
    await make_bucket(settings)
    async with open_blobs(settings) as store:
        assert isinstance(store, PresignedUrls)
        found = await store.put(KEY, path)
        url = await store.presign_get(KEY, seconds=600)
        yield RemoteBlob(url, found.size, found.etag), lambda other: store.put(KEY, other)


def answering(*answers: httpx.Response | Exception) -> tuple[RemoteFile, list[httpx.Request]]:
    """Return a file of 10 bytes whose server answers one after the other, and the requests that it got."""
    asked: list[httpx.Request] = []
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    client = httpx.Client(transport=httpx.MockTransport(answer))
    return RemoteFile(RemoteBlob("http://store.test/key?signed", 10, "abc"), client, (0, 0, 0)), asked


async def test_it_reads_as_a_local_file_does(tmp_path: Path, seaweedfs: Emulator) -> None:
    local = tmp_path / "file"
    local.write_bytes(DATA)
    source = random.Random(2)

    def same(blob: RemoteBlob) -> None:
        with open_remote(blob) as remote:
            plain = io.BytesIO(DATA)
            for _ in range(40):
                offset, size = source.randrange(len(DATA) + 10), source.choice([0, 1, 4096, 300_000])
                assert remote.seek(offset) == plain.seek(offset)
                for _ in range(source.randrange(4)):
                    assert remote.read(size) == plain.read(size)
                assert remote.tell() == min(plain.tell(), max(offset, len(DATA)))
            assert (remote.seek(-5, io.SEEK_END), remote.read()) == (len(DATA) - 5, DATA[-5:])

    async with stored(seaweedfs, local) as (blob, _):
        await asyncio.to_thread(same, blob)


@pytest.mark.parametrize(
    ("kind", "demuxer"),
    [
        ("m4a", "mov"),
        ("m4a_faststart", "mov"),
        ("webm_opus", "matroska"),
        ("mp3", "mp3"),
        ("wav", "wav"),
        ("ogg_opus", "ogg"),
    ],
)
async def test_a_message_costs_hardly_more_than_its_bytes(
    tmp_path: Path, seaweedfs: Emulator, kind: str, demuxer: str
) -> None:
    song = make(kind, tmp_path, seconds=30, sound="noise")

    def read(blob: RemoteBlob) -> tuple[int, int]:
        with open_remote(blob) as remote:
            file = cast("BinaryIO", remote)
            try:
                made = message(cast("BinaryIO", ReadInOrder(file)), demuxer)
            except WholeFileNeededError:
                file.seek(0)
                made = message(file, demuxer)
            return made.duration_ms, remote.bytes_fetched

    def message(file: BinaryIO, demuxer: str) -> Message:
        options = EncodeOptions(max_duration_ms=600_000, complexity=0)
        with TemporaryDirectory(dir=tmp_path) as out:
            return make_message(file, Path(out), demuxer=demuxer, options=options, on_played=lambda _made, _all: None)

    async with stored(seaweedfs, song) as (blob, _):
        duration_ms, fetched = await asyncio.to_thread(read, blob)
    assert abs(duration_ms - 30_000) < 100
    assert fetched <= song.stat().st_size * 1.02


async def test_a_file_that_is_replaced_meanwhile_is_noticed(tmp_path: Path, seaweedfs: Emulator) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(DATA)
    second.write_bytes(DATA[::-1])
    async with stored(seaweedfs, first) as (blob, replace):
        with open_remote(blob) as remote:
            assert await asyncio.to_thread(remote.read, 4) == DATA[:4]
            await replace(second)  # type: ignore[misc]
            remote.seek(2 * MEGABYTE)
            with pytest.raises(UploadMismatch):
                await asyncio.to_thread(remote.read, 4)


def test_a_store_that_is_busy_or_hangs_up_is_asked_again() -> None:
    whole = httpx.Response(206, content=b"0123456789")
    remote, asked = answering(httpx.Response(503), httpx.ReadError("hung up"), httpx.Response(429), whole)
    assert remote.read(4) == b"0123"
    assert len(asked) == 4
    assert {request.headers["Range"] for request in asked} == {"bytes=0-9"}
    assert {request.headers["If-Match"] for request in asked} == {'"abc"'}
    assert (remote.seek(2), remote.read(), remote.read()) == (2, b"23456789", b"")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(412), UploadMismatch),
        (httpx.Response(404), UploadMissing),
        (httpx.Response(403), StorageUnavailable),
        (httpx.Response(200, content=b"0123456789"), StorageUnavailable),
        (httpx.Response(206, content=b"012"), StorageUnavailable),
    ],
)
def test_any_other_answer_ends_it(answer: httpx.Response, error: type[AppError]) -> None:
    remote, asked = answering(answer)
    with pytest.raises(error):
        remote.read(4)
    assert len(asked) == 1


def test_pieces_grow_while_it_is_read_forward_and_are_small_after_a_jump() -> None:
    lengths: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        lengths.append(last - first + 1)
        return httpx.Response(206, content=bytes(lengths[-1]))

    blob = RemoteBlob("http://store.test/key", 100 * MEGABYTE, "abc")
    remote = RemoteFile(blob, httpx.Client(transport=httpx.MockTransport(answer)))
    while remote.tell() < 20 * MEGABYTE:
        remote.read(32 * 1024)
    assert lengths[0] < lengths[1] < lengths[2]
    assert max(lengths) == lengths[-1] == LARGEST_PIECE
    remote.seek(-8, io.SEEK_END)
    remote.read(4)
    assert lengths[-1] == 8
    remote.seek(50 * MEGABYTE)
    remote.read(4)
    assert lengths[-1] == lengths[0]
