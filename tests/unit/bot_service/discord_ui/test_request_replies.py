"""What people read, and what is counted, of songs that are heard before they are whole: real players, a real store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path

import discord
import pytest

from bot_service.bootstrap import open_services
from bot_service.discord_ui.followups import Followups
from bot_service.discord_ui.request_replies import RequestReplies
from bot_service.player.guild_player import GuildPlayer
from bot_service.player.rules import outcomes as fx
from bot_service.player.rules.events import Enqueue, Remove, Skip, TrackEnded
from bot_service.player.rules.model import Entry, Phase
from bot_service.requests.entries import RequestEntries
from bot_service.requests.play import PlaylistId
from bot_service.requests.tracks import track_of_status
from bot_service.services import Services
from bot_service.store.base import PendingRequest, Track
from common.errors import InvalidMessage
from common.messages.base import utc_now
from common.messages.downloads import FileData, PlatformMetadata, ProgressEvent, StatusEvent
from tests.servers.ports import free_port
from tests.unit.bot_service.audio import bot_settings
from tests.unit.bot_service.player.test_players import Studio, studio
from tests.unit.bot_service.requests.test_pending import request_of

ROOM, TEXT = 3, 2
TITLE = "Adiós Nonino"
PLAYING, WAITING = f"▶️ Sonando: {TITLE}", f"✅ En la cola, posición 1: {TITLE}"


class WrittenFollowups(Followups):
    """Keeps what would go to Discord."""

    def __init__(self) -> None:
        super().__init__(discord.Client(intents=discord.Intents.none()))
        self.written: list[tuple[str, str]] = []

    async def edit(self, request: PendingRequest, content: str) -> bool:
        self.written.append((request.request_id, content))
        return True


@dataclass
class Stage:
    services: Services
    here: Studio
    followups: WrittenFollowups
    entries: RequestEntries
    replies: RequestReplies
    asked: list[PendingRequest] = field(default_factory=list[PendingRequest])

    @property
    def player(self) -> GuildPlayer:
        return self.here.players.of(1)

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.followups.written]

    def counted(self, outcome: str) -> float:
        value = self.services.registry.get_sample_value("butakero_bot_requests_total", {"outcome": outcome})
        return value or 0.0

    async def ask(self, count: int = 1, *, playlist: PlaylistId | None = None) -> list[PendingRequest]:
        """Hold places in the queue for new requests."""
        asked = [request_of(playlist_id=str(playlist) if playlist else None) for _ in range(count)]
        await self.services.store.add_requests(asked)
        entries = tuple(Entry(one.request_id, one.user_id, one.song, utc_now()) for one in asked)
        await self.player.ask(Enqueue(entries, ROOM, TEXT))
        self.asked += asked
        return asked

    async def ends(self, asked: PendingRequest, *, error: str = "") -> None:
        """The status comes, as `Pending` tells it."""
        await self.replies.finished(asked, failure(asked, error) if error else success(asked))
        await self.services.store.finish_request(asked.request_id)

    async def fails(self, code: str) -> None:
        """The playback ends for want of frames."""
        play_id = self.player._state.play_id  # pyright: ignore[reportPrivateUsage] - as its voice would
        self.player.tell(TrackEnded(play_id, 400, finished=False, reason=code))
        while self.player.snapshot.phase is Phase.PLAYING:
            await self.here.shown.get()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage]:
    settings = bot_settings(tmp_path, f"http://127.0.0.1:{free_port()}")
    settings = settings.model_copy(update={"local_storage_path": tmp_path / "storage"})
    (tmp_path / "storage").mkdir()
    async with open_services(settings) as services, studio(services.store) as here:
        followups = WrittenFollowups()
        entries = RequestEntries(services.songs, here.players, services.metrics)
        replies = RequestReplies(services.store, entries, followups)
        yield Stage(services, here, followups, entries, replies)


def news(asked: PendingRequest, *, playable: bool = True, percent: float = 20) -> ProgressEvent:
    return ProgressEvent(
        request_id=asked.request_id,
        video_id="nonino",
        stage="downloading",
        percent=percent,
        playable=playable,
        platform_metadata=PlatformMetadata(title=TITLE, duration_ms=0, url="https://example.org/n", platform="Site"),
        file_data=FileData(file_path="audio/nonino.dca"),
    )


def success(asked: PendingRequest) -> StatusEvent:
    return StatusEvent(
        request_id=asked.request_id,
        user_id="7",
        video_id="nonino",
        file_data=FileData(file_path="audio/nonino.dca", file_size="3.00MB"),
        platform_metadata=PlatformMetadata(title=TITLE, duration_ms=200_000, url="https://example.org/n"),
        message="ok",
        success=True,
        status="success",
    )


def failure(asked: PendingRequest, code: str) -> StatusEvent:
    return StatusEvent(
        request_id=asked.request_id,
        user_id="7",
        video_id="nonino",
        message="no",
        success=False,
        status="error",
        error_code=code,
    )


def track_of(entry: Entry | None) -> Track:
    assert entry is not None
    assert entry.track is not None
    return entry.track


async def test_a_song_sounds_unfinished_and_its_end_edits_nothing_but_gives_it_its_length(stage: Stage) -> None:
    [asked] = await stage.ask()
    await stage.replies.playable(asked, news(asked))
    await stage.here.until(Phase.PLAYING)
    assert stage.texts == [PLAYING]
    assert track_of(stage.player.snapshot.current).unfinished
    assert (stage.counted("success"), await stage.services.store.history(1)) == (0, [])
    await stage.ends(asked)
    assert stage.texts == [PLAYING]
    assert track_of(stage.player.snapshot.current) == track_of_status(success(asked))
    assert stage.here.voices[1].calls == ["join 3", "play nonino 0"]
    assert stage.counted("success") == 1


async def test_a_waiting_song_is_told_of_once(stage: Stage) -> None:
    first, second = await stage.ask(2)
    await stage.replies.playable(first, news(first))
    await stage.replies.playable(second, news(second))
    await stage.ends(second)
    assert stage.texts == [PLAYING, WAITING]
    assert not track_of(stage.player.snapshot.entries[0]).unfinished


async def test_progress_that_was_being_shown_does_not_stay(stage: Stage) -> None:
    [asked] = await stage.ask()
    await stage.replies.progress(asked, news(asked, playable=False))
    await stage.replies.playable(asked, news(asked))
    assert [text[0] for text in stage.texts] == ["⏳", "▶"]


async def test_only_what_was_finished_is_known_to_the_library(stage: Stage) -> None:
    known = stage.services.songs._recent  # pyright: ignore[reportPrivateUsage] - has no other window
    [asked] = await stage.ask()
    await stage.replies.playable(asked, news(asked))
    assert known == {}
    await stage.ends(asked)
    assert known == {"nonino": track_of_status(success(asked))}


@pytest.mark.parametrize("paused_behind", [False, True])
async def test_a_song_that_comes_to_nothing_is_taken_out_and_told_of_once_by_its_title(
    stage: Stage,
    paused_behind: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    first, second = await stage.ask(2)
    for one in (first, second):
        await stage.replies.playable(one, news(one))
    gone, stays = (second, first) if paused_behind else (first, second)
    await stage.ends(gone, error="source_truncated")
    snapshot = stage.player.snapshot
    assert snapshot.current is not None
    assert (snapshot.current.entry_id, snapshot.entries, snapshot.history) == (stays.request_id, (), ())
    told = [text for request_id, text in stage.followups.written if request_id == gone.request_id]
    assert len(told) == 2
    assert told[1].startswith(f"❌ {TITLE}: Se corta antes de terminar:")
    assert (stage.counted("source_truncated"), stage.counted("success")) == (1, 0)
    assert stage.here.notices == []
    assert stage.entries.failures[1].code == "source_truncated"


async def test_a_failure_is_told_in_the_persons_language(stage: Stage) -> None:
    [asked] = await stage.ask()
    english = replace(asked, locale="en")
    await stage.replies.playable(english, news(asked))
    await stage.ends(english, error="source_truncated")
    assert stage.texts[1].startswith(f"❌ {TITLE}: It ends too early:")


async def test_a_playback_that_learns_of_the_failure_first_leaves_it_to_the_request_to_tell(stage: Stage) -> None:
    [asked] = await stage.ask()
    await stage.replies.playable(asked, news(asked))
    await stage.here.until(Phase.PLAYING)
    await stage.fails("media_not_found")
    [notice] = stage.here.notices
    assert notice.kind is fx.NoticeKind.SONG_FAILED
    assert notice.entry is not None
    assert stage.replies.will_tell_failure(notice.entry, notice.code)
    await stage.ends(asked, error="source_truncated")
    assert [text[0] for text in stage.texts] == ["▶", "❌"]
    assert stage.player.snapshot.history == ()
    assert not stage.replies.will_tell_failure(notice.entry, notice.code)


@pytest.mark.parametrize("error", ["", "source_truncated"])
async def test_a_playback_that_gives_up_before_anything_is_known_is_told_of_and_the_end_is_not(
    stage: Stage, error: str
) -> None:
    [asked] = await stage.ask()
    await stage.replies.playable(asked, news(asked))
    await stage.here.until(Phase.PLAYING)
    await stage.fails("media_corrupt")
    [notice] = stage.here.notices
    assert notice.entry is not None
    assert not stage.replies.will_tell_failure(notice.entry, notice.code)
    await stage.ends(asked, error=error)
    assert stage.texts == [PLAYING]


async def test_a_song_that_never_was_unfinished_is_for_the_player_to_tell_of(stage: Stage) -> None:
    [asked] = await stage.ask()
    await stage.ends(asked)
    assert stage.texts == [PLAYING]
    current = stage.player.snapshot.current
    assert current is not None
    assert not stage.replies.will_tell_failure(current, "media_not_found")


async def test_a_song_that_was_removed_before_it_could_be_heard_is_told_so_at_its_end(stage: Stage) -> None:
    _, second = await stage.ask(2)
    await stage.player.ask(Remove(2))
    await stage.replies.playable(second, news(second))
    assert stage.texts == []
    await stage.ends(second)
    assert stage.texts == [f"✅ Lista, pero ya no estaba en la cola: {TITLE}"]


async def test_a_song_that_was_skipped_unfinished_is_not_said_to_have_been_removed(stage: Stage) -> None:
    [asked] = await stage.ask()
    await stage.replies.playable(asked, news(asked))
    await stage.player.ask(Skip(7))
    await stage.ends(asked)
    assert stage.texts == [PLAYING]


async def test_a_song_that_is_heard_does_not_end_because_its_request_waited_too_long(stage: Stage) -> None:
    [asked] = await stage.ask()
    await stage.replies.playable(asked, news(asked))
    await stage.here.until(Phase.PLAYING)
    await stage.replies.timed_out(asked)
    assert (stage.player.snapshot.phase, stage.texts) == (Phase.PLAYING, [PLAYING])
    assert stage.counted("timed_out") == 1
    current = stage.player.snapshot.current
    assert current is not None
    assert not stage.replies.will_tell_failure(current, "media_not_found"), "nobody else will tell any more"


async def test_a_playlist_counts_its_songs_at_their_ends(stage: Stage) -> None:
    one, two, three = await stage.ask(3, playlist=PlaylistId.new(3, title="Tangos"))
    for part in (one, two, three):
        await stage.replies.playable(part, news(part))
    assert stage.texts == []
    await stage.ends(two)
    await stage.ends(one, error="source_truncated")
    await stage.ends(three)
    assert stage.texts[0] == "📜 Tangos · 1 de 3 listas"
    assert stage.texts[-1].startswith("📜 Tangos · 2 de 3 listas\nSin conseguir: 1. La última:\n❌ Adiós Nonino")
    current = stage.player.snapshot.current
    assert current is not None
    assert current.entry_id == two.request_id


async def test_an_event_that_does_not_say_what_can_be_heard_is_refused(stage: Stage) -> None:
    [asked] = await stage.ask()
    with pytest.raises(InvalidMessage):
        await stage.replies.playable(asked, news(asked).model_copy(update={"file_data": None}))
    assert stage.player.snapshot.current is None
