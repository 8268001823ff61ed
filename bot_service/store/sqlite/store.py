"""The SQLite adapter of the store port: one file. A method returns after its transaction is on the disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bot_service.store.sqlite.base import KEY, MIGRATIONS
from bot_service.store.sqlite.players import SqlitePlayers
from bot_service.store.sqlite.requests import SqliteRequests
from bot_service.store.sqlite.tracks import SqliteTracks
from common.databases.sqlite import Transaction, check_health, opened
from common.health import Health

BUSY_SECONDS = 5.0
WRITE_SECONDS = 2.0
"""Discord shows a command as failed after 3 s: a write that a locked file holds up is refused before."""


@asynccontextmanager
async def open_sqlite(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> AsyncGenerator[SqliteStore, None]:
    """Open the store at `path`, creating or migrating it.

    Raises:
        DatabaseUnavailable: the file cannot be created, read or written, is no database, or was written by a newer
            program. The detail names BOT_SQLITE_PATH.
    """
    async with opened(path, busy_seconds, MIGRATIONS, key=KEY) as file:
        file.writer.write_seconds = min(WRITE_SECONDS, busy_seconds)
        yield SqliteStore(file)


class SqliteStore(SqlitePlayers, SqliteTracks, SqliteRequests):
    """GuildStore over one SQLite file. Made by `open_sqlite`."""

    position_seconds = 0.5

    async def health(self) -> Health:
        """Count players and open requests; a store that cannot be written is unhealthy."""
        return await check_health(self._file, _count, key=KEY)


def _count(tx: Transaction) -> dict[str, int]:
    row = tx.db.execute("SELECT (SELECT count(*) FROM players), (SELECT count(*) FROM requests)").fetchone()
    return {"players": row[0], "requests": row[1]}
