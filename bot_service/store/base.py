"""The store port: what the bot still knows after a restart. Players, settings, favourites, open requests, history.

Pure values and one Protocol; knows neither a database nor Discord. What an adapter promises:

- A method that has returned has written: `kill -9` of the bot, or the loss of a replica set's primary, undoes nothing.
- Several processes may share a store. `finish_request` gives a request to exactly one of them.
- A newer program may have written a record: fields nobody here knows are passed over. A record that cannot be read is
  logged and treated as if it were not there; it never keeps the bot from starting.

Ids are Discord's numbers (below 2^63), times aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from common.dca import FRAME_MS
from common.errors import Locale
from common.health import Health

MAX_FAVOURITES = 500
"""Of one user."""
MAX_HISTORY = 200
"""Songs remembered of one guild; the oldest make room."""


class FavouritesFull(Exception):
    """The user has MAX_FAVOURITES already: one has to go before another can come. Nothing was changed."""


SavedPhase = Literal["idle", "connecting", "playing", "paused", "recovering"]
SavedLoop = Literal["off", "track", "queue"]


@dataclass(frozen=True, slots=True)
class Track:
    """A song of the library. `file_path` is its key in the blob store; `duration_ms` is 0 when unknown.

    `unfinished`: its download is still under way and may yet fail. It can be played, but is not in the library.
    """

    video_id: str
    title: str
    duration_ms: int
    url: str
    thumbnail_url: str
    platform: str
    file_path: str
    unfinished: bool = False

    @property
    def frames(self) -> int:
        """Number of 20 ms frames by the stated duration; 0 when that is unknown."""
        return -(-self.duration_ms // FRAME_MS)


@dataclass(frozen=True, slots=True)
class SavedEntry:
    """An entry of a saved queue; `track` is None while it is being fetched."""

    entry_id: str
    requester_id: int
    song: str
    asked_at: datetime
    track: Track | None = None


@dataclass(frozen=True, slots=True)
class SavedPlayer:
    """Saved state of a guild's player. `next_frame` is the 20 ms frame of `current` to send next.

    `entries` are the upcoming ones in order, `history` is newest first. `message_id`: the player message.
    """

    guild_id: int
    phase: SavedPhase
    current: SavedEntry | None
    next_frame: int
    entries: tuple[SavedEntry, ...]
    history: tuple[SavedEntry, ...]
    loop: SavedLoop
    voice_channel_id: int | None
    text_channel_id: int | None
    message_id: int | None
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class GuildSettings:
    """What a guild's managers have chosen; the defaults are what a guild has that chose nothing.

    `locale` None: the user's own. `dj_role_id`: who may command the player beside managers (None: everybody).
    `max_per_user`: upcoming songs one member may have, 0 for any number. `stay`: never leave the voice channel by
    itself. `announce`: a new player message for each song.
    """

    locale: Locale | None = None
    dj_role_id: int | None = None
    vote_skip: bool = False
    max_per_user: int = 0
    fair_queue: bool = False
    stay: bool = False
    resume_after_restart: bool = True
    announce: bool = True


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A download that was asked for and has no outcome yet, with what it takes to tell the person who asked.

    `interaction_token` answers the interaction for 15 minutes after `asked_at`; it opens nothing else. `message_id` is
    the reply's where it is known. `playlist_id` is shared by the requests of one playlist.
    """

    request_id: str
    guild_id: int
    text_channel_id: int
    voice_channel_id: int | None
    user_id: int
    song: str
    locale: Locale
    interaction_token: str = field(repr=False)
    application_id: int
    message_id: int | None
    asked_at: datetime
    playlist_id: str | None


@dataclass(frozen=True, slots=True)
class Played:
    """One line of a guild's history: what was played, for whom, since when."""

    track: Track
    user_id: int
    at: datetime


class GuildStore(Protocol):
    """Opened by `open_store`, which also closes it. Every method but `health` raises DatabaseUnavailable."""

    async def save_player(self, saved: SavedPlayer) -> None:
        """Write a guild's player over what was saved before."""
        ...

    async def load_players(self) -> list[SavedPlayer]:
        """Return every saved player, by guild id; `next_frame` and `saved_at` are the last `save_positions`'."""
        ...

    async def forget_player(self, guild_id: int) -> None:
        """Remove a guild's player; nothing happens where none is saved."""
        ...

    async def save_positions(self, positions: Mapping[int, int]) -> None:
        """Set `next_frame` of many guilds' saved players, by guild id, in one write; `saved_at` becomes now.

        Guilds without a saved player are passed over. Writes of one store to the same player happen in the order of
        their calls: positions told before a `save_player` never land on what that one saved.
        """
        ...

    async def settings(self, guild_id: int) -> GuildSettings:
        """Return what the guild has chosen, or the defaults."""
        ...

    async def save_settings(self, guild_id: int, settings: GuildSettings) -> None:
        """Write a guild's settings over those of before."""
        ...

    async def add_favourite(self, user_id: int, track: Track) -> bool:
        """Put a track first among a user's favourites; False: it is one already, and keeps its place.

        Raises:
            FavouritesFull: there are MAX_FAVOURITES.
        """
        ...

    async def favourites(self, user_id: int) -> list[Track]:
        """Return a user's favourites, the latest first."""
        ...

    async def remove_favourite(self, user_id: int, video_id: str) -> bool:
        """Take a track out of a user's favourites; False: it was not one."""
        ...

    async def add_requests(self, requests: Sequence[PendingRequest]) -> None:
        """Remember open requests, all or none of them. An id that is remembered already is written over."""
        ...

    async def request(self, request_id: str) -> PendingRequest | None:
        """Return an open request, or None when nobody knows it or it was finished."""
        ...

    async def finish_request(self, request_id: str) -> PendingRequest | None:
        """Take an open request out. Of all that ask, in any process, exactly one gets it; the others get None.

        DatabaseUnavailable leaves open whether it was taken.
        """
        ...

    async def open_requests(self) -> list[PendingRequest]:
        """Return every open request, of all processes that share the store, the oldest first."""
        ...

    async def add_history(self, guild_id: int, track: Track, user_id: int, when: datetime) -> None:
        """Put a song first in a guild's history, and drop what is beyond MAX_HISTORY."""
        ...

    async def history(self, guild_id: int, limit: int = 20) -> list[Played]:
        """Return what a guild heard, the latest first, at most `limit` (0 or more) lines."""
        ...

    async def health(self) -> Health:
        """Ask the database how it is; never raises."""
        ...
