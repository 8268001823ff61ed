"""Guilds' players with a real store. The voice is recorded; the real one is tested against a Discord of our own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot_service.player import guild_player
from bot_service.player.guild_player import PlayerDisplay
from bot_service.player.players import Players
from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.model import Phase
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from bot_service.player.rules.state import PlayerLimits
from bot_service.player.snapshot import Snapshot
from bot_service.player.voice.link import VoiceLink
from bot_service.store.base import GuildSettings, GuildStore, Track
from bot_service.store.sqlite.store import open_sqlite
from common.errors import StorageUnavailable
from tests.unit.bot_service.player.entries import entry, names
from tests.waiting import until

GUILD, ROOM = 5, 10


class RecordedVoice(VoiceLink):
    """Enters when told to, plays what it is told to, and lets the test say what frame it is at."""

    def __init__(self, report: Callable[[ev.Event], None]) -> None:  # pyright: ignore[reportMissingSuperCall] - has no Discord
        self.report = report
        self.calls: list[str] = []
        self.frame = 0
        self.failure: Exception | None = None
        self.answers = True

    @property
    def next_frame(self) -> int:
        return self.frame

    async def join(self, channel_id: int) -> None:
        self.calls.append(f"join {channel_id}")
        if self.answers:
            self.report(ev.VoiceReady(channel_id))

    async def leave(self) -> None:
        self.calls.append("leave")

    async def play(self, play_id: int, track: Track, start_frame: int = 0, *, asked_at: float | None = None) -> None:
        del play_id, asked_at
        self.calls.append(f"play {track.video_id} {start_frame}")
        self.frame = start_frame
        if self.failure is not None:
            raise self.failure

    def halt(self) -> None:
        self.calls.append("halt")

    def hold(self) -> None:
        self.calls.append("hold")

    def proceed(self) -> None:
        self.calls.append("proceed")

    async def prefetch(self, track: Track | None) -> None:
        del track

    async def close(self) -> None:
        self.calls.append("close")


@dataclass
class Studio:
    players: Players
    store: GuildStore
    voices: dict[int, RecordedVoice]
    shown: asyncio.Queue[Snapshot]
    notices: list[out.Notice] = field(default_factory=list[out.Notice])

    async def until(self, phase: Phase) -> Snapshot:
        """Wait until the player shows itself in that phase."""
        while (snapshot := await self.shown.get()).phase is not phase:
            pass
        return snapshot

    async def saved(self, is_so: Callable[[int], bool]) -> int:
        """Wait until the store holds such a position."""
        frames: list[int] = []

        async def held() -> bool:
            frames[:] = [one.next_frame for one in await self.store.load_players() if is_so(one.next_frame)]
            return bool(frames)

        await until(held)
        return frames[0]


@asynccontextmanager
async def studio(store: GuildStore, *, resume: bool = True) -> AsyncGenerator[Studio]:
    voices: dict[int, RecordedVoice] = {}
    shown: asyncio.Queue[Snapshot] = asyncio.Queue()
    notices: list[out.Notice] = []

    def open_voice(guild_id: int, report: Callable[[ev.Event], None]) -> VoiceLink:
        return voices.setdefault(guild_id, RecordedVoice(report))

    async with Players(
        limits=PlayerLimits(),
        open_voice=open_voice,
        store=store,
        display=PlayerDisplay(shown.put_nowait, lambda _guild_id, notice: notices.append(notice)),
        resume_after_restart=resume,
    ) as players:
        yield Studio(players, store, voices, shown, notices)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[GuildStore]:
    async with open_sqlite(tmp_path / "bot.db") as opened:
        yield opened


def enqueue(text: str) -> ev.Enqueue:
    return ev.Enqueue(tuple(entry(name) for name in text), ROOM, 7)


async def test_a_song_is_entered_for_played_and_remembered(store: GuildStore) -> None:
    async with studio(store) as here:
        outcome = await here.players.of(GUILD).ask(enqueue("ab"))
        assert isinstance(outcome, out.Enqueued)
        await here.until(Phase.PLAYING)
        assert here.voices[GUILD].calls == ["join 10", "play a 0"]
    played = await store.history(GUILD)
    assert [one.track.video_id for one in played] == ["a"]


async def test_a_refusal_reaches_who_asked_and_the_player_goes_on(store: GuildStore) -> None:
    async with studio(store) as here:
        player = here.players.of(GUILD)
        with pytest.raises(PlayerRefusal) as refused:
            await player.ask(ev.Pause())
        assert refused.value.code is RefusalCode.NOTHING_PLAYING
        assert await player.ask(ev.SetRules(GuildSettings(stay=True))) == out.Done()


async def test_a_join_that_hangs_holds_up_no_stop(store: GuildStore) -> None:
    async with studio(store) as here:
        player = here.players.of(GUILD)
        here.voices[GUILD].answers = False
        await player.ask(enqueue("ab"))
        assert await player.ask(ev.Stop()) == out.Stopped(2)
        assert here.voices[GUILD].calls[-1] == "leave"


async def test_an_effect_that_fails_becomes_an_event(store: GuildStore) -> None:
    async with studio(store) as here:
        player = here.players.of(GUILD)
        here.voices[GUILD].failure = StorageUnavailable("no bucket")
        await player.ask(enqueue("ab"))
        while len(here.notices) < 2:
            await here.shown.get()
        assert {notice.code for notice in here.notices} == {"storage_unavailable"}
        assert player.snapshot.phase is Phase.IDLE
        here.voices[GUILD].failure = None
        await player.ask(enqueue("c"))
        assert player.snapshot.phase is Phase.PLAYING


async def test_the_position_survives_and_the_next_process_goes_on_there(store: GuildStore) -> None:
    async with studio(store) as here:
        await here.players.of(GUILD).ask(enqueue("abc"))
        await here.until(Phase.PLAYING)
        here.voices[GUILD].frame = 400
        assert await here.saved(lambda frame: frame >= 400) == 400  # noted while it plays, without a clean end
        here.voices[GUILD].frame = 450
    assert here.voices[GUILD].calls[-1] == "close"
    async with studio(store) as here:
        assert await here.players.restore() == 1
        snapshot = await here.until(Phase.PLAYING)
        assert here.voices[GUILD].calls == ["join 10", "play a 450"]
        assert names(snapshot.entries) == "bc"


async def test_a_restored_player_has_its_guilds_settings_though_the_store_is_slow(
    store: GuildStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of players that start at once read theirs late, and would leave where they are to stay."""
    async with studio(store) as here:
        await here.players.of(GUILD).ask(enqueue("abc"))
        await here.until(Phase.PLAYING)
    await store.save_settings(GUILD, GuildSettings(stay=True))
    monkeypatch.setattr(guild_player, "_SETTINGS_SECONDS", 0)
    async with studio(store) as here:
        assert await here.players.restore() == 1
        snapshot = await here.until(Phase.PLAYING)
        assert snapshot.rules.stay


