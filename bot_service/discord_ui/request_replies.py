"""What becomes of requests, for those who made them: the player is told, and the reply to the command is edited.

A song that can be heard before it is whole has arrived then, for the reply; its end is told only if it is a bad one. A
playlist counts its songs at their ends.

Edits of one reply are at least 1.5 s apart while the song is on its way (Discord allows five in five seconds, for all
who write there). The end is always told.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from bot_service.discord_ui.followups import LateReplies
from bot_service.discord_ui.permissions import BotRefusalCode
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.errors import explain_failure
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.shape import clock, percent_bar
from bot_service.player.players import Players
from bot_service.player.rules.events import Dropped, Ready
from bot_service.player.rules.model import Entry
from bot_service.player.rules.outcomes import Arrived, Outcome, PlayerRefusal
from bot_service.requests.pending import Handler
from bot_service.requests.tracks import track_of_progress, track_of_status
from bot_service.services import Services
from bot_service.store.base import PendingRequest, Track
from common.errors import Locale
from common.messages.base import utc_now
from common.messages.downloads import ProgressEvent, StatusEvent

EDIT_SECONDS = 1.5
_REMEMBERED = 1000
# A playback that fails so learned it from the song's record: the status that says why is on its way.
_SAID_BY_THE_RECORD = frozenset({"media_not_found", "blob_not_found"})


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
    """A reply that is being edited. The lock keeps an edit under way from overtaking the end.

    `arrived`: it says where the song is, although that is unfinished. `told`: people know that it could not be played.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_edit: float = float("-inf")
    arrived: bool = False
    told: bool = False
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
        return Handler(self.finished, self.progress, self.timed_out, self.playable)

    async def playable(self, asked: PendingRequest, event: ProgressEvent) -> None:
        """Put the song where it was awaited although it is not whole yet; say so.

        Raises:
            InvalidMessage: the event does not say what the song is.
        """
        track = track_of_progress(event)
        outcome = await self._ask(asked, Ready(asked.request_id, track))
        if not isinstance(outcome, Arrived):
            return
        shown = self._shown_of(asked.request_id)
        if asked.playlist_id is None:
            async with shown.lock:
                await self._replies.tell(asked, _arrival(track, outcome, asked.locale))
        shown.arrived = True

    async def finished(self, asked: PendingRequest, status: StatusEvent) -> None:
        """Put the song where it was awaited, or take it out of the player; say so."""
        if not status.success:
            await self._give_up(asked, status.error_code or "internal_error")
            return
        self._metrics.requests.labels("success").inc()
        track = track_of_status(status)
        self._songs.know(track)
        outcome = await self._ask(asked, Ready(asked.request_id, track))
        await self._tell_end(asked, "" if self._has_arrived(asked) else _arrival(track, outcome, asked.locale))

    def note_failure(self, guild_id: int, song: str, code: str) -> None:
        """Keep for `status` why a song was not to be heard."""
        self.failures[guild_id] = Failure(song, code, utc_now())

    def tells_why(self, entry: Entry, code: str) -> bool:
        """Whether it is told here why an unfinished song could not be played: its request is open, and about to fail.

        Call it once for a playback that failed; where it says no, it counts as told by who asks.
        """
        shown = self._shown.get(entry.entry_id)
        if shown is None or not shown.arrived:
            return False
        shown.told = code not in _SAID_BY_THE_RECORD
        return not shown.told

    async def timed_out(self, asked: PendingRequest) -> None:
        """Take the song's place out of the queue and say that nobody answered. One that can be heard stays: if it does
        not come to its end, its playback will tell.
        """
        if self._has_arrived(asked):
            self._metrics.requests.labels(BotRefusalCode.TIMED_OUT).inc()
            await self._tell_end(asked, "")
        else:
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

    def _has_arrived(self, asked: PendingRequest) -> bool:
        shown = self._shown.get(asked.request_id)
        return shown is not None and shown.arrived

    def _title_of(self, asked: PendingRequest) -> str:
        """Return what its place in the player says: a title beats the link that was chosen from a menu or a list."""
        snapshot = self._players.of(asked.guild_id).snapshot
        places = (snapshot.current, *snapshot.entries, *snapshot.history)
        return next((one.title for one in places if one is not None and one.entry_id == asked.request_id), asked.song)

    async def _ask(self, asked: PendingRequest, command: Ready | Dropped) -> Outcome | None:
        try:
            return await self._players.of(asked.guild_id).ask(command)
        except PlayerRefusal:
            return None

    async def _tell_end(self, asked: PendingRequest, words: str, *, failed: bool = False) -> None:
        """Say how a request ended; without words there is nothing new to say."""
        if asked.playlist_id is not None:
            await self._tell_part(asked, PlaylistId.parse(asked.playlist_id), words if failed else "")
        else:
            shown = self._shown_of(asked.request_id)
            async with shown.lock:
                if words and not shown.told:
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
