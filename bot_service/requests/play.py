"""Use case `play`: the text typed becomes entries of the guild's queue and, for songs the library lacks, open requests.

Knows ids, not Discord: permissions are checked and replies are written by `bot_service.discord_ui`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot_service.metrics import BotMetrics
from bot_service.player.players import Players
from bot_service.player.rules.events import Dropped, Enqueue
from bot_service.player.rules.model import Entry
from bot_service.player.rules.outcomes import Enqueued
from bot_service.requests.songs import Found, Requester, Songs
from bot_service.requests.tracks import Playlist, Suggestion
from bot_service.store.base import Track
from common.errors import AppError, AudioServiceUnavailable
from common.messages.base import utc_now
from common.observability.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SongQueued:
    """A song of the library was queued."""

    track: Track
    outcome: Enqueued


@dataclass(frozen=True, slots=True)
class SongRequested:
    """A song was requested. `library_searched` False: the audio service was unavailable for a look-up."""

    song: str
    library_searched: bool


@dataclass(frozen=True, slots=True)
class PlaylistQueued:
    """Counts of a playlist's songs: `requested` downloads, `queued` from the library, `left_out` over a limit."""

    playlist: Playlist
    requested: int
    queued: int
    left_out: int


@dataclass(frozen=True, slots=True)
class PlaylistId:
    """Identifies the requests of one playlist and counts them; as text "<uuid>:<count>:<at hand>:<title>".

    `at_hand` songs were in the library and needed no request.
    """

    name: str
    count: int
    at_hand: int = 0
    title: str = ""

    @classmethod
    def new(cls, count: int, at_hand: int = 0, title: str = "") -> PlaylistId:
        """Make a unique one."""
        return cls(uuid.uuid4().hex, count, at_hand, title)

    @classmethod
    def parse(cls, text: str) -> PlaylistId:
        """Read the text; one of another form counts as a playlist of one song."""
        name, count, at_hand, title = (*text.split(":", 3), "", "", "")[:4]
        return cls(name, int(count) if count.isdecimal() else 1, int(at_hand) if at_hand.isdecimal() else 0, title)

    def __str__(self) -> str:
        """Return the text."""
        return f"{self.name}:{self.count}:{self.at_hand}:{self.title}"


class PlayRequests:
    """Queues songs and playlists for guilds' players."""

    def __init__(self, songs: Songs, players: Players, metrics: BotMetrics, *, playlist_limit: int) -> None:
        self._songs = songs
        self._players = players
        self._metrics = metrics
        self._playlist_limit = playlist_limit

    async def play(
        self, song: str, requester: Requester, *, front: bool = False, title: str = ""
    ) -> SongQueued | SongRequested | PlaylistQueued:
        """Play a typed text: words, an id, a song's URL, or a playlist's.

        Args:
            song: the text.
            requester: the user behind it; `voice_channel_id` is where to play.
            front: queue it before the other entries.
            title: shown for the song until its own title is known; "": the text.

        Raises:
            PlayerRefusal: the queue refuses it.
            AppError: it can be neither found nor requested.
        """
        playlist, library_unavailable = await self._expand(song)
        if playlist is not None and playlist.items:
            return await self._play_all(playlist, requester, front=front)
        player, title = self._players.of(requester.guild_id), title or self._songs.shown(song)
        placed: list[str] = []

        async def place(request_id: str) -> None:
            entry = Entry(request_id, requester.user_id, title, utc_now())
            await player.ask(_enqueue([entry], requester, front=front))
            placed.append(request_id)

        try:
            found = await self._songs.find_or_request(
                song, requester, before_publishing=place, library_unavailable=library_unavailable
            )
        except AppError as exc:
            for request_id in placed:
                await player.ask(Dropped(request_id, exc.code))
            raise
        if isinstance(found, Found):
            self._metrics.library_hits.inc()
            return SongQueued(found.track, await self.play_tracks([found.track], requester, front=front))
        return SongRequested(title, found.library_searched)

    async def play_tracks(self, tracks: Sequence[Track], requester: Requester, *, front: bool = False) -> Enqueued:
        """Queue songs of the library.

        Raises:
            PlayerRefusal: the queue refuses all of them.
        """
        entries = [Entry(str(uuid.uuid4()), requester.user_id, track.title, utc_now(), track) for track in tracks]
        return await self._queue(entries, requester, front=front)

    async def _expand(self, song: str) -> tuple[Playlist | None, bool]:
        """Return the playlist, if the text is one, and whether the audio service is unavailable."""
        try:
            return await self._songs.expand(song, self._playlist_limit), False
        except AudioServiceUnavailable as exc:
            # Unclassified, it may still be downloaded as one song: workers read the queue, not the API.
            log.info("playlist.unknown", detail=exc.detail)
            return None, True

    async def _play_all(self, playlist: Playlist, requester: Requester, *, front: bool) -> PlaylistQueued:
        items = playlist.items[: self._playlist_limit]
        entries = [_entry_of(item, requester.user_id) for item in items]
        outcome = await self._queue(entries, requester, front=front)
        urls = {entry.entry_id: item.url for entry, item in zip(entries, items, strict=True)}
        missing = [entry for entry in outcome.added if entry.track is None]
        playlist_id = PlaylistId.new(len(missing), len(outcome.added) - len(missing), playlist.title)
        songs = [(entry.entry_id, urls[entry.entry_id]) for entry in missing]
        refused = await self._request_all(songs, replace(requester, playlist_id=str(playlist_id)))
        for request_id, error in refused.items():
            await self._players.of(requester.guild_id).ask(Dropped(request_id, error.code))
        if missing and len(refused) == len(outcome.added):
            raise next(iter(refused.values()))
        return PlaylistQueued(
            playlist=playlist,
            requested=len(missing) - len(refused),
            queued=len(outcome.added) - len(missing),
            left_out=len(outcome.left_out) + len(refused),
        )

    async def _request_all(self, songs: list[tuple[str, str]], requester: Requester) -> dict[str, AppError]:
        if not songs:
            return {}
        try:
            refused = await self._songs.request_all(songs, requester)
        except AppError as exc:
            return {request_id: exc for request_id, _ in songs}
        return dict(refused)

    async def _queue(self, entries: Sequence[Entry], requester: Requester, *, front: bool) -> Enqueued:
        outcome = await self._players.of(requester.guild_id).ask(_enqueue(entries, requester, front=front))
        assert isinstance(outcome, Enqueued), "Enqueue is answered by Enqueued"  # noqa: S101 - narrows the type
        return outcome


def _enqueue(entries: Sequence[Entry], requester: Requester, *, front: bool) -> Enqueue:
    # The caller has checked that there is a voice channel; 0 is none, and would end in voice_failed.
    channel_id = requester.voice_channel_id or 0
    return Enqueue(tuple(entries), channel_id, requester.text_channel_id, front, requester.asked_at)


def _entry_of(item: Suggestion, user_id: int) -> Entry:
    return Entry(str(uuid.uuid4()), user_id, item.title or item.url, utc_now(), item.track)
