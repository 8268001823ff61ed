"""A SQLite connection that runs whole steps in its own thread.

A coroutine can be cancelled at any `await`. Were a transaction spread over several of them, a cancelled request would
leave it open on a connection that everybody shares. So a step is one plain function: it is queued to the
connection's thread once, begins and ends its transaction there, and finishes even when nobody waits for it any more.

This module knows nothing of media; it is also the one place where sqlite3's exceptions become ours.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from common.errors import DatabaseUnavailable

_FETCH_CHUNK = 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a step works with, for as long as it runs: the connection, and the time in ms since the epoch."""

    db: sqlite3.Connection
    now: int


Step = Callable[[Transaction], T]


def wall_clock_ms() -> int:
    """Return the time that leases are kept in: the wall clock is the only one that processes share."""
    return time.time_ns() // 1_000_000


class StepConnection(aiosqlite.Connection):
    """An aiosqlite connection that takes functions instead of statements."""

    async def read(self, step: Step[T]) -> T:
        """Run a step of SELECTs; each sees what was committed before it. Raises DatabaseUnavailable."""
        return await self._run(partial(_timed, step))

    async def write(self, step: Step[T]) -> T:
        """Run a step in one transaction that no other writer interleaves. What it raises rolls everything back.

        Raises:
            DatabaseUnavailable: another writer held the database for too long, or SQLite failed.
        """
        return await self._run(partial(_transaction, step))

    async def configure(self, step: Callable[[sqlite3.Connection], None]) -> None:
        """Run a function outside of any transaction (journal mode and other pragmas). Raises DatabaseUnavailable."""
        await self._run(step)

    async def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        with translated_errors():
            if not self._running or self._connection is None:
                raise sqlite3.ProgrammingError("the repository is closed")
            # aiosqlite offers statements only; `_execute` is what they all go through, and it is not typed.
            queued = cast("Awaitable[T]", self._execute(function, self._conn))  # pyright: ignore[reportUnknownMemberType] - as above
            return await queued


@asynccontextmanager
async def connected(path: Path, busy_seconds: float) -> AsyncGenerator[StepConnection, None]:
    """Open the database file at `path`, creating it when it is not there, and close it at the end.

    Whoever waits longer than `busy_seconds` for another writer gets DatabaseUnavailable.
    """

    def connector() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)

    connection = StepConnection(connector, _FETCH_CHUNK)
    with translated_errors():
        await connection
    try:
        yield connection
    finally:
        await connection.close()


class PointReader:
    """A connection for look-ups of one row by a unique key, in the caller's own thread.

    Such a look-up takes some microseconds, a tenth of what handing it to another thread and waiting for the
    interpreter costs. It never waits for a lock: where it would have to, SQLite's own error comes out.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def read(self, step: Step[T]) -> T:
        """Run a step of one SELECT. Raises sqlite3.OperationalError when it would have to wait."""
        return step(Transaction(self._db, wall_clock_ms()))


@contextmanager
def point_reader(path: Path) -> Generator[PointReader, None, None]:
    """Open a PointReader on a database that exists. Raises DatabaseUnavailable."""
    with translated_errors():
        db = sqlite3.connect(path, timeout=0, isolation_level=None)
        db.execute("PRAGMA query_only = ON")
    try:
        yield PointReader(db)
    finally:
        db.close()


@contextmanager
def translated_errors() -> Generator[None, None, None]:
    """Turn sqlite3's exceptions into DatabaseUnavailable. A full disk is one of them, and says so."""
    try:
        yield
    except sqlite3.Error as exc:
        name: Any = getattr(exc, "sqlite_errorname", type(exc).__name__)
        raise DatabaseUnavailable(f"SQLITE_PATH: {exc} ({name})") from exc


def _timed(step: Step[T], db: sqlite3.Connection) -> T:
    return step(Transaction(db, wall_clock_ms()))


def _transaction(step: Step[T], db: sqlite3.Connection) -> T:
    db.execute("BEGIN IMMEDIATE")
    try:
        # The clock is read with the lock in hand: waiting for it may have taken seconds, and leases are judged by now.
        result = step(Transaction(db, wall_clock_ms()))
        db.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back by itself after some failures (disk full, I/O).
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    return result
