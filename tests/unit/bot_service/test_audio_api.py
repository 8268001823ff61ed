"""The client against the audio service's real API, and against servers that are not well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from audio_service.access.key_file import change_keys
from audio_service.access.keys import KeyList, new_key
from bot_service import audio_api as audio_api_module
from bot_service.audio_api import AudioApi, AudioHealth, MediaRecord, open_audio_api
from bot_service.settings import BotSettings
from common.errors import AudioServiceUnavailable, InvalidInput, MediaNotFound, UrlNotAllowed
from common.settings import load
from common.settings_errors import SettingsError
from tests.servers.ports import free_port
from tests.unit.audio_service.api.library import add_failure, add_song, dca
from tests.unit.bot_service.audio import Audio, open_audio

SONG = "k2qgadSvNyU"


@pytest.fixture
async def audio(tmp_path: Path) -> AsyncGenerator[Audio]:
    async with open_audio(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def answering(handler: object) -> AsyncGenerator[AudioApi]:
    """A client of a server that answers everything with `handler`."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)  # pyright: ignore[reportArgumentType] - aiohttp checks it
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with open_audio_api(f"http://{host}:{port}") as client:
            yield client
    finally:
        await runner.cleanup()


async def whole(body: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in body])


async def test_a_song_of_the_library(audio: Audio) -> None:
    await add_song(audio.service.deps, SONG, "New Rules")
    assert await audio.client.media(SONG) == MediaRecord(
        video_id=SONG,
        title="New Rules",
        duration_ms=225_000,
        url=f"https://youtube.com/watch?v={SONG}",
        thumbnail_url=f"https://i.ytimg.com/vi/{SONG}/default.jpg",
        platform="YouTube",
        file_path=f"audio/{SONG}.dca",
    )


@pytest.mark.parametrize("video_id", ["nobody", "", "../x", "a b", "x" * 200, "fails"])
async def test_what_the_library_has_no_file_of(audio: Audio, video_id: str) -> None:
    await add_failure(audio.service.deps, "fails")
    assert await audio.client.media(video_id) is None


async def test_search_gives_songs_that_can_be_played(audio: Audio) -> None:
    await add_song(audio.service.deps, SONG, "Dua Lipa - New Rules")
    await add_song(audio.service.deps, "other", "Dua Lipa - Levitating")
    await add_failure(audio.service.deps, "fails", "Dua Lipa - Nothing")
    assert {track.video_id for track in await audio.client.search("dua lipa")} == {SONG, "other"}
    assert len(await audio.client.search("dua lipa", 1)) == 1
    assert await audio.client.search("nobody sings this") == []


@pytest.mark.parametrize("title", ["", "ab", "!!!!", "x" * 300])
async def test_what_cannot_be_searched_for_finds_nothing(audio: Audio, title: str) -> None:
    assert await audio.client.search(title) == []


@pytest.mark.parametrize("start", [0, 1, 4, 1000, 10**6])
async def test_the_bytes_of_a_song_from_any_start(audio: Audio, start: int) -> None:
    content = dca(2000)
    await add_song(audio.service.deps, SONG, file=content)
    async with audio.client.audio(SONG, start) as body:
        assert await whole(body) == content[start:]


async def test_a_song_that_can_be_left_in_the_middle(audio: Audio) -> None:
    await add_song(audio.service.deps, SONG, file=dca(20_000))
    async with audio.client.audio(SONG) as body:
        first = await anext(body)
    assert 0 < len(first) <= 64 * 1024
    assert (await audio.client.health()).connected


async def test_no_such_file(audio: Audio) -> None:
    with pytest.raises(MediaNotFound):
        async with audio.client.audio("nobody"):
            pass


async def test_a_server_that_ignores_ranges_is_cut() -> None:
    async def all_of_it(_: web.Request) -> web.Response:
        return web.Response(body=bytes(range(256)) * 1000)

    async with answering(all_of_it) as client, client.audio(SONG, 100_001) as body:
        assert await whole(body) == (bytes(range(256)) * 1000)[100_001:]


