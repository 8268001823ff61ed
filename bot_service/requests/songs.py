"""From what somebody typed to a song: in the library, or by a request through the queue.

A library hit by words counts only when it is a confident match; whatever is less than that goes through the queue,
where resolution decides. With the audio service away, songs that this bot found, this guild heard or this user keeps
still play.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bot_service.audio_api import AudioApi
from bot_service.requests.matching import confident_match
from bot_service.requests.pending import Pending, download_request
from bot_service.requests.query import among, identity, searches, understand
from bot_service.requests.tracks import Playlist, Suggestion, track_of_record
from bot_service.store.base import GuildStore, PendingRequest, Track
from common.errors import (
    AppError,
    AudioServiceUnavailable,
    BrokerError,
    DatabaseUnavailable,
    Locale,
)
from common.messages.base import utc_now
from common.observability.telemetry import get_logger

log = get_logger(__name__)

SUGGESTIONS = 25
"""As many choices as Discord shows."""
_SUGGEST_SECONDS = 0.9
_PAGE = 50
_REMEMBERED = 200
_KNOWN = 500

BeforePublishing = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, where, and how they can be answered later. Ids are Discord's; "" and None: there is none.

    `asked_at` is `time.monotonic()` when the command came; 0: not known.
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
    """The library has it."""

    track: Track


@dataclass(frozen=True, slots=True)
class Requested:
    """It is in the queue under that id. `audio_service_answers` is False when the library could not be asked first."""

    request_id: str
    audio_service_answers: bool = True


class Songs:
    """Finds songs, and requests those that are not there."""

    def __init__(self, api: AudioApi, pending: Pending, store: GuildStore) -> None:
        self._api = api
        self._pending = pending
        self._store = store
        self._known: dict[str, Track] = {}
        self._lost: set[str] = set()

    def note_lost(self, video_id: str) -> None:
        """Note that a song of the library has no usable file: asked for again, it is requested, which mends that."""
        self._lost.add(video_id)

    def know(self, track: Track) -> None:
        """Remember a song of the library for when neither the library nor the store can be asked."""
        self._known.pop(track.video_id, None)
        self._known[track.video_id] = track
        if len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    async def find(self, song: str) -> Track | None:
        """Look a song up in the library: an id, or a URL that carries one, by look-up; words by search.

        Raises:
            AudioServiceUnavailable: the library cannot be asked.
            AppError: what else the audio service refused with (db_connection_failed, ...).
        """
        asked = understand(song)
        if asked.video_id and (record := await self._api.media(asked.video_id)) is not None:
            return track_of_record(record)
        if asked.url:
            return None
        for part in searches(song):
            found = [track_of_record(record) for record in await self._api.search(part, _PAGE)]
            # Behind a full page there may be rivals that nobody has seen.
            if len(found) < _PAGE and (track := confident_match(song, found)) is not None:
                return track
        return None

    async def find_or_request(
        self,
        song: str,
        asker: Asker,
        *,
        before_publishing: BeforePublishing | None = None,
        library_away: bool = False,
    ) -> Found | Requested:
        """Find a song, or request it.

        Args:
            song: what was typed.
            asker: who did.
            before_publishing: awaited with the request's id before it is published, so that its place in the queue is
                there when the answer comes. If this method raises afterwards, the place is the caller's to remove.
            library_away: the audio service is known not to answer, and is not asked.

        Raises:
            BrokerError: the queue does not take it; the code says why.
            DatabaseUnavailable: the request could not be stored.
        """
        answers = not library_away
        try:
            track = await (self._remembered(song, asker) if library_away else self.find(song))
        except AppError as exc:
            log.warning("songs.library_away", code=exc.code, detail=exc.detail)
            answers, track = False, await self._remembered(song, asker)
        if track is not None and track.video_id in self._lost:
            self._lost.discard(track.video_id)
            song, track = track.url or song, None
        if track is not None:
            self.know(track)
            return Found(track)
        asked = _pending_request(str(uuid.uuid4()), song, asker)
        if before_publishing is not None:
            await before_publishing(asked.request_id)
        await self._pending.open(asked, download_request(asked))
        return Requested(asked.request_id, answers)

    async def request_all(self, songs: Sequence[tuple[str, str]], asker: Asker) -> Mapping[str, BrokerError]:
        """Request many songs, given as (request id, song), without looking into the library (the audio service does).

        Returns those that the queue refused: request id → why.

        Raises:
            DatabaseUnavailable: none was requested.
        """
        asked = [_pending_request(request_id, song, asker) for request_id, song in songs]
        return await self._pending.open_all([(one, download_request(one)) for one in asked])

    async def suggest(self, prefix: str) -> list[Track]:
        """Return songs of the library for what is typed so far, at most 25; [] when that takes long. Never raises."""
        try:
            async with asyncio.timeout(_SUGGEST_SECONDS):
                found = await self._api.search(" ".join(prefix.split()), SUGGESTIONS)
        except (AppError, TimeoutError):
            return []
        return [track_of_record(record) for record in found]

    async def search(self, words: str, limit: int = 10) -> list[Suggestion]:
        """Return what there is for words: songs of the library first (their `track` is set), then the source's.

        Raises:
            AppError: neither could be asked; what the source said.
        """
        library, source = await asyncio.gather(
            self._api.search(words, limit), self._api.source_search(words, limit), return_exceptions=True
        )
        for outcome in (library, source):
            if isinstance(outcome, BaseException) and not isinstance(outcome, AppError):
                raise outcome
        if isinstance(source, BaseException) and (isinstance(library, BaseException) or not library):
            raise source
        stored = (
            []
            if isinstance(library, BaseException)
            else [Suggestion.of_track(track_of_record(record)) for record in library]
        )
        known = {identity(suggestion.url) for suggestion in stored}
        others = [] if isinstance(source, BaseException) else [Suggestion.of_item(item) for item in source]
        return [*stored, *(other for other in others if identity(other.url) not in known)][:limit]

    async def expand(self, url: str, limit: int) -> Playlist | None:
        """Return the items of a playlist's URL, at most `limit`; None for anything else.

        A YouTube address that names a video, too, is that video. Whether another site's address is a playlist, only
        the site can say; when it says nothing, the address is requested like any other and its error tells why.

        Raises:
            AudioServiceUnavailable: it cannot be told what the address is.
            AppError: of YouTube playlists, as `AudioApi.playlist`.
        """
        asked = understand(url)
        if not asked.url or asked.video_id or (asked.is_youtube and not asked.is_list):
            return None
        try:
            found = Playlist.of_source(await self._api.playlist(asked.url, limit))
        except AppError as exc:
            if asked.is_list or isinstance(exc, AudioServiceUnavailable):
                raise
            log.info("songs.not_expanded", code=exc.code, detail=exc.detail)
            return None
        return found if found.items else None

    async def _remembered(self, song: str, asker: Asker) -> Track | None:
        """Look among what this process has found, this guild heard and this user keeps."""
        if (track := among(song, list(self._known.values()))) is not None:
            return track
        try:
            history = await self._store.history(asker.guild_id, _REMEMBERED)
            favourites = await self._store.favourites(asker.user_id)
        except DatabaseUnavailable as exc:
            log.warning("songs.store_away", detail=exc.detail)
            return None
        tracks = {track.video_id: track for track in (*favourites, *(played.track for played in history))}
        return among(song, list(tracks.values()))


def _pending_request(request_id: str, song: str, asker: Asker) -> PendingRequest:
    return PendingRequest(
        request_id=request_id,
        guild_id=asker.guild_id,
        text_channel_id=asker.text_channel_id,
        voice_channel_id=asker.voice_channel_id,
        user_id=asker.user_id,
        song=song,
        locale=asker.locale,
        interaction_token=asker.interaction_token,
        application_id=asker.application_id,
        message_id=asker.message_id,
        asked_at=utc_now(),
        playlist_id=asker.playlist_id,
    )
