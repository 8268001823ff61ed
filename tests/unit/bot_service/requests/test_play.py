"""`play` and the entries of its requests: real players, store and broker; the audio API's answers are given by hand."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from bot_service.audio_api import AudioApi
from bot_service.metrics import BotMetrics
from bot_service.player.rules.model import Phase
from bot_service.player.rules.outcomes import Enqueued, PlayerRefusal
from bot_service.player.rules.state import PlayerLimits
from bot_service.requests.entries import RequestEntries
from bot_service.requests.play import PlaylistId, PlaylistQueued, PlayRequests, SongQueued, SongRequested
from bot_service.requests.songs import Requester, Songs
from common.errors import AudioServiceUnavailable, QueueFull
from tests.unit.bot_service.player.entries import track
from tests.unit.bot_service.player.test_players import Studio, studio
from tests.unit.bot_service.requests.test_pending import Bot, open_bot, settings_in

GUILD, ROOM, TEXT, USER = 1, 3, 2, 7
REQUESTER = Requester(GUILD, USER, TEXT, ROOM, "es")
PLAYLIST = "https://www.youtube.com/playlist?list=PLabc"


@dataclass
class Audio:
    """What the audio service answers, by path; nothing for a path: it does not respond."""

    answers: dict[str, Any]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path not in self.answers:
            raise httpx.ConnectError("nobody there")
        return httpx.Response(200, json=self.answers[request.url.path])

    def playlist(self, *urls: str) -> None:
        items = [{"title": f"Tango {url[-1]}", "url": url, "duration_ms": 1000, **_LOOKS} for url in urls]
        self.answers["/api/v1/sources/playlist"] = {"title": "Tangos", "data": items, "total": len(urls)}


_LOOKS = {"thumbnail_url": "", "platform": "YouTube"}


@dataclass
class Stage:
    bot: Bot
    here: Studio
    audio: Audio
    songs: Songs
    play: PlayRequests
    entries: RequestEntries
    registry: CollectorRegistry

    @property
    def queue(self) -> list[tuple[str, str]]:
        return [(entry.entry_id, entry.title) for entry in self.here.players.of(GUILD).snapshot.entries]


@asynccontextmanager
async def open_stage(root: Path, *, playlist_limit: int = 5, **settings: object) -> AsyncGenerator[Stage]:
    audio, registry = Audio({}), CollectorRegistry()
    metrics = BotMetrics.on(registry)
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(audio), base_url="http://audio") as client,
        open_bot(settings_in(root, **settings)) as bot,
        studio(bot.store) as here,
    ):
        songs = Songs(AudioApi(client), bot.pending, bot.store)
        play = PlayRequests(songs, here.players, metrics, playlist_limit=playlist_limit)
        yield Stage(bot, here, audio, songs, play, RequestEntries(songs, here.players, metrics), registry)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage]:
    async with open_stage(tmp_path) as opened:
        yield opened


async def test_a_library_song_is_queued_and_plays(stage: Stage) -> None:
    stage.songs.remember(track("a"))
    played = await stage.play.play("a", REQUESTER)
    assert isinstance(played, SongQueued)
    assert (played.track, played.outcome.starts_now) == (track("a"), True)
    assert (await stage.here.until(Phase.PLAYING)).voice_channel_id == ROOM
    assert await stage.bot.store.open_requests() == []
    assert stage.registry.get_sample_value("butakero_bot_library_hits_total") == 1


async def test_a_new_song_holds_its_place_under_the_id_of_its_request(stage: Stage) -> None:
    assert await stage.play.play("volver", REQUESTER, title="Volver, de Gardel") == SongRequested(
        "Volver, de Gardel", library_searched=False
    )
    [request] = await stage.bot.store.open_requests()
    assert (request.song, request.guild_id, request.user_id) == ("volver", GUILD, USER)
    assert stage.queue == [(request.request_id, "Volver, de Gardel")]


async def test_front_puts_a_song_before_the_others(stage: Stage) -> None:
    await stage.play.play_tracks([track(name) for name in "ab"], REQUESTER)
    outcome = await stage.play.play_tracks([track("c")], REQUESTER, front=True)
    assert isinstance(outcome, Enqueued)
    assert [title for _, title in stage.queue] == ["Song c", "Song b"]


async def test_a_request_that_the_broker_refuses_gives_its_place_back(tmp_path: Path) -> None:
    async with open_stage(tmp_path, embedded_broker_max_backlog=1) as stage:
        topic = stage.bot.settings.topic_download_requests
        async with stage.bot.broker.consume(topic, "audio-workers"):
            await stage.play.play("one", REQUESTER)
            with pytest.raises(QueueFull):
                await stage.play.play("two", REQUESTER)
        assert [title for _, title in stage.queue] == ["one"]
        assert [request.song for request in await stage.bot.store.open_requests()] == ["one"]


async def test_a_song_that_the_queue_refuses_is_not_requested(stage: Stage) -> None:
    await stage.play.play_tracks([track("now")], REQUESTER)
    await stage.play.play_tracks([track(f"t{number}") for number in range(PlayerLimits().queue_limit)], REQUESTER)
    with pytest.raises(PlayerRefusal, match="queue_full"):
        await stage.play.play("one more", REQUESTER)
    assert await stage.bot.store.open_requests() == []


async def test_the_songs_of_a_playlist_are_queued_and_requested_as_one(tmp_path: Path) -> None:
    async with open_stage(tmp_path, playlist_limit=2) as stage:
        stage.audio.playlist("https://e.org/1", "https://e.org/2", "https://e.org/3")
        queued = await stage.play.play(PLAYLIST, REQUESTER)
        assert isinstance(queued, PlaylistQueued)
        assert (queued.requested, queued.queued, queued.left_out) == (2, 0, 0)
        requests = {request.request_id: request for request in await stage.bot.store.open_requests()}
        assert stage.queue == [(one, f"Tango {requests[one].song[-1]}") for one, _ in stage.queue]
        assert sorted(request.song for request in requests.values()) == ["https://e.org/1", "https://e.org/2"]
        [playlist_id] = {request.playlist_id for request in requests.values()}
        assert playlist_id is not None
        parsed = PlaylistId.parse(playlist_id)
        assert (parsed.count, parsed.at_hand, parsed.title) == (2, 0, "Tangos")


async def test_what_the_broker_refuses_of_a_playlist_is_left_out(tmp_path: Path) -> None:
    async with open_stage(tmp_path, embedded_broker_max_backlog=1) as stage:
        topic = stage.bot.settings.topic_download_requests
        stage.audio.playlist("https://e.org/1", "https://e.org/2")
        async with stage.bot.broker.consume(topic, "audio-workers"):
            queued = await stage.play.play(PLAYLIST, REQUESTER)
            assert isinstance(queued, PlaylistQueued)
            assert (queued.requested, queued.left_out) == (1, 1)
            assert [title for _, title in stage.queue] == ["Tango 1"]
            with pytest.raises(QueueFull):
                await stage.play.play(PLAYLIST, REQUESTER)
        assert [title for _, title in stage.queue] == ["Tango 1"]


async def test_a_playlist_is_requested_as_one_song_while_the_audio_service_is_unavailable(stage: Stage) -> None:
    with pytest.raises(AudioServiceUnavailable):
        await stage.songs.expand(PLAYLIST, 5)
    assert await stage.play.play(PLAYLIST, REQUESTER) == SongRequested(PLAYLIST, library_searched=False)


async def test_an_entry_is_dropped_with_its_request_and_the_failure_is_kept(stage: Stage) -> None:
    await stage.play.play("volver", REQUESTER, title="Volver")
    [request] = await stage.bot.store.open_requests()
    assert await stage.entries.drop(request, "media_private") == "Volver"
    assert stage.queue == []
    failure = stage.entries.failures[GUILD]
    assert (failure.song, failure.code) == ("Volver", "media_private")
    counted = stage.registry.get_sample_value("butakero_bot_requests_total", {"outcome": "media_private"})
    assert counted == 1
    assert stage.entries.title(request) == "volver"


def test_the_id_of_a_playlist_says_how_many_requests_it_has() -> None:
    made = PlaylistId.new(34, 2, "Lo mejor: 2024")
    assert PlaylistId.parse(str(made)) == made
    assert PlaylistId.parse("of another program").count == 1
