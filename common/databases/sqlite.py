"""A SQLite connection that runs whole steps in its own thread.

A coroutine can be cancelled at any `await`. Were a transaction spread over several of them, a cancelled request would
leave it open on a connection that everybody shares. So a step is one plain function: it is queued to the
connection's thread once, begins and ends its transaction there, and finishes even when nobody waits for it any more.

Beside that, what every database file of ours needs: WAL, migrations counted by `PRAGMA user_version`, and the one
place where sqlite3's exceptions become ours. What is in a file is its owner's: this module knows no table.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from common.errors import DatabaseUnavailable

_FETCH_CHUNK = 64
_WAL_RETRY_SECONDS = 0.02
_WAL_WAIT_SECONDS = 5.0

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
    """An aiosqlite connection that takes functions instead of statements. `key` is the setting that names its file."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], key: str) -> None:
        super().__init__(connector, _FETCH_CHUNK)
        self._key = key

    async def open(self) -> None:
        """Connect, once. Raises what sqlite3 raises."""
        try:
            await self
        except BaseException:
            # aiosqlite has told its thread to stop, and the thread answers to an event loop that may be gone by then.
            # All it still has to do is to read that.
            self._thread.join()
            raise

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
        with translated_errors(self._key):
            if not self._running or self._connection is None:
                raise sqlite3.ProgrammingError("the database is closed")
            # aiosqlite offers statements only; `_execute` is what they all go through, and it is not typed.
            queued = cast("Awaitable[T]", self._execute(function, self._conn))  # pyright: ignore[reportUnknownMemberType] - as above
            return await queued


@asynccontextmanager
async def connected(path: Path, busy_seconds: float, *, key: str) -> AsyncGenerator[StepConnection, None]:
    """Open the database file at `path`, creating it when it is not there, and close it at the end.

    Whoever waits longer than `busy_seconds` for another writer gets DatabaseUnavailable. `key` is the setting that
    names the file, and begins the detail of every failure.
    """

    def connector() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)

    connection = StepConnection(connector, key)
    with translated_errors(key):
        await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """An open database: one connection that writes, and one that reads beside it without waiting for it."""

    path: Path
    writer: StepConnection
    reader: StepConnection


@asynccontextmanager
async def opened(
    path: Path, busy_seconds: float, migrations: Sequence[Sequence[str]], *, key: str
) -> AsyncGenerator[SqliteFile, None]:
    """Open the database at `path`, creating or migrating it.

    Raises:
        DatabaseUnavailable: the file cannot be made, read or written, is no database, or a newer program's. The detail
            names `key`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DatabaseUnavailable(f"{key}: {path.parent} cannot be made: {exc.strerror}") from exc
    async with connected(path, busy_seconds, key=key) as writer, connected(path, busy_seconds, key=key) as reader:
        await writer.configure(configure_writer)
        await writer.write(lambda tx: migrate(tx, migrations, key=key))
        await reader.configure(configure_reader)
        yield SqliteFile(path, writer, reader)


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
def point_reader(path: Path, *, key: str) -> Generator[PointReader, None, None]:
    """Open a PointReader on a database that exists. Raises DatabaseUnavailable."""
    with translated_errors(key):
        db = sqlite3.connect(path, timeout=0, isolation_level=None)
        db.execute("PRAGMA query_only = ON")
    try:
        yield PointReader(db)
    finally:
        db.close()


def configure_writer(db: sqlite3.Connection) -> None:
    """Set the journal to WAL. FULL: what was committed is on the disk when the caller goes on."""
    deadline = time.monotonic() + _WAL_WAIT_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            # Two processes that open a new file together: changing the mode does not wait for locks by itself.
            if time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")


def configure_reader(db: sqlite3.Connection) -> None:
    """Make sure that the connection for look-ups never takes the write lock."""
    db.execute("PRAGMA query_only = ON")


def migrate(tx: Transaction, migrations: Sequence[Sequence[str]], *, key: str) -> None:
    """Bring the database to this program's version; a step, so that two processes starting together take turns.

    The version is the number of migrations that were run. One that was released is never edited: what a database needs
    next is a further entry.

    Raises:
        DatabaseUnavailable: a newer program has written this database.
    """
    (version,) = tx.db.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise DatabaseUnavailable(f"{key}: schema version {version} is newer than this program's {len(migrations)}")
    for migration in migrations[version:]:
        for statement in migration:
            tx.db.execute(statement)
    tx.db.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def translated_errors(key: str) -> Generator[None, None, None]:
    """Turn sqlite3's exceptions into DatabaseUnavailable, naming the setting. A full disk is one, and says so."""
    try:
        yield
    except sqlite3.Error as exc:
        name: Any = getattr(exc, "sqlite_errorname", type(exc).__name__)
        raise DatabaseUnavailable(f"{key}: {exc} ({name})") from exc


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
