from __future__ import annotations

import asyncio
import io
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from audio_service.media.model import audio_key
from common.dca import DcaReader
from tests.unit.audio_service.api.library import Api, add_failure, add_song, claim, dca, served
from tests.unit.audio_service.api.ogg_file import packets_of
from tests.waiting import until

URL = "/api/v1/media/song/audio"
OGG = "/api/v1/media/song/audio.ogg"
FILE = dca(100)


async def get(api: Api, url: str = URL, **headers: str) -> httpx.Response:
    return await api.client.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_the_file_is_sent_unchanged(api: Api) -> None:
    await add_song(api.deps, "song", file=FILE)
    answer = await get(api)
    assert (answer.status_code, answer.content) == (200, FILE)
    assert answer.headers["content-type"] == "audio/dca"
    assert answer.headers["content-length"] == str(len(FILE))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["etag"].startswith('"')
    assert answer.headers["etag"].endswith('"')


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, len(FILE)),
        ("bytes=-7", len(FILE) - 7, len(FILE)),
        (f"bytes=-{len(FILE) * 2}", 0, len(FILE)),
        (f"bytes=5-{len(FILE) * 2}", 5, len(FILE)),
        (f"bytes={len(FILE) - 1}-", len(FILE) - 1, len(FILE)),
        (f"bytes=0-{'9' * 5000}", 0, len(FILE)),
        ("BYTES=1-2", 1, 3),
    ],
)
async def test_a_single_range_is_answered_with_its_bytes(api: Api, value: str, start: int, end: int) -> None:
    await add_song(api.deps, "song", file=FILE)
    answer = await get(api, range=value)
    assert (answer.status_code, answer.content) == (206, FILE[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(FILE)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "value", [f"bytes={len(FILE)}-", f"bytes={'9' * 5000}-", "bytes=-0", f"bytes={len(FILE)}-{len(FILE) + 5}"]
)
async def test_a_range_after_the_end_is_not_satisfiable(api: Api, value: str) -> None:
    await add_song(api.deps, "song", file=FILE)
    answer = await get(api, range=value)
    assert (answer.status_code, answer.json()["error"]["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(FILE)}"


@pytest.mark.parametrize(
    "value", ["bytes=0-1,5-6", "bytes=", "bytes=-", "bytes=5-2", "items=0-1", "bytes=a-b", "bytes=²-3"]
)
async def test_several_or_malformed_ranges_get_the_whole_file(api: Api, value: str) -> None:
    await add_song(api.deps, "song", file=FILE)
    answer = await api.client.get(URL, headers={b"range": value.encode("latin-1")})
    assert (answer.status_code, answer.content) == (200, FILE)


async def test_if_range_of_another_version_gets_the_whole_file(api: Api) -> None:
    await add_song(api.deps, "song", file=FILE)
    etag = (await get(api)).headers["etag"]
    assert (await get(api, range="bytes=0-3", if_range=etag)).status_code == 206
    for other in ('"other"', f"W/{etag}", "Sat, 21 Nov 2026 00:00:00 GMT"):
        answer = await get(api, range="bytes=0-3", if_range=other)
        assert (answer.status_code, answer.content) == (200, FILE)


@pytest.mark.parametrize("url", [URL, OGG])
async def test_a_current_copy_is_not_sent_again(api: Api, url: str) -> None:
    await add_song(api.deps, "song", file=FILE)
    etag = (await get(api, url)).headers["etag"]
    for value in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await get(api, url, if_none_match=value)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert (await get(api, url, if_none_match='"other"')).status_code == 200


async def test_the_two_forms_of_a_song_have_different_tags_and_a_new_file_a_new_one(api: Api, tmp_path: Path) -> None:
    await add_song(api.deps, "song", file=FILE)
    before = (await get(api)).headers["etag"]
    assert (await get(api, OGG)).headers["etag"] != before
    replacement = tmp_path / "new"
    await asyncio.to_thread(replacement.write_bytes, FILE[:-1] + b"\x00")
    await api.deps.blobs.put(audio_key("song"), replacement)
    assert (await get(api)).headers["etag"] != before


async def test_head_has_the_size_and_no_body(api: Api) -> None:
    await add_song(api.deps, "song", file=FILE)
    answer = await api.client.head(URL, headers={"range": "bytes=0-3"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(FILE))
    ogg = await api.client.head(OGG)
    assert (ogg.status_code, ogg.headers["content-type"]) == (200, "audio/ogg")


@pytest.mark.parametrize("url", [URL, OGG])
async def test_there_is_no_file_without_a_successful_record(api: Api, url: str) -> None:
    missing = await get(api, url)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "media_not_found")
    await add_failure(api.deps, "song")
    failed = await get(api, url)
    assert (failed.status_code, failed.json()["error"]["status"]) == (404, "error")
    await claim(api.deps, "next", "again")
    going = await get(api, url.replace("song", "next"))
    assert (going.status_code, going.json()["error"]["status"]) == (404, "processing")


@pytest.mark.parametrize("url", [URL, OGG])
async def test_a_missing_file_is_blob_not_found(api: Api, url: str) -> None:
    await add_song(api.deps, "song")
    await api.deps.blobs.delete(audio_key("song"))
    answer = await get(api, url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "blob_not_found")


async def test_an_empty_file_is_sent_whole_and_has_no_ranges(api: Api) -> None:
    await add_song(api.deps, "song", file=b"")
    assert ((await get(api)).status_code, (await get(api)).content) == (200, b"")
    assert (await get(api, range="bytes=0-")).status_code == 416
    assert (await get(api, range="bytes=-5")).status_code == 416


async def test_the_ogg_file_has_the_same_packets(api: Api) -> None:
    await add_song(api.deps, "song", file=dca(5000))
    answer = await get(api, OGG)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/ogg")
    assert packets_of(answer.content)[2:] == list(DcaReader(io.BytesIO(dca(5000))))


async def test_a_file_that_is_not_dca_cannot_become_ogg(api: Api) -> None:
    await add_song(api.deps, "song", file=b"RIFF, not DCA at all")
    answer = await get(api, OGG)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "media_corrupt")


async def test_an_ogg_file_is_cut_where_its_dca_is_damaged(api: Api) -> None:
    """A regular end would make a part look complete."""
    await add_song(api.deps, "song", file=dca(5000)[:-1])
    async with served(api.app) as (host, port), httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(OGG)
        assert (await client.get("/livez")).status_code == 200


async def test_many_readers_at_once_each_get_their_own_part(api: Api) -> None:
    file = dca(3000)
    await add_song(api.deps, "song", file=file)

    async def part(client: httpx.AsyncClient, start: int) -> bytes:
        answer = await client.get(URL, headers={"range": f"bytes={start}-{start + 9999}"})
        assert answer.status_code == 206
        return answer.content

    async with served(api.app) as (host, port), httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
        parts = await asyncio.gather(*(part(client, start) for start in range(0, len(file), 10_000)))
    assert b"".join(parts) == file


async def test_more_ogg_readers_than_threads_all_finish(api: Api) -> None:
    await add_song(api.deps, "song", file=dca(2000))
    answers = await asyncio.gather(*(get(api, OGG) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("url", [URL, OGG])
async def test_a_client_that_disconnects_leaves_no_open_file(api: Api, url: str) -> None:
    await add_song(api.deps, "song", file=dca(60_000))  # 10 MB: more than socket buffers take
    async with served(api.app) as (host, port):
        for _ in range(5):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readexactly(10_000)
            assert open_files(api.root), "the file is open while it is sent"
            writer.transport.abort()
        await until(lambda: not open_files(api.root))
        await until(lambda: api.deps.registry.get_sample_value("butakero_http_client_disconnects_total") == 5)


async def test_a_connection_serves_one_file_after_another(api: Api) -> None:
    await add_song(api.deps, "song", file=FILE)
    async with served(api.app) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        request = f"GET {URL} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        writer.write(request * 3)  # pipelined
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(FILE)) == FILE
        writer.close()
        await writer.wait_closed()


def open_files(root: Path) -> list[str]:
    """The stored audio files that this process holds open."""
    found: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(root)) and target.endswith(".dca"):
            found.append(target)
    return found


async def test_a_song_that_is_being_encoded_is_followed_to_its_end(api: Api) -> None:
    await claim(api.deps, "song", "Canción")
    async with api.deps.blobs.grow(audio_key("song")) as growing, served(api.app) as (host, port):
        await growing.append(FILE[:500])
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("GET", f"http://{host}:{port}{URL}", headers={"Range": "bytes=3-"}) as answer,
        ):
            body = answer.aiter_raw()
            assert await anext(body) == FILE[:500]
            await growing.append(FILE[500:])
            await growing.commit()
            assert b"".join([block async for block in body]) == FILE[500:]
    assert answer.status_code == 200
    assert "content-length" not in answer.headers
    assert "etag" not in answer.headers
    assert (answer.headers["cache-control"], answer.headers["accept-ranges"]) == ("no-store", "none")
    assert answer.headers["content-type"] == "audio/dca"


async def test_an_abandoned_song_cuts_the_connection(api: Api) -> None:
    await claim(api.deps, "song", "Canción")
    async with served(api.app) as (host, port), httpx.AsyncClient(trust_env=False) as client, AsyncExitStack() as stack:
        growing = await stack.enter_async_context(api.deps.blobs.grow(audio_key("song")))
        await growing.append(FILE[:500])
        async with client.stream("GET", f"http://{host}:{port}{URL}") as answer:
            body = answer.aiter_raw()
            assert await anext(body) == FILE[:500]
            with capture_logs() as logs:
                await stack.aclose()
                with pytest.raises(httpx.RemoteProtocolError):
                    await anext(body)
                await until(lambda: logs)
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [("warning", "http.cut")]


async def test_head_of_a_song_that_is_being_encoded_has_no_length(api: Api) -> None:
    await claim(api.deps, "song", "Canción")
    async with api.deps.blobs.grow(audio_key("song")) as growing:
        await growing.append(FILE[:500])
        answer = await api.client.head(URL)
    assert (answer.status_code, answer.content) == (200, b"")
    assert "content-length" not in answer.headers


async def test_a_song_without_readable_audio_is_not_found_and_processing(api: Api) -> None:
    await claim(api.deps, "song", "Canción")
    answer = await get(api)
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "processing")


async def test_a_song_that_is_being_encoded_has_no_ogg_yet(api: Api) -> None:
    await claim(api.deps, "song", "Canción")
    async with api.deps.blobs.grow(audio_key("song")) as growing:
        await growing.append(FILE[:500])
        assert (await get(api, OGG)).status_code == 404
