"""From words to songs: the real API over a real library, the real queue, the real store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot_service.audio_api import open_audio_api
from bot_service.requests.query import choice_of, choice_of_menu
from bot_service.requests.songs import Found, Requested, Requester, Songs
from bot_service.store.base import Track
from common.errors import AudioServiceUnavailable, MediaNotFound, YouTubeApiError
from common.messages.base import parse, utc_now
from common.messages.downloads import DownloadRequest
from tests.servers.ports import free_port
from tests.servers.youtube_api import FakeYouTubeApi, fake_youtube_api
from tests.unit.audio_service.api.library import add_failure, add_song
from tests.unit.bot_service.audio import Audio, bot_settings, open_audio
from tests.unit.bot_service.requests.test_pending import Bot, open_bot

SONG = "k2qgadSvNyU"
REQUESTER = Requester(guild_id=1, user_id=7, text_channel_id=2, voice_channel_id=None, locale="en", application_id=5)


@dataclass(frozen=True)
class Stage:
    songs: Songs
    audio: Audio
    bot: Bot

    async def requests(self) -> list[DownloadRequest]:
        topic = self.bot.settings.topic_download_requests
        return [parse(DownloadRequest, message.value) for message in await self.bot.broker.peek(topic)]


@pytest.fixture
async def youtube() -> AsyncGenerator[FakeYouTubeApi]:
    async with fake_youtube_api() as server:
        yield server


@pytest.fixture
async def stage(tmp_path: Path, youtube: FakeYouTubeApi) -> AsyncGenerator[Stage]:
    key = SecretStr(youtube.key)
    async with (
        open_audio(tmp_path, youtube_api_url=youtube.url, youtube_api_key=key) as audio,
        open_bot(audio.settings) as bot,
    ):
        yield Stage(Songs(audio.client, bot.pending, bot.store), audio, bot)


@asynccontextmanager
async def without_audio_service(root: Path) -> AsyncGenerator[tuple[Songs, Bot]]:
    settings = bot_settings(root, f"http://127.0.0.1:{free_port()}")
    async with open_audio_api(settings.audio_processor_url) as api, open_bot(settings) as bot:
        yield Songs(api, bot.pending, bot.store), bot


def track(video_id: str, title: str) -> Track:
    url = f"https://www.youtube.com/watch?v={video_id}"
    return Track(video_id, title, 1000, url, "", "YouTube", f"audio/{video_id}.dca")


@pytest.mark.parametrize(
    "song",
    [
        SONG,
        f"https://youtu.be/{SONG}?t=30",
        f"<https://www.youtube.com/watch?v={SONG}&list=PLabc>",
        f"music.youtube.com/watch?v={SONG}",
        "dua lipa new rules",
        "  New RULES dua lipa ",
    ],
)
async def test_a_song_of_the_library_is_found(stage: Stage, song: str) -> None:
    await add_song(stage.audio.service.deps, SONG, "Dua Lipa - New Rules (Official Music Video)")
    await add_song(stage.audio.service.deps, "other", "Dua Lipa - Levitating")
    found = await stage.songs.find_or_request(song, REQUESTER)
    assert isinstance(found, Found)
    assert found.track.video_id == SONG
    assert await stage.requests() == []


@pytest.mark.parametrize("song", ["dua lipa", "https://youtu.be/oygrmJFKYZY", "https://example.org/a.mp3", "new rules"])
async def test_what_is_not_clearly_there_goes_through_the_queue(stage: Stage, song: str) -> None:
    await add_song(stage.audio.service.deps, SONG, "Dua Lipa - New Rules (Official Music Video)")
    await add_failure(stage.audio.service.deps, "oygrmJFKYZY", "Dua Lipa")
    prepared: list[str] = []

    async def prepare(request_id: str) -> None:
        assert await stage.requests() == []
        prepared.append(request_id)

    requested = await stage.songs.find_or_request(song, REQUESTER, before_publishing=prepare)
    assert isinstance(requested, Requested)
    assert requested.library_searched
    assert prepared == [requested.request_id]
    [request] = await stage.requests()
    assert (request.request_id, request.song, request.guild_id) == (requested.request_id, song, "1")
    stored = await stage.bot.store.request(requested.request_id)
    assert stored is not None
    assert (stored.user_id, stored.text_channel_id, stored.locale, stored.song) == (7, 2, "en", song)


async def test_behind_a_full_page_nobody_is_sure(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_song(stage.audio.service.deps, SONG, "Dua Lipa - New Rules")
    assert await stage.songs.find("dua lipa new rules") is not None
    monkeypatch.setattr("bot_service.requests.songs._PAGE", 1)
    assert await stage.songs.find("dua lipa new rules") is None


async def test_without_the_audio_service_known_songs_are_found_and_others_wait_in_the_queue(tmp_path: Path) -> None:
    async with without_audio_service(tmp_path) as (songs, bot):
        heard, kept = track(SONG, "Dua Lipa - New Rules"), track("oygrmJFKYZY", "Kept one")
        await bot.store.add_history(REQUESTER.guild_id, heard, 7, utc_now())
        await bot.store.add_favourite(REQUESTER.user_id, kept)
        with pytest.raises(AudioServiceUnavailable):
            await songs.find(SONG)
        for song in (SONG, heard.url, "dua lipa new rules"):
            assert await songs.find_or_request(song, REQUESTER) == Found(heard)
        assert await songs.find_or_request("kept one", REQUESTER) == Found(kept)
        requested = await songs.find_or_request("something else", REQUESTER)
        assert isinstance(requested, Requested)
        assert not requested.library_searched
        assert await bot.store.request(requested.request_id) is not None
        assert await songs.suggest("dua lipa") == []


async def test_the_items_of_a_playlist_are_requested_together(stage: Stage) -> None:
    refused = await stage.songs.request_all([(f"r{number}", f"song {number}") for number in range(3)], REQUESTER)
    assert refused == {}
    assert [(one.request_id, one.song) for one in await stage.requests()] == [
        ("r0", "song 0"),
        ("r1", "song 1"),
        ("r2", "song 2"),
    ]
    assert len(await stage.bot.store.open_requests()) == 3


async def test_a_chosen_suggestion_plays_while_the_library_is_away(stage: Stage, tmp_path: Path) -> None:
    await add_song(stage.audio.service.deps, "web-" + "0a" * 16, "Corazón, canción sin sitio")
    await add_song(stage.audio.service.deps, "despacito01", "Otra cosa")
    [file] = await stage.songs.suggest("sin sitio")
    [found, *_] = await stage.songs.search("otra cosa")
    assert found.track is not None
    directory = tmp_path / "away"
    directory.mkdir()
    async with without_audio_service(directory) as (songs, bot):
        with pytest.raises(AudioServiceUnavailable):
            await songs.find_or_request(choice_of(file), REQUESTER)
        stage.songs._api = songs._api  # pyright: ignore[reportPrivateUsage] - the service goes away
        for track in (file, found.track):
            for value in (choice_of(track), track.video_id):
                assert await stage.songs.find_or_request(value, REQUESTER) == Found(track)
        assert await bot.store.open_requests() == []


@pytest.mark.parametrize(
    ("typed", "requested"),
    [
        ("k2qgadSvNyX", "https://www.youtube.com/watch?v=k2qgadSvNyX"),
        ("chacarerazo", "chacarerazo"),
        ("Metallica01", "Metallica01"),
        ("despacito", "despacito"),
        ("AC-DC-HELLS", "AC-DC-HELLS"),
    ],
)
async def test_an_id_is_never_searched_for_as_words(tmp_path: Path, typed: str, requested: str) -> None:
    async with without_audio_service(tmp_path) as (songs, bot):
        await songs.find_or_request(typed, REQUESTER)
        [request] = await bot.store.open_requests()
        assert request.song == requested


@pytest.mark.parametrize(
    ("chosen", "requested"),
    [
        ("butakero:youtube:chacarerazo", "https://www.youtube.com/watch?v=chacarerazo"),
        ("butakero:library:vimeo-12345", None),
        ("butakero:library:web-" + "0a" * 16, None),
        (choice_of_menu("chacarerazo"), "https://www.youtube.com/watch?v=chacarerazo"),
        (choice_of_menu("soundcloud-despacito"), None),
    ],
)
async def test_what_another_process_offered_is_never_searched_for_as_words(
    stage: Stage, tmp_path: Path, chosen: str, requested: str | None
) -> None:
    """It was offered before a restart, by another replica or an earlier version: this process has no memory of it."""
    directory = tmp_path / "away"
    directory.mkdir()
    async with without_audio_service(directory) as (songs, bot):
        for here, store, error in (
            (songs, bot.store, AudioServiceUnavailable),
            (stage.songs, stage.bot.store, MediaNotFound),
        ):
            if requested is None:
                with pytest.raises(error):
                    await here.find_or_request(chosen, REQUESTER)
            else:
                await here.find_or_request(chosen, REQUESTER)
            assert [one.song for one in await store.open_requests()] == ([requested] if requested else [])


async def test_what_another_process_offered_is_found_in_the_library_and_shown_by_name(stage: Stage) -> None:
    await add_song(stage.audio.service.deps, SONG, "Dua Lipa - New Rules")
    await add_song(stage.audio.service.deps, "vimeo-12345", "Otra cosa")
    for video_id in (SONG, "vimeo-12345"):
        track = await stage.songs.find(video_id)
        assert track is not None
        assert await stage.songs.find(choice_of(track)) == track
    assert stage.songs.shown(f"butakero:youtube:{SONG}") == f"https://www.youtube.com/watch?v={SONG}"
    [offered] = await stage.songs.suggest("new rules")
    assert stage.songs.shown(choice_of(offered)) == "Dua Lipa - New Rules"
    assert stage.songs.shown("new rules") == "new rules"


async def test_suggestions_come_from_the_library(stage: Stage) -> None:
    await add_song(stage.audio.service.deps, SONG, "Dua Lipa - New Rules")
    assert [one.video_id for one in await stage.songs.suggest(" new  rul")] == [SONG]
    assert await stage.songs.suggest("") == []


async def test_a_search_shows_the_library_first_and_nothing_twice(stage: Stage, youtube: FakeYouTubeApi) -> None:
    await add_song(stage.audio.service.deps, SONG, "Dua Lipa - New Rules")
    youtube.add_video("oygrmJFKYZY", title="New Rules (Live)", duration="PT4M")
    youtube.add_video(SONG, title="Dua Lipa - New Rules")
    first, second = await stage.songs.search("new rules")
    assert first.track is not None
    assert first.track.video_id == SONG
    assert (second.title, second.duration_ms, second.track) == ("New Rules (Live)", 240_000, None)
    assert [one.title for one in await stage.songs.search("new rules", 1)] == ["Dua Lipa - New Rules"]


async def test_a_search_shows_the_library_though_the_source_refuses(stage: Stage, youtube: FakeYouTubeApi) -> None:
    await add_song(stage.audio.service.deps, SONG, "Dua Lipa - New Rules")
    youtube.key = "another"
    [only] = await stage.songs.search("new rules")
    assert only.track is not None
    with pytest.raises(YouTubeApiError):
        await stage.songs.search("something else")


async def test_a_playlist_is_expanded_up_to_the_limit(stage: Stage, youtube: FakeYouTubeApi) -> None:
    videos = [f"video-{number:05}" for number in range(9)]
    for video_id in videos:
        youtube.add_video(video_id, title=video_id)
    youtube.add_playlist("PLabc", *videos, title="Nine")
    playlist = await stage.songs.expand("https://www.youtube.com/playlist?list=PLabc", 5)
    assert playlist is not None
    assert (playlist.title, playlist.total) == ("Nine", 9)
    assert [item.url[-11:] for item in playlist.items] == videos[:5]


async def test_what_is_no_playlist_is_not_expanded(stage: Stage) -> None:
    for url in ("words", SONG, f"https://youtu.be/{SONG}?list=PLabc", "https://www.youtube.com/@a", "http://10.1.2.3/"):
        assert await stage.songs.expand(url, 5) is None


async def test_a_youtube_playlist_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    async with without_audio_service(tmp_path) as (songs, _):
        with pytest.raises(AudioServiceUnavailable):
            await songs.expand("https://www.youtube.com/playlist?list=PLabc", 5)
        with pytest.raises(AudioServiceUnavailable):
            await songs.expand("https://example.org/x", 5)
