"""The SQLite adapter of the store port: one file. A method returns after its transaction is on the disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bot_service.store.sqlite.base import KEY, MIGRATIONS
from bot_service.store.sqlite.players import SqlitePlayers
from bot_service.store.sqlite.requests import SqliteRequests
from bot_service.store.sqlite.tracks import SqliteTracks
from common.databases.sqlite import Transaction, opened
from common.errors import DatabaseUnavailable
from common.health import Health

BUSY_SECONDS = 5.0


@asynccontextmanager
async def open_sqlite(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> AsyncGenerator[SqliteStore, None]:
    """Open the store at `path`, creating or migrating it.

    Raises:
        DatabaseUnavailable: the file cannot be created, read or written, is no database, or was written by a newer
            program. The detail names BOT_SQLITE_PATH.
    """
    async with opened(path, busy_seconds, MIGRATIONS, key=KEY) as file:
        yield SqliteStore(file)


class SqliteStore(SqlitePlayers, SqliteTracks, SqliteRequests):
    """GuildStore over one SQLite file. Made by `open_sqlite`."""

    async def health(self) -> Health:
        """Count rows with the reader and take the write lock once: a store that cannot be written is not healthy."""
        began = time.monotonic()
        try:
            if not self._file.path.exists():
                raise DatabaseUnavailable(f"{KEY}: the file is gone")  # noqa: TRY301 - one exit for every failure
            records = await self._read(_count)
            await self._write(lambda _tx: None)
        except DatabaseUnavailable as exc:
            return Health("sqlite", ok=False, error=exc.detail)
        latency_ms = round((time.monotonic() - began) * 1000, 3)
        about = {"version": sqlite3.sqlite_version, "records": records, "latency_ms": latency_ms}
        return Health("sqlite", ok=True, metadata={"sqlite": about})


def _count(tx: Transaction) -> dict[str, int]:
    row = tx.db.execute("SELECT (SELECT count(*) FROM players), (SELECT count(*) FROM requests)").fetchone()
    return {"players": row[0], "requests": row[1]}
