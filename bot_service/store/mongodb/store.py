"""The MongoDB adapter of the store port: bots share a replica set, with the majority's reads and writes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from bot_service.store.base import GuildSettings, PendingRequest, Played, SavedPlayer, Track
from bot_service.store.mongodb import people, players
from bot_service.store.mongodb import requests as open_requests
from bot_service.store.mongodb.collections import INDEXES, BotCollections
from common.databases.mongodb import OPERATION_SECONDS, MongoConnection, connected
from common.databases.mongodb_health import NAME, HealthProbe
from common.errors import DatabaseUnavailable
from common.health import Health
from common.settings import SharedSettings


@asynccontextmanager
async def open_mongodb(
    settings: SharedSettings, *, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[MongoStore, None]:
    """Connect to the replica set that MONGO_HOST names. One that is down is no failure here: health says so, and every
    method raises DatabaseUnavailable after `operation_seconds`, until it is back.

    Raises:
        DatabaseUnavailable: it will not work with these settings; the detail names the one to look at.
    """
    async with connected(settings, BotCollections.of, INDEXES, operation_seconds) as connection:
        yield MongoStore(connection)


class MongoStore:
    """GuildStore over a replica set; the port's docstrings hold. Made by `open_mongodb`."""

    def __init__(self, connection: MongoConnection[BotCollections]) -> None:
        self._connection = connection
        self._revisions = players.Revisions()
        self._health = HealthProbe(connection)

    async def save_player(self, saved: SavedPlayer) -> None:
        """Write a guild's player."""
        revision = self._revisions.next()
        await self._connection.run(lambda db: players.save(db, saved, revision))

    async def load_players(self) -> list[SavedPlayer]:
        """Return every saved player."""
        return await self._connection.run(lambda db: players.load(db, self._revisions))

    async def forget_player(self, guild_id: int) -> None:
        """Remove a guild's player."""
        await self._connection.run(lambda db: players.forget(db, guild_id))

    async def save_positions(self, positions: Mapping[int, int]) -> None:
        """Set many positions with one command; revisions keep the order of calls."""
        revision = self._revisions.next()
        if positions:
            await self._connection.run(lambda db: players.save_positions(db, positions, revision))

    async def settings(self, guild_id: int) -> GuildSettings:
        """Return what the guild has chosen."""
        return await self._connection.run(lambda db: players.settings(db, guild_id))

    async def save_settings(self, guild_id: int, settings: GuildSettings) -> None:
        """Write a guild's settings."""
        await self._connection.run(lambda db: players.save_settings(db, guild_id, settings))

    async def add_favourite(self, user_id: int, track: Track) -> bool:
        """Put a track first among a user's favourites."""
        return await self._connection.run(lambda db: people.add_favourite(db, user_id, track))

    async def favourites(self, user_id: int) -> list[Track]:
        """Return a user's favourites."""
        return await self._connection.run(lambda db: people.favourites(db, user_id))

    async def remove_favourite(self, user_id: int, video_id: str) -> bool:
        """Take a track out of a user's favourites."""
        return await self._connection.run(lambda db: people.remove_favourite(db, user_id, video_id))

    async def add_requests(self, requests: Sequence[PendingRequest]) -> None:
        """Remember open requests."""
        await self._connection.run(lambda db: open_requests.add(db, requests))

    async def request(self, request_id: str) -> PendingRequest | None:
        """Return an open request."""
        return await self._connection.run(lambda db: open_requests.find(db, request_id))

    async def finish_request(self, request_id: str) -> PendingRequest | None:
        """Take an open request out."""
        return await self._connection.run(lambda db: open_requests.take(db, request_id))

    async def open_requests(self) -> list[PendingRequest]:
        """Return every open request."""
        return await self._connection.run(open_requests.load)

    async def add_history(self, guild_id: int, track: Track, user_id: int, when: datetime) -> None:
        """Put a song first in a guild's history."""
        await self._connection.run(lambda db: people.add_history(db, guild_id, Played(track, user_id, when)))

    async def history(self, guild_id: int, limit: int = 20) -> list[Played]:
        """Return what a guild heard."""
        return await self._connection.run(lambda db: people.history(db, guild_id, limit))

    async def health(self) -> Health:
        """Ask the server; what the user has no right to see is null."""
        try:
            about = await self._health.ask()
        except DatabaseUnavailable as exc:
            return Health(NAME, ok=False, error=exc.detail)
        return Health(NAME, ok=True, metadata={"mongo": about})
