"""SQLite files shared by several processes: connections, journal mode, transactions, migrations, errors and health.

The functions in the first half block; the embedded broker calls them from its own thread. The second half runs them in
a thread per connection for the repository and the bot's store. Tables belong to the callers: this module knows none.

A coroutine can be cancelled at any `await`. If a transaction were spread over several of them, a cancelled request
would leave it open on a shared connection. So a step is one plain function: it is queued to the connection's thread
once, begins and ends its transaction there, and completes even if its caller was cancelled.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import aiosqlite

from common.errors import AppError, DatabaseUnavailable
from common.health import NO_ROOM, Health, file_identity, probe_disk

_FETCH_CHUNK = 64
_LOCKED_RETRY_SECONDS = 0.02
_WAL_WAIT_SECONDS = 5.0
_LEAST_LOCK_SECONDS = 0.05
# Primary result codes, https://sqlite.org/rescode.html; extended ones begin with the same words.
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_FULL = ("SQLITE_FULL",)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transaction:
    """The argument of a step, valid while it runs: the connection, and the time in ms since the epoch."""

    db: sqlite3.Connection
    now: int


Step = Callable[[Transaction], T]
Migration = Sequence[str | Callable[[Transaction], None]]
"""The statements and steps that lead from one version of a schema to the next."""


def wall_clock_ms() -> int:
    """Return ms since the epoch. Leases are kept in wall-clock time: it is the only clock that processes share."""
    return time.time_ns() // 1_000_000


def connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """Open a connection in autocommit mode; its statements wait `busy_seconds` for locks. Raises sqlite3.Error."""
    return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)


def connect_without_waiting(path: Path) -> sqlite3.Connection:
    """Open a read-only connection whose statements never wait for a lock: they raise sqlite3.OperationalError."""
    db = connect(path, 0)
    configure_reader(db)
    return db


def data_version(db: sqlite3.Connection) -> int:
    """Return a number that changes when another connection, in any process, has committed to the file."""
    row: tuple[int] = db.execute("PRAGMA data_version").fetchone()
    return row[0]


def set_wal(db: sqlite3.Connection, wait_seconds: float, *, auto_vacuum: bool = False) -> None:
    """Set the journal mode to WAL; with `auto_vacuum`, a new file can give free pages back (incremental_vacuum).

    Changing the journal mode ignores the connection's busy timeout, so two processes that open a new file at the same
    time need this retry, for at most `wait_seconds`. Raises sqlite3.Error.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            if auto_vacuum:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if not _error_name(exc).startswith(_LOCKED) or time.monotonic() > deadline:
                raise
            time.sleep(_LOCKED_RETRY_SECONDS)
        else:
            return


def configure_writer(db: sqlite3.Connection) -> None:
    """Set WAL and synchronous=FULL: a committed transaction is on the disk when the call returns."""
    set_wal(db, _WAL_WAIT_SECONDS)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")


def configure_reader(db: sqlite3.Connection) -> None:
    """Refuse writes on this connection, so that it never takes the write lock."""
    db.execute("PRAGMA query_only = ON")


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """Hold the write lock for the body; commit at its end, roll back when it raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # After some failures (disk full, I/O) SQLite has rolled back already, and ROLLBACK raises.
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def migrate(
    tx: Transaction,
    migrations: Sequence[Migration],
    *,
    key: str,
    unavailable: type[AppError] = DatabaseUnavailable,
) -> None:
    """Bring the database to this program's version; a step, so that processes which start together take turns.

    `PRAGMA user_version` counts the migrations that were run. A released migration is never edited: a change of schema
    is a further entry.

    Raises:
        AppError: `unavailable`, when a newer version of this program or another program wrote this database.
    """
    db = tx.db
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise unavailable(f"{key}: schema version {version} is newer than this program's {len(migrations)}")
    if not version and db.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone() == (1,):
        raise unavailable(f"{key}: the file is a database of another program")
    for migration in migrations[version:]:
        for change in migration:
            if isinstance(change, str):
                db.execute(change)
            else:
                change(tx)
    if version != len(migrations):
        db.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def translated_errors(key: str, unavailable: type[AppError] = DatabaseUnavailable) -> Generator[None]:
    """Turn sqlite3's exceptions into `unavailable`, whose detail names `key`, the setting that leads to the file."""
    try:
        yield
    except sqlite3.Error as exc:
        raise unavailable(f"{key}: {_explain(exc)} ({exc}, {_error_name(exc)})") from exc