async def test_a_position_is_saved_only_once_its_song_is(store: GuildStore, tmp_path: Path) -> None:
    async with studio(store) as here:
        player = here.players.of(GUILD)
        await player.ask(enqueue("ab"))
        await here.until(Phase.PLAYING)
        await until(lambda: player.saved_position is not None)
        with closing(sqlite3.connect(tmp_path / "bot.db")) as other_writer:
            other_writer.execute("BEGIN IMMEDIATE")
            await player.ask(ev.Skip(1))
            here.voices[GUILD].frame = 9
            assert player.snapshot.current == entry("b")
            assert player.saved_position is None
            other_writer.rollback()
        await until(lambda: player.saved_position == 9)


async def test_a_stopped_player_does_not_come_back(store: GuildStore) -> None:
    async with studio(store) as here:
        await here.players.of(GUILD).ask(enqueue("ab"))
        await here.until(Phase.PLAYING)
        await here.players.of(GUILD).ask(ev.Stop())
    async with studio(store) as here:
        await here.players.restore()
        assert await here.players.of(GUILD).ask(ev.SetRules(GuildSettings())) == out.Done()
        assert here.voices[GUILD].calls == []


@pytest.mark.parametrize("by_guild", [True, False])
async def test_a_bot_or_guild_that_is_told_not_to_resume_does_not(
    store: GuildStore,
    by_guild: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    async with studio(store) as here:
        await here.players.of(GUILD).ask(enqueue("a"))
        await here.until(Phase.PLAYING)
    await store.save_settings(GUILD, GuildSettings(resume_after_restart=not by_guild))
    async with studio(store, resume=by_guild) as here:
        assert await here.players.restore() == 0
    assert await store.load_players() == []


async def test_a_guild_that_is_left_is_forgotten(store: GuildStore) -> None:
    async with studio(store) as here:
        await here.players.of(GUILD).ask(enqueue("a"))
        await here.until(Phase.PLAYING)
        await here.players.drop(GUILD)
        assert here.players.get(GUILD) is None
        assert await store.load_players() == []


async def test_nobody_waits_for_a_player_that_has_closed(store: GuildStore) -> None:
    async with studio(store) as here:
        player = here.players.of(GUILD)
    with pytest.raises(PlayerRefusal) as refused:
        await player.ask(ev.Pause())
    assert refused.value.code is RefusalCode.SHUTTING_DOWN
