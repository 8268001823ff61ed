"""The SQLite adapter of MediaRepository: one file, shared by any number of processes on one machine.

Writes run on one connection and reads on another (WAL lets them run side by side), so an API request waits neither for
a claim nor for another process's lock. Look-ups by id have a third connection, in the event loop's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from audio_service.media.model import Media
from audio_service.media.repository.sqlite import claims, expiring, records, retention
from audio_service.media.repository.sqlite.schema import KEY, MIGRATIONS
from common.databases.sqlite import PointReader, SqliteFile, Transaction, check_health, opened, point_reader
from common.health import Health

BUSY_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


def _reads(
    step: Callable[Concatenate[Transaction, P], T],
) -> Callable[Concatenate[SqliteRepository, P], CoroutineType[Any, Any, T]]:
    """Make a method of a step of SELECTs: it runs on the reading connection."""

    @wraps(step)
    async def method(self: SqliteRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.file.reader.read(lambda tx: step(tx, *args, **kwargs))

    return method


def _writes(
    step: Callable[Concatenate[Transaction, P], T],
) -> Callable[Concatenate[SqliteRepository, P], CoroutineType[Any, Any, T]]:
    """Make a method of a step that writes: it is one transaction on the writing connection."""

    @wraps(step)
    async def method(self: SqliteRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.file.writer.write(lambda tx: step(tx, *args, **kwargs))

    return method


class SqliteRepository:
    """MediaRepository over one SQLite file; the port's docstrings hold. Made by `open_sqlite`.

    Each method is a step of this package, without the transaction that the step gets here.
    """

    def __init__(self, file: SqliteFile, points: PointReader) -> None:
        self.file = file
        self._points = points

    async def get(self, media_id: str) -> Media | None:
        """Return a record, without changing threads unless the file is locked."""
        try:
            return self._points.read(lambda tx: records.find(tx, media_id))
        except sqlite3.Error:
            return await self.file.reader.read(lambda tx: records.find(tx, media_id))

    insert = _writes(records.insert)
    search = _reads(records.search)
    list = _reads(records.list_all)

    acquire = _writes(expiring.acquire)
    surrender = _writes(expiring.surrender)
    mark_answered = _writes(expiring.mark_answered)
    is_answered = _reads(expiring.is_answered)
    remember = _writes(expiring.remember)
    recall = _reads(expiring.recall)

    claim = _writes(claims.claim)
    waits_for = _reads(claims.waits_for)
    renew = _writes(claims.renew)
    yield_claim = _writes(claims.yield_claim)
    mark_success = _writes(claims.mark_success)
    mark_error = _writes(claims.mark_error)
    settle = _writes(claims.settle)
    withdraw = _writes(claims.withdraw)
    reopen = _writes(claims.reopen)

    count_play = _writes(retention.count_play)
    stored_bytes = _reads(retention.stored_bytes)
    begin_eviction = _writes(retention.begin_eviction)
    finish_eviction = _writes(retention.finish_eviction)

    async def health(self) -> Health:
        """Count records by status; a library that cannot be written is unhealthy."""
        return await check_health(self.file, _count, key=KEY)


@asynccontextmanager
async def open_sqlite(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> AsyncGenerator[SqliteRepository, None]:
    """Open the library at `path`, creating or migrating it.

    Raises:
        DatabaseUnavailable: the file cannot be made, read or written, is no database, or a newer program's. The detail
            names SQLITE_PATH.
    """
    async with opened(path, busy_seconds, MIGRATIONS, key=KEY) as file:
        with point_reader(path, key=KEY) as points:
            yield SqliteRepository(file, points)


def _count(tx: Transaction) -> dict[str, int]:
    return dict(tx.db.execute("SELECT status, count(*) FROM media GROUP BY status").fetchall())
