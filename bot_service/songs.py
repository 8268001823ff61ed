"""From what somebody typed to a song: in the library, or by a request through the queue.

A library hit by words counts only when it is a confident match; whatever is less than that goes through the queue,
where resolution decides. With the audio service away, songs that this guild heard or this user keeps still play.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bot_service.audio_api import AudioApi, Playlist, Suggestion
from bot_service.pending import Pending
from bot_service.player.track import Track
from bot_service.store.base import GuildStore
from common.errors import BrokerError, Locale

BeforePublishing = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, where, and how they can be answered later. Ids are Discord's; "" and None: there is none."""

    guild_id: int
    user_id: int
    text_channel_id: int
    voice_channel_id: int
    locale: Locale
    interaction_token: str = ""
    application_id: int = 0
    message_id: int | None = None
    playlist_id: str | None = None


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

    async def find(self, song: str) -> Track | None:
        """Look a song up in the library: an id, or a URL that carries one, by look-up; words by search.

        Raises:
            AudioServiceUnavailable: the library cannot be asked.
            AppError: what else the audio service refused with (db_connection_failed, ...).
        """
        raise NotImplementedError

    async def find_or_request(
        self, song: str, asker: Asker, *, before_publishing: BeforePublishing | None = None
    ) -> Found | Requested:
        """Find a song, or request it.

        Args:
            song: what was typed.
            asker: who did.
            before_publishing: awaited with the request's id before it is published, so that its place in the queue is
                there when the answer comes. If this method raises afterwards, the place is the caller's to remove.

        Raises:
            BrokerError: the queue does not take it; the code says why.
            DatabaseUnavailable: the request could not be stored.
        """
        raise NotImplementedError

    async def request_all(self, songs: Sequence[tuple[str, str]], asker: Asker) -> Mapping[str, BrokerError]:
        """Request many songs, given as (request id, song), without looking into the library (the audio service does).

        Returns those that the queue refused: request id → why.

        Raises:
            DatabaseUnavailable: none was requested.
        """
        raise NotImplementedError

    async def suggest(self, prefix: str) -> list[Track]:
        """Return songs of the library for what is typed so far, at most 25; [] when that takes long. Never raises."""
        raise NotImplementedError

    async def search(self, words: str, limit: int = 10) -> list[Suggestion]:
        """Return what there is for words: songs of the library first (their `track` is set), then the source's.

        Raises:
            AppError: neither could be asked; what the source said.
        """
        raise NotImplementedError

    async def expand(self, url: str, limit: int) -> Playlist | None:
        """Return the items of a playlist's URL, at most `limit`; None for anything else.

        Raises:
            AppError: as `AudioApi.playlist`.
        """
        raise NotImplementedError
