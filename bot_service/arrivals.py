"""What becomes of requests, for those who made them: the player is told, and the reply to the command is edited.

Edits of one reply are at least 1.5 s apart while the song is on its way (Discord allows five in five seconds, for all
who write there). The end is always told.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from bot_service.late_replies import LateReplies
from bot_service.pending import Handler
from bot_service.permissions import BotRefusalCode
from bot_service.player.events import Dropped, Ready
from bot_service.player.outcomes import Arrived, Outcome
from bot_service.player.players import Players
from bot_service.player.refusals import PlayerRefusal
from bot_service.player.track import Track
from bot_service.replies import texts
from bot_service.replies.errors import explain_failure
from bot_service.replies.escape import plain
from bot_service.replies.shape import clock, percent_bar
from bot_service.services import Services
from bot_service.store.base import PendingRequest
from common.errors import Locale
from common.messages import ProgressEvent, StatusEvent, utc_now

EDIT_SECONDS = 1.5
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class PlaylistId:
    """Names the requests of one playlist, and says how many they are; as text "<uuid>:<count>:<at hand>:<title>".

    `at_hand` songs were in the library and needed no request.
    """

    name: str
    count: int
    at_hand: int = 0
    title: str = ""

    @classmethod
    def new(cls, count: int, at_hand: int = 0, title: str = "") -> PlaylistId:
        """Make one that was never used."""
        return cls(uuid.uuid4().hex, count, at_hand, title)

    @classmethod
    def parse(cls, text: str) -> PlaylistId:
        """Read one back; what is no such text counts as a list of one."""
        name, count, at_hand, title = (*text.split(":", 3), "", "", "")[:4]
        return cls(name, int(count) if count.isdecimal() else 1, int(at_hand) if at_hand.isdecimal() else 0, title)

    def __str__(self) -> str:
        """Return the text."""
        return f"{self.name}:{self.count}:{self.at_hand}:{self.title}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A song that could not be had or played, for `status`."""

    song: str
    code: str
    at: datetime