def make_parent(path: Path, key: str, unavailable: type[AppError] = DatabaseUnavailable) -> None:
    """Make the directory of a database file if it is missing. Raises `unavailable`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise unavailable(f"{key}: {path.parent} cannot be made: {exc.strerror}") from exc


def _explain(exc: sqlite3.Error) -> str:
    name = _error_name(exc)
    if name.startswith(_LOCKED):
        return "the file stayed locked by another process"
    if name.startswith(_DAMAGED):
        return "the file is damaged or no database"
    if name.startswith(_FULL):
        return "no room left on the device"
    return "the file cannot be used"


def _error_name(exc: sqlite3.Error) -> str:
    return str(getattr(exc, "sqlite_errorname", type(exc).__name__))


class StepConnection(aiosqlite.Connection):
    """An aiosqlite connection that takes functions instead of statements. `key` is the setting that names its file.

    `write_seconds`: how long a write waits for its turn in this connection and for the lock together; None: for the
    lock alone, as long as the connection's busy timeout.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection], key: str) -> None:
        super().__init__(connector, _FETCH_CHUNK)
        self._key = key
        self.write_seconds: float | None = None

    async def open(self) -> None:
        """Connect, once. Raises sqlite3.Error."""
        try:
            await self
        except BaseException:
            # aiosqlite's thread has been asked to stop and reports that to the event loop, which may be closed by then.
            # Joining it here is short: it has nothing left to do but read that request.
            self._thread.join()
            raise

    async def read(self, step: Step[T]) -> T:
        """Run a step of SELECTs; each sees what was committed before it. Raises DatabaseUnavailable."""
        return await self._run(partial(_read, step))

    async def write(self, step: Step[T]) -> T:
        """Run a step in one write transaction; it is rolled back when the step raises.

        Raises:
            DatabaseUnavailable: another writer held the lock for longer than the busy timeout, or SQLite failed.
        """
        if self.write_seconds is None:
            return await self._run(partial(_write, step))
        deadline = time.monotonic() + self.write_seconds
        return await self._run(partial(_write_until, deadline, step))

    async def configure(self, step: Callable[[sqlite3.Connection], None]) -> None:
        """Run a function outside of any transaction (journal mode and other pragmas). Raises DatabaseUnavailable."""
        await self._run(step)

    async def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        with translated_errors(self._key):
            if not self._running or self._connection is None:
                raise sqlite3.ProgrammingError("the database is closed")
            # aiosqlite's public methods take statements only; all of them go through `_execute`, which is not typed.
            queued = cast("Awaitable[T]", self._execute(function, self._conn))  # pyright: ignore[reportUnknownMemberType] - as above
            return await queued


def _read(step: Step[T], db: sqlite3.Connection) -> T:
    return step(Transaction(db, wall_clock_ms()))


def _write(step: Step[T], db: sqlite3.Connection) -> T:
    with transaction(db):
        # The clock is read with the lock held: waiting for it may have taken seconds, and leases are compared to it.
        return step(Transaction(db, wall_clock_ms()))


def _write_until(deadline: float, step: Step[T], db: sqlite3.Connection) -> T:
    """Write, waiting for the lock until the deadline, and a moment if that has passed while earlier steps waited."""
    left = max(deadline - time.monotonic(), _LEAST_LOCK_SECONDS)
    db.execute(f"PRAGMA busy_timeout = {int(left * 1000)}")
    return _write(step, db)


@asynccontextmanager
async def connected(path: Path, busy_seconds: float, *, key: str) -> AsyncGenerator[StepConnection, None]:
    """Open the database file at `path`, creating it if it is missing; close it with the context.

    A step that waits longer than `busy_seconds` for a lock raises DatabaseUnavailable. `key` is the setting that names
    the file; the detail of every failure begins with it.
    """
    connection = StepConnection(partial(connect, path, busy_seconds), key)
    with translated_errors(key):
        await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """An open database: one connection that writes, and one that reads concurrently without waiting for it.

    `identity` is the opened file's: what is written to a file that was deleted or replaced meanwhile is lost.
    """

    path: Path
    identity: tuple[int, int] | None
    writer: StepConnection
    reader: StepConnection


@asynccontextmanager
async def opened(
    path: Path, busy_seconds: float, migrations: Sequence[Migration], *, key: str
) -> AsyncGenerator[SqliteFile, None]:
    """Open the database at `path`, creating or migrating it.

    Raises:
        DatabaseUnavailable: the file cannot be made, read or written, is no database, or was written by a newer version
            or another program. The detail names `key`.
    """
    make_parent(path, key)
    async with connected(path, busy_seconds, key=key) as writer, connected(path, busy_seconds, key=key) as reader:
        await writer.configure(configure_writer)
        await writer.write(lambda tx: migrate(tx, migrations, key=key))
        await reader.configure(configure_reader)
        yield SqliteFile(path, file_identity(path), writer, reader)


async def check_health(file: SqliteFile, count: Step[Mapping[str, int]], *, key: str) -> Health:
    """Run `count` in the reader, take the write lock once and write to the disk: what cannot be written is unhealthy.

    `metadata`: SQLite's version, `records` as `count` returns them, and the latency of both in ms.
    """
    began = time.monotonic()
    try:
        if (found := file_identity(file.path)) != file.identity:
            return Health("sqlite", ok=False, error=f"{key}: the file {'was replaced' if found else 'is gone'}")
        records = await file.reader.read(count)
        await file.writer.write(lambda _tx: probe_disk(file.path.parent))
    except DatabaseUnavailable as exc:
        return Health("sqlite", ok=False, error=exc.detail)
    except OSError as exc:
        return Health("sqlite", ok=False, error=f"{key}: {exc.strerror}", disk_full=exc.errno in NO_ROOM)
    latency_ms = round((time.monotonic() - began) * 1000, 3)
    about = {"version": sqlite3.sqlite_version, "records": records, "latency_ms": latency_ms}
    return Health("sqlite", ok=True, metadata={"sqlite": about})


class PointReader:
    """A connection for look-ups of one row by a unique key, in the caller's thread.

    Such a look-up takes some microseconds, a tenth of the cost of passing it to another thread and back. It never waits
    for a lock.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def read(self, step: Step[T]) -> T:
        """Run a step of one SELECT. Raises sqlite3.OperationalError when it would have to wait for a lock."""
        return step(Transaction(self._db, wall_clock_ms()))


@contextmanager
def point_reader(path: Path, *, key: str) -> Generator[PointReader, None, None]:
    """Open a PointReader on an existing database. Raises DatabaseUnavailable."""
    with translated_errors(key):
        db = connect_without_waiting(path)
    try:
        yield PointReader(db)
    finally:
        db.close()