async def test_a_body_that_breaks_off_is_said() -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    async with answering(broken) as client:
        with pytest.raises(AudioServiceUnavailable):
            async with client.audio(SONG) as body:
                await whole(body)
        with pytest.raises(AudioServiceUnavailable):
            await client.media(SONG)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "not json"),
        (200, "[]"),
        (200, '{"data": {"video_id": 1, "success": true}}'),
        (404, '{"detail": "Not Found"}'),
        (502, "<html>Bad Gateway</html>"),
        (500, '{"error": {"code": "internal_error", "message": "."}, "success": false}'),
        (200, "x" * (5 * 1024 * 1024)),
    ],
)
async def test_answers_that_are_not_the_services(status: int, body: str) -> None:
    async def strange(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with answering(strange) as client:
        for ask in (client.media(SONG), client.search("words"), client.playlist("u", 1), client.source_search("w", 1)):
            with pytest.raises(AudioServiceUnavailable):
                await ask
        assert not (await client.health()).connected


async def test_a_silent_service_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(audio_api_module, "_HEALTH_SECONDS", 0.1)
    monkeypatch.setattr(audio_api_module, "SOURCE_SECONDS", 0.1)
    async with answering(silent) as client:
        assert await client.health() == AudioHealth(connected=False, latency_ms=0.0)
        with pytest.raises(AudioServiceUnavailable):
            await client.source_search("words", 3)


async def test_nobody_there() -> None:
    async with open_audio_api(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(AudioServiceUnavailable, match="ConnectError"):
            await client.media(SONG)
        with pytest.raises(AudioServiceUnavailable):
            async with client.audio(SONG):
                pass
        assert not (await client.health()).connected


async def test_the_service_says_how_it_is(audio: Audio) -> None:
    health = await audio.client.health()
    assert health.connected
    assert health.status == "Todos los servicios son saludables"
    assert health.latency_ms > 0


async def test_questions_to_the_sources_keep_their_own_errors(audio: Audio) -> None:
    with pytest.raises(UrlNotAllowed):
        await audio.client.playlist("ftp://example.org/list", 5)
    with pytest.raises(InvalidInput):
        await audio.client.source_search("https://example.org/x", 5)
    video = await audio.client.playlist(f"https://youtu.be/{SONG}", 5)
    assert (video.title, video.items, video.total) == ("", [], 0)


async def test_the_bots_key_lets_it_in_and_without_it_the_service_is_not_well(tmp_path: Path) -> None:
    made = new_key("bot", ["media:read"], now=datetime.now(UTC), expires_at=None)
    change_keys(tmp_path / "keys.json", lambda _: KeyList(keys=(made.kept,)))
    async with open_audio(tmp_path, api_keys_file=tmp_path / "keys.json") as audio:
        await add_song(audio.service.deps, SONG)
        with pytest.raises(AudioServiceUnavailable, match="unauthorized"):
            await audio.client.media(SONG)
        assert (await audio.client.health()).connected
        async with open_audio_api(audio.settings.audio_processor_url, made.text) as client:
            assert await client.media(SONG)
            async with client.audio(SONG) as body:
                assert await whole(body) == dca(100)
            with capture_logs() as logs, pytest.raises(AudioServiceUnavailable, match="forbidden"):
                await client.source_search("milonga", 5)
    assert [(line["event"], line["code"]) for line in logs if line["event"] == "audio_api.refused"] == [
        ("audio_api.refused", "forbidden")
    ]
    assert made.text not in f"{logs}"


@pytest.mark.parametrize("text", ["two words", "ñ", 'a"b', "a\r\nb"])
def test_a_key_that_cannot_be_sent_stops_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "nobodys")
    monkeypatch.setenv("AUDIO_PROCESSOR_API_KEY", text)
    with pytest.raises(SettingsError, match=r"^AUDIO_PROCESSOR_API_KEY: ") as caught:
        load(BotSettings, tmp_path / ".env")
    assert text not in str(caught.value)


async def test_one_odd_record_hides_no_other_and_null_is_empty() -> None:
    """The original service sends null for what it has not got."""
    good = {"video_id": "a", "success": True, "metadata": {"title": "x", "thumbnail_url": None}, "file_data": None}
    odd = [{"success": True}, {"video_id": "b", "success": True, "metadata": {"duration_ms": "long"}}, 3]
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        found = good if request.path.endswith("media") else [*odd, good]
        return web.json_response({"data": found, "success": True})

    empty = MediaRecord("a", "x", 0, "", "", "", "")
    async with answering(handler) as client:
        assert await client.search("some words") == [empty]
        assert await client.media("a") == empty
    # Without the slash: services that redirect do so from the other form.
    assert asked == ["/api/v1/media/search", "/api/v1/media"]
