"""The SQLite adapter of the store port: one file. What a method has returned from is on the disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from bot_service.store.base import GuildSettings, PendingRequest, Played, SavedPlayer, Track
from bot_service.store.sqlite import people, players
from bot_service.store.sqlite import requests as open_requests
from bot_service.store.sqlite.schema import KEY, MIGRATIONS
from common.databases.sqlite import SqliteFile, Transaction, opened
from common.errors import DatabaseUnavailable
from common.health import Health

BUSY_SECONDS = 5.0


@asynccontextmanager
async def open_sqlite(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> AsyncGenerator[SqliteStore, None]:
    """Open the store at `path`, creating or migrating it.

    Raises:
        DatabaseUnavailable: the file cannot be made, read or written, is no database, or a newer program's. The detail
            names BOT_SQLITE_PATH.
    """
    async with opened(path, busy_seconds, MIGRATIONS, key=KEY) as file:
        yield SqliteStore(file)


class SqliteStore:
    """GuildStore over one SQLite file; the port's docstrings hold. Made by `open_sqlite`."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._reader, self._writer = file.reader, file.writer

    async def save_player(self, saved: SavedPlayer) -> None:
        """Write a guild's player."""
        await self._writer.write(lambda tx: players.save(tx, saved))

    async def load_players(self) -> list[SavedPlayer]:
        """Return every saved player."""
        return await self._reader.read(players.load)

    async def forget_player(self, guild_id: int) -> None:
        """Remove a guild's player."""
        await self._writer.write(lambda tx: players.forget(tx, guild_id))

    async def save_positions(self, positions: Mapping[int, int]) -> None:
        """Set many positions in one transaction; the one writer keeps the order of calls."""
        if positions:
            await self._writer.write(lambda tx: players.save_positions(tx, positions))

    async def settings(self, guild_id: int) -> GuildSettings:
        """Return what the guild has chosen."""
        return await self._reader.read(lambda tx: players.settings(tx, guild_id))

    async def save_settings(self, guild_id: int, settings: GuildSettings) -> None:
        """Write a guild's settings."""
        await self._writer.write(lambda tx: players.save_settings(tx, guild_id, settings))

    async def add_favourite(self, user_id: int, track: Track) -> bool:
        """Put a track first among a user's favourites."""
        return await self._writer.write(lambda tx: people.add_favourite(tx, user_id, track))

    async def favourites(self, user_id: int) -> list[Track]:
        """Return a user's favourites."""
        return await self._reader.read(lambda tx: people.favourites(tx, user_id))

    async def remove_favourite(self, user_id: int, video_id: str) -> bool:
        """Take a track out of a user's favourites."""
        return await self._writer.write(lambda tx: people.remove_favourite(tx, user_id, video_id))

    async def add_requests(self, requests: Sequence[PendingRequest]) -> None:
        """Remember open requests."""
        await self._writer.write(lambda tx: open_requests.add(tx, requests))

    async def request(self, request_id: str) -> PendingRequest | None:
        """Return an open request."""
        return await self._reader.read(lambda tx: open_requests.find(tx, request_id))

    async def finish_request(self, request_id: str) -> PendingRequest | None:
        """Take an open request out."""
        return await self._writer.write(lambda tx: open_requests.take(tx, request_id))

    async def open_requests(self) -> list[PendingRequest]:
        """Return every open request."""
        return await self._reader.read(open_requests.load)

    async def add_history(self, guild_id: int, track: Track, user_id: int, when: datetime) -> None:
        """Put a song first in a guild's history."""
        await self._writer.write(lambda tx: people.add_history(tx, guild_id, Played(track, user_id, when)))

    async def history(self, guild_id: int, limit: int = 20) -> list[Played]:
        """Return what a guild heard."""
        return await self._reader.read(lambda tx: people.history(tx, guild_id, limit))

    async def health(self) -> Health:
        """Count in the reader and take the write lock for a moment: a store that cannot be written is ill."""
        began = time.monotonic()
        try:
            if not self._file.path.exists():
                raise DatabaseUnavailable(f"{KEY}: the file is gone")  # noqa: TRY301 - one way to say "ill"
            records = await self._reader.read(_count)
            await self._writer.write(lambda _tx: None)
        except DatabaseUnavailable as exc:
            return Health("sqlite", ok=False, error=exc.detail)
        latency_ms = round((time.monotonic() - began) * 1000, 3)
        about = {"version": sqlite3.sqlite_version, "records": records, "latency_ms": latency_ms}
        return Health("sqlite", ok=True, metadata={"sqlite": about})


def _count(tx: Transaction) -> dict[str, int]:
    row = tx.db.execute("SELECT (SELECT count(*) FROM players), (SELECT count(*) FROM requests)").fetchone()
    return {"players": row[0], "requests": row[1]}
