"""Resolves the text that a user typed: to a song of the library, or to a download request in the queue.

A library search counts only as a confident match; anything less goes through the queue, where the audio service
resolves it. While the audio service is unavailable, songs that this process found, this guild played or this user
keeps as favourites still resolve.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bot_service.audio_api import AudioApi
from bot_service.requests.matching import confident_match
from bot_service.requests.pending import Pending
from bot_service.requests.query import (
    IdKind,
    find_among,
    identity,
    kind_of_id,
    parse_query,
    search_terms,
    watch_url,
)
from bot_service.requests.tracks import Playlist, Suggestion, track_of_record
from bot_service.store.base import GuildStore, PendingRequest, Track
from common.errors import (
    AppError,
    AudioServiceUnavailable,
    BrokerError,
    DatabaseUnavailable,
    Locale,
    MediaNotFound,
)
from common.messages.base import utc_now
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

SUGGESTIONS = 25
"""Discord's limit of autocomplete choices."""
_SUGGEST_SECONDS = 0.9
_PAGE = 50
_HISTORY_SEARCHED = 200
_MAX_RECENT = 500
_MAX_OFFERED = 5000

BeforePublishing = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Requester:
    """The user behind a request, its place, and what a later reply needs. Ids are Discord's; "" and None: none.

    `asked_at` is `time.monotonic()` of the command; 0: unknown.
    """

    guild_id: int
    user_id: int
    text_channel_id: int
    voice_channel_id: int | None
    locale: Locale
    interaction_token: str = ""
    application_id: int = 0
    message_id: int | None = None
    playlist_id: str | None = None
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """The library has the song."""

    track: Track


@dataclass(frozen=True, slots=True)
class Requested:
    """A download request was queued. `library_searched` False: the audio service was unavailable for a look-up."""

    request_id: str
    library_searched: bool = True