@dataclass(slots=True)
class _Shown:
    """A reply that is being edited. The lock keeps an edit under way from overtaking the end."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_edit: float = float("-inf")
    done: set[str] = field(default_factory=set[str])
    ready: int = 0
    failed: int = 0
    last_failure: str = ""

    def is_due(self) -> bool:
        return time.monotonic() - self.last_edit >= EDIT_SECONDS


class Arrivals:
    """The handler of `Pending`. `failures` holds each guild's last one since the start."""

    def __init__(self, services: Services, players: Players, replies: LateReplies) -> None:
        self._store = services.store
        self._songs = services.songs
        self._metrics = services.metrics
        self._players = players
        self._replies = replies
        self._shown: dict[str, _Shown] = {}
        self.failures: dict[int, Failure] = {}

    @property
    def handler(self) -> Handler:
        """What `Pending.run` calls."""
        return Handler(self.finished, self.progress, self.timed_out)

    async def finished(self, asked: PendingRequest, status: StatusEvent) -> None:
        """Put the song where it was awaited, or take its place out of the queue; say so."""
        if not status.success:
            await self._give_up(asked, status.error_code or "internal_error")
            return
        self._metrics.requests.labels("success").inc()
        track = Track.of_status(status)
        self._songs.know(track)
        outcome = await self._ask(asked, Ready(asked.request_id, track))
        await self._tell_end(asked, _arrival(track, outcome, asked.locale), failed=False)

    def note_failure(self, guild_id: int, song: str, code: str) -> None:
        """Keep for `status` why a song was not to be heard."""
        self.failures[guild_id] = Failure(song, code, utc_now())

    async def timed_out(self, asked: PendingRequest) -> None:
        """Take the song's place out of the queue and say that nobody answered."""
        await self._give_up(asked, BotRefusalCode.TIMED_OUT)

    async def progress(self, asked: PendingRequest, event: ProgressEvent) -> None:
        """Show how far the song is, unless the reply was edited a moment ago."""
        if asked.playlist_id is not None:
            return
        shown = self._shown_of(asked.request_id)
        if shown.lock.locked() or not shown.is_due():
            return
        async with shown.lock:
            shown.last_edit = time.monotonic()
            await self._replies.update(asked, _progress(self._title_of(asked), event, asked.locale))

    async def _give_up(self, asked: PendingRequest, code: str) -> None:
        self._metrics.requests.labels(code).inc()
        song = self._title_of(asked)
        self.note_failure(asked.guild_id, song, code)
        await self._ask(asked, Dropped(asked.request_id, code))
        reason = explain_failure(code, asked.locale)
        words = texts.FAILED.to(asked.locale).format(song=plain(song), reason=reason)
        await self._tell_end(asked, words, failed=True)

    def _title_of(self, asked: PendingRequest) -> str:
        """Return what its place in the queue says: a title beats the link that was chosen from a menu or a playlist."""
        entries = self._players.of(asked.guild_id).snapshot.entries
        return next((entry.title for entry in entries if entry.entry_id == asked.request_id), asked.song)

    async def _ask(self, asked: PendingRequest, command: Ready | Dropped) -> Outcome | None:
        try:
            return await self._players.of(asked.guild_id).ask(command)
        except PlayerRefusal:
            return None

    async def _tell_end(self, asked: PendingRequest, words: str, *, failed: bool) -> None:
        if asked.playlist_id is not None:
            await self._tell_part(asked, PlaylistId.parse(asked.playlist_id), words if failed else "")
            return
        shown = self._shown_of(asked.request_id)
        async with shown.lock:
            await self._replies.tell(asked, words)
        self._shown.pop(asked.request_id, None)

    async def _tell_part(self, asked: PendingRequest, playlist: PlaylistId, failure: str) -> None:
        """Count one song of a playlist; the last one is always told, those before it when an edit is due."""
        if playlist.name not in self._shown:
            ready = playlist.count - await self._still_open(asked)
            self._shown_of(playlist.name).ready += max(ready, 0)
        shown = self._shown_of(playlist.name)
        if asked.request_id in shown.done:
            return
        shown.done.add(asked.request_id)
        shown.failed += bool(failure)
        shown.ready += not failure
        shown.last_failure = failure or shown.last_failure
        ended = shown.ready + shown.failed >= playlist.count
        if not ended and (shown.lock.locked() or not shown.is_due()):
            return
        async with shown.lock:
            shown.last_edit = time.monotonic()
            words = _playlist_progress(shown, playlist, asked.locale)
            await (self._replies.tell if ended else self._replies.update)(asked, words)
        if ended:
            self._shown.pop(playlist.name, None)

    async def _still_open(self, asked: PendingRequest) -> int:
        """Count the playlist's requests that have no end yet, this one included: there are fewer after a restart."""
        return sum(other.playlist_id == asked.playlist_id for other in await self._store.open_requests())

    def _shown_of(self, name: str) -> _Shown:
        if name not in self._shown and len(self._shown) >= _REMEMBERED:
            self._shown.pop(next(iter(self._shown)))
        return self._shown.setdefault(name, _Shown())


def _arrival(track: Track, outcome: Outcome | None, locale: Locale) -> str:
    title = plain(track.title)
    if not isinstance(outcome, Arrived):
        return texts.READY_BUT_REMOVED.to(locale).format(title=title)
    if outcome.starts_now:
        return texts.PLAYING_NOW.to(locale).format(title=title)
    return texts.ADDED.to(locale).format(title=title, position=outcome.position)


def _progress(song: str, event: ProgressEvent, locale: Locale) -> str:
    stage = texts.STAGES[event.stage].to(locale)
    words = texts.PROGRESS.to(locale).format(song=plain(song), stage=stage, bar=percent_bar(event.percent))
    if event.eta_seconds is None or event.eta_seconds < 1:
        return words
    return f"{words} · {texts.ETA.to(locale).format(time=clock(event.eta_seconds * 1000))}"


def _playlist_progress(shown: _Shown, playlist: PlaylistId, locale: Locale) -> str:
    ready, count = shown.ready + playlist.at_hand, playlist.count + playlist.at_hand
    lines = [texts.PLAYLIST_PROGRESS.to(locale).format(title=plain(playlist.title), ready=ready, count=count)]
    if shown.failed:
        lines.append(texts.PLAYLIST_FAILED.to(locale).format(failed=shown.failed))
        lines.append(shown.last_failure)
    return "\n".join(lines)
