"""Queue entries of open requests: ready when their song can be played, dropped when their request fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot_service.metrics import BotMetrics
from bot_service.player.players import Players
from bot_service.player.rules.events import Dropped, Ready
from bot_service.player.rules.outcomes import Arrived, Outcome, PlayerRefusal
from bot_service.requests.songs import Songs
from bot_service.requests.tracks import track_of_progress, track_of_status
from bot_service.store.base import PendingRequest, Track
from common.messages.base import utc_now
from common.messages.downloads import ProgressEvent, StatusEvent

TIMED_OUT = "timed_out"
"""Code of a request that was completed without a status."""

WITHDRAWN = "withdrawn"
"""Code of a request whose song is no longer queued."""


@dataclass(frozen=True, slots=True)
class ReadyEntry:
    """The track of an entry and where the player put it; `arrived` None: the entry was removed before."""

    track: Track
    arrived: Arrived | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A song that could not be downloaded or played; `code` is an error code or TIMED_OUT."""

    song: str
    code: str
    at: datetime


class RequestEntries:
    """Applies the progress and completion of requests to guilds' players, and counts the outcomes.

    `failures` has the last failure of each guild since the start.
    """

    def __init__(self, songs: Songs, players: Players, metrics: BotMetrics) -> None:
        self._songs = songs
        self._players = players
        self._metrics = metrics
        self.failures: dict[int, Failure] = {}

    async def make_playable(self, request: PendingRequest, event: ProgressEvent) -> ReadyEntry:
        """Give the entry its unfinished track.

        Raises:
            InvalidMessage: the event lacks the song's metadata or file.
        """
        return await self._ready(request, track_of_progress(event))

    async def finish(self, request: PendingRequest, status: StatusEvent) -> ReadyEntry:
        """Give the entry its finished track."""
        self._metrics.requests.labels("success").inc()
        track = track_of_status(status)
        self._songs.remember(track)
        return await self._ready(request, track)

    async def drop(self, request: PendingRequest, code: str) -> str:
        """Remove the entry of a failed request, playing or not; return the title it had."""
        self._metrics.requests.labels(code).inc()
        title = self.title(request)
        self.note_failure(request.guild_id, title, code)
        await self._ask(request, Dropped(request.request_id, code))
        return title

    def withdraw(self, request: PendingRequest) -> str:
        """Count a request that no one waits for any more; return the title of its song."""
        self._metrics.requests.labels(WITHDRAWN).inc()
        return self.title(request)

    def keep_unfinished(self) -> None:
        """Count a time-out whose entry stays, because its unfinished song can be played."""
        self._metrics.requests.labels(TIMED_OUT).inc()

    def note_failure(self, guild_id: int, song: str, code: str) -> None:
        """Record a guild's last failure."""
        self.failures[guild_id] = Failure(song, code, utc_now())

    def title(self, request: PendingRequest) -> str:
        """Return the title of the entry, or the text typed if there is no entry."""
        snapshot = self._players.of(request.guild_id).snapshot
        entries = (snapshot.current, *snapshot.entries, *snapshot.history)
        titles = (one.title for one in entries if one is not None and one.entry_id == request.request_id)
        return next(titles, request.song)

    async def _ready(self, request: PendingRequest, track: Track) -> ReadyEntry:
        outcome = await self._ask(request, Ready(request.request_id, track))
        return ReadyEntry(track, outcome if isinstance(outcome, Arrived) else None)

    async def _ask(self, request: PendingRequest, command: Ready | Dropped) -> Outcome | None:
        try:
            return await self._players.of(request.guild_id).ask(command)
        except PlayerRefusal:
            return None