class Songs:
    """Finds songs in the library, and requests those that it lacks."""

    def __init__(self, api: AudioApi, pending: Pending, store: GuildStore) -> None:
        self._api = api
        self._pending = pending
        self._store = store
        self._recent: dict[str, Track] = {}
        # What autocomplete and search of this process offered: a choice is only the id.
        self._offered: dict[str, Track] = {}
        self._without_file: set[str] = set()

    def mark_without_file(self, video_id: str) -> None:
        """Mark a library song whose file is missing or unusable: the next `find_or_request` requests it again."""
        self._without_file.add(video_id)

    def remember(self, track: Track) -> None:
        """Keep a library song resolvable while neither the library nor the store is available."""
        _keep(self._recent, track, _MAX_RECENT)

    async def find(self, song: str) -> Track | None:
        """Find a song in the library: by look-up for an id or a URL that carries one, by search for words.

        Raises:
            AudioServiceUnavailable: no response from the library.
            AppError: any other error of the audio service (db_connection_failed, ...).
        """
        query = parse_query(song)
        if query.video_id and (record := await self._api.media(query.video_id)) is not None:
            return track_of_record(record)
        if query.url or query.is_chosen:
            return None
        for term in search_terms(song):
            found = [track_of_record(record) for record in await self._api.search(term, _PAGE)]
            # A full page may have cut off titles that match as well.
            if len(found) < _PAGE and (track := confident_match(song, found)) is not None:
                return track
        return None

    async def find_or_request(
        self,
        song: str,
        requester: Requester,
        *,
        before_publishing: BeforePublishing | None = None,
        library_unavailable: bool = False,
    ) -> Found | Requested:
        """Find a song, or request its download.

        Args:
            song: the text typed.
            requester: the user behind it.
            before_publishing: awaited with the request id before publishing, so that its queue entry exists before its
                status can arrive. If this method raises afterwards, the caller removes the entry.
            library_unavailable: skip the library, which is known not to respond.

        Raises:
            BrokerError: the broker refused the request; the code says why.
            DatabaseUnavailable: the request could not be stored.
            AudioServiceUnavailable: an id of the library that only the library can resolve.
            MediaNotFound: an id of the library that it has no more, and no source ever had.
        """
        library_searched = not library_unavailable
        try:
            track = await (self._find_offline(song, requester) if library_unavailable else self.find(song))
        except AppError as exc:
            log.warning("songs.library_away", code=exc.code, detail=exc.detail)
            library_searched, track = False, await self._find_offline(song, requester)
        if track is None:
            song = self._as_requested(song, library_searched=library_searched)
        if track is not None and track.video_id in self._without_file:
            self._without_file.discard(track.video_id)
            song, track = track.url or self._as_requested(song, library_searched=library_searched), None
        if track is not None:
            self.remember(track)
            return Found(track)
        request = _pending_request(str(uuid.uuid4()), song, requester)
        if before_publishing is not None:
            await before_publishing(request.request_id)
        await self._pending.open(request)
        return Requested(request.request_id, library_searched)

    async def request_all(self, songs: Sequence[tuple[str, str]], requester: Requester) -> Mapping[str, BrokerError]:
        """Request many songs, given as (request id, song), without a library look-up: the audio service makes it.

        Returns the refused ones: request id → the broker's error.

        Raises:
            DatabaseUnavailable: none was requested.
        """
        return await self._pending.open_all([_pending_request(one, song, requester) for one, song in songs])

    async def suggest(self, prefix: str) -> list[Track]:
        """Return at most 25 songs of the library for a prefix; [] on failure or after 0.9 s. Never raises."""
        try:
            async with time_limit(_SUGGEST_SECONDS):
                found = await self._api.search(" ".join(prefix.split()), SUGGESTIONS)
        except (AppError, TimeoutError):
            return []
        return [self._offer(track_of_record(record)) for record in found]

    async def search(self, words: str, limit: int = 10) -> list[Suggestion]:
        """Search the library and the source: library songs first (with `track` set), then the source's, no duplicates.

        Raises:
            AppError: the source's error, when the library has no result either.
        """
        library, source = await asyncio.gather(
            self._api.search(words, limit), self._api.source_search(words, limit), return_exceptions=True
        )
        for outcome in (library, source):
            if isinstance(outcome, BaseException) and not isinstance(outcome, AppError):
                raise outcome
        if isinstance(source, BaseException) and (isinstance(library, BaseException) or not library):
            raise source
        records = [] if isinstance(library, BaseException) else library
        stored = [Suggestion.of_track(self._offer(track_of_record(record))) for record in records]
        found = [*stored, *map(Suggestion.of_item, [] if isinstance(source, BaseException) else source)]
        once: dict[str, Suggestion] = {}
        for suggestion in found:
            stored_id = suggestion.track.video_id if suggestion.track is not None else ""
            once.setdefault(identity(suggestion.url) or stored_id, suggestion)
        return list(once.values())[:limit]

    async def expand(self, url: str, limit: int) -> Playlist | None:
        """Return at most `limit` items of a playlist's URL; None for any other text.

        A YouTube URL that also names a video is that video. Whether a URL of another site is a playlist only the site
        knows; if it does not say, the URL is requested like a song, and that request fails with the site's error.

        Raises:
            AudioServiceUnavailable: the URL could not be classified.
            AppError: of YouTube playlists, as `AudioApi.playlist`.
        """
        query = parse_query(url)
        if not query.url or query.video_id or (query.is_youtube and not query.is_playlist):
            return None
        try:
            found = Playlist.of_source(await self._api.playlist(query.url, limit))
        except AppError as exc:
            if query.is_playlist or isinstance(exc, AudioServiceUnavailable):
                raise
            log.info("songs.not_expanded", code=exc.code, detail=exc.detail)
            return None
        return found if found.items else None

    def _offer(self, track: Track) -> Track:
        _keep(self._offered, track, _MAX_OFFERED)
        return track

    def _as_requested(self, song: str, *, library_searched: bool) -> str:
        """Return what to request for a text that was not found; an id is never searched for as words.

        Raises:
            AudioServiceUnavailable: an id that no source can resolve, while the library does not respond.
        """
        if (offered := self._offered_for(song)) is not None and offered.url:
            return offered.url
        query = parse_query(song)
        if query.is_chosen and query.url:
            return query.url
        kind = IdKind.RECORD if query.is_chosen else kind_of_id(song)
        if kind is IdKind.VIDEO:
            return watch_url(song.strip())
        if kind is IdKind.RECORD and not library_searched:
            raise AudioServiceUnavailable("a library id, which no source can resolve")
        if kind is IdKind.RECORD:
            raise MediaNotFound("a library id that the library does not have, or not its file")
        return song

    def shown(self, song: str) -> str:
        """Return what to show for a text until the song's title is known."""
        query = parse_query(song)
        if not query.is_chosen:
            return song
        offered = self._offered_for(song)
        return (offered.title if offered is not None else "") or query.url or query.video_id

    def _offered_for(self, song: str) -> Track | None:
        return self._offered.get(parse_query(song).video_id)

    async def _find_offline(self, song: str, requester: Requester) -> Track | None:
        """Search what was offered, this process's recent songs, the guild's history and the user's favourites."""
        if (offered := self._offered_for(song)) is not None:
            return offered
        if (track := find_among(song, list(self._recent.values()))) is not None:
            return track
        try:
            history = await self._store.history(requester.guild_id, _HISTORY_SEARCHED)
            favourites = await self._store.favourites(requester.user_id)
        except DatabaseUnavailable as exc:
            log.warning("songs.store_away", detail=exc.detail)
            return None
        tracks = {track.video_id: track for track in (*favourites, *(played.track for played in history))}
        return find_among(song, list(tracks.values()))


def _keep(tracks: dict[str, Track], track: Track, limit: int) -> None:
    """Put a track last, and drop the first ones beyond the limit."""
    tracks.pop(track.video_id, None)
    tracks[track.video_id] = track
    if len(tracks) > limit:
        del tracks[next(iter(tracks))]


def _pending_request(request_id: str, song: str, requester: Requester) -> PendingRequest:
    return PendingRequest(
        request_id=request_id,
        guild_id=requester.guild_id,
        text_channel_id=requester.text_channel_id,
        voice_channel_id=requester.voice_channel_id,
        user_id=requester.user_id,
        song=song,
        locale=requester.locale,
        interaction_token=requester.interaction_token,
        application_id=requester.application_id,
        message_id=requester.message_id,
        asked_at=utc_now(),
        playlist_id=requester.playlist_id,
    )
