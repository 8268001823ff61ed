"""The bot's records and the port that keeps them across restarts: players, settings, favourites, history, requests.

Values and one Protocol; imports no database and no Discord. Guarantees of every adapter:

- Writes are durable when the method returns: `kill -9`, or the loss of a replica set's primary, loses none of them.
- Several processes may share a store; `finish_request` gives a request to exactly one of them.
- Unknown fields, written by a newer program, are ignored. A record that cannot be read is logged and treated as
  missing; it never prevents the bot from starting.

Ids are Discord snowflakes (below 2^63), times aware UTC.
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
"""Per user."""
MAX_HISTORY = 200
"""Per guild; the oldest are dropped."""


class FavouritesFull(Exception):
    """The user has MAX_FAVOURITES already; nothing was added."""


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
    """Settings of a guild, with their defaults.

    `locale` None: each user's own. `dj_role_id`: role that may control the player beside managers (None: every member).
    `max_per_user`: upcoming songs per member, 0 for no limit. `stay`: never leave the voice channel when idle or alone.
    `announce`: send a new player message for each song.
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
    """A download request without an outcome yet, with what is needed to reply to its user.

    `interaction_token` is valid for replies to the interaction, for 15 minutes after `asked_at`. `message_id`: the
    reply, if known. `playlist_id` is shared by the requests of one playlist.
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
    """One line of a guild's history: the track, its requester, and when it started."""

    track: Track
    user_id: int
    at: datetime


class GuildStore(Protocol):
    """Opened and closed by `open_store`. Every method except `health` raises DatabaseUnavailable."""

    position_seconds: float
    """Seconds between calls of `save_positions`, which a restart repeats of a song. Some databases bill each write."""

    async def save_player(self, saved: SavedPlayer) -> None:
        """Replace a guild's saved player."""
        ...

    async def load_players(self) -> list[SavedPlayer]:
        """Return all saved players, ordered by guild id, with the last saved positions."""
        ...

    async def forget_player(self, guild_id: int) -> None:
        """Delete a guild's saved player; no-op if there is none."""
        ...

    async def save_positions(self, positions: Mapping[int, int]) -> None:
        """Set `next_frame` of saved players, by guild id, in one write; `saved_at` becomes now.

        Guilds without a saved player are ignored. Writes of one store to the same player are applied in the order of
        the calls: a stale position never overwrites a later `save_player`.
        """
        ...

    async def settings(self, guild_id: int) -> GuildSettings:
        """Return the guild's settings, or the defaults."""
        ...

    async def save_settings(self, guild_id: int, settings: GuildSettings) -> None:
        """Replace a guild's settings."""
        ...

    async def add_favourite(self, user_id: int, track: Track) -> bool:
        """Insert a track at the front of a user's favourites; False if it is one already (it keeps its place).

        Raises:
            FavouritesFull: the user has MAX_FAVOURITES.
        """
        ...

    async def favourites(self, user_id: int) -> list[Track]:
        """Return a user's favourites, newest first."""
        ...

    async def remove_favourite(self, user_id: int, video_id: str) -> bool:
        """Remove a favourite; False if it was not one."""
        ...

    async def add_requests(self, requests: Sequence[PendingRequest]) -> None:
        """Insert or replace open requests by id, all or none of them."""
        ...

    async def request(self, request_id: str) -> PendingRequest | None:
        """Return an open request; None if it is unknown or finished."""
        ...

    async def finish_request(self, request_id: str) -> PendingRequest | None:
        """Remove and return an open request: exactly one caller, in any process, gets it, the others None.

        After DatabaseUnavailable it may or may not have been removed.
        """
        ...

    async def open_requests(self) -> list[PendingRequest]:
        """Return the open requests of all processes that share the store, oldest first."""
        ...

    async def add_history(self, guild_id: int, track: Track, user_id: int, when: datetime) -> None:
        """Insert a song at the front of a guild's history and drop lines beyond MAX_HISTORY."""
        ...

    async def history(self, guild_id: int, limit: int = 20) -> list[Played]:
        """Return at most `limit` lines (0 or more), newest first."""
        ...

    async def health(self) -> Health:
        """Query the database's health; never raises."""
        ...
