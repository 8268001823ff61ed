"""The embedded broker's SQLite file: opening it, its schema, its transactions, and what its errors mean.

Refuses to know what a delivery is. All functions block; `common.broker.embedded.broker` calls them from one thread.

Durability. The file is in WAL mode. Every commit survives `kill -9` of any process, because it is in the kernel's
cache by then. A *durable* commit (publishing) runs with synchronous=FULL and is on the disk when it returns, along
with everything committed before it; so a power cut loses no accepted message. All other commits (claims, endings,
lease renewals) run with synchronous=NORMAL: a power cut may undo the last of them, which leads to a redelivery.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

from common.errors import BrokerUnavailable

SCHEMA_VERSION = 1
BUSY_SECONDS = 5.0
PATH_KEY = "EMBEDDED_BROKER_PATH"

_WAL_KEEP_BYTES = 4 * 1024 * 1024
_OPEN_RETRY_SECONDS = 0.02

# `log_offset` is dense within a topic and only grows. A group has handed out everything from `started` to below
# `cursor`; of those, the unfinished ones have a row in `deliveries`, leased while `token` is set, else waiting for
# `due_at`. `due_at` is the end of the lease or of the delay, `since` is when that was decided. Times are Unix
# seconds: the wall clock is the only clock that processes share.
_SCHEMA = (
    """CREATE TABLE topics (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        next_offset INTEGER NOT NULL DEFAULT 0,
        retained INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        topic_id INTEGER NOT NULL,
        log_offset INTEGER NOT NULL,
        published_at REAL NOT NULL,
        key TEXT NOT NULL,
        headers TEXT NOT NULL,
        size INTEGER NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (topic_id, log_offset)
    )""",
    """CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
        UPDATE topics SET retained = retained + 1, bytes = bytes + new.size, next_offset = new.log_offset + 1
            WHERE id = new.topic_id;
    END""",
    """CREATE TRIGGER message_dropped AFTER DELETE ON messages BEGIN
        UPDATE topics SET retained = retained - 1, bytes = bytes - old.size WHERE id = old.topic_id;
    END""",
    """CREATE TABLE consumer_groups (
        id INTEGER PRIMARY KEY,
        topic_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        started INTEGER NOT NULL,
        cursor INTEGER NOT NULL,
        seen_at REAL NOT NULL,
        UNIQUE (topic_id, name)
    )""",
    "CREATE INDEX groups_by_cursor ON consumer_groups (topic_id, cursor)",
    """CREATE TABLE deliveries (
        message_id INTEGER NOT NULL,
        group_id INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        token TEXT,
        owner TEXT,
        since REAL NOT NULL,
        due_at REAL NOT NULL,
        PRIMARY KEY (message_id, group_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX deliveries_by_due ON deliveries (group_id, due_at)",
    "CREATE INDEX deliveries_by_owner ON deliveries (owner) WHERE owner IS NOT NULL",
)


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Turn sqlite3's errors into BrokerUnavailable whose detail names the setting that leads to the file."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise BrokerUnavailable(f"{PATH_KEY}: {_explain(exc)}") from exc


def open_file(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open or create the broker's file. Any number of processes may do so at the same moment.

    Raises:
        BrokerUnavailable: the path cannot be written, is no broker file, is damaged, or comes from a newer version.
    """
    with translated():
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
        try:
            _prepare(connection, busy_seconds)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, *, durable: bool = False) -> Generator[None]:
    """Hold the write lock for the body; commit at its end, or undo everything it did when it raises."""
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_glance(path: Path) -> sqlite3.Connection:
    """Open a second connection to a broker's file, for `data_version` in another thread: it never waits for a lock.

    Raises:
        BrokerUnavailable: the file cannot be opened.
    """
    with translated():
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
    return connection


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection, in any process, has committed to the file."""
    with translated():
        row: tuple[int] = connection.execute("PRAGMA data_version").fetchone()
    return row[0]


def _prepare(connection: sqlite3.Connection, busy_seconds: float) -> None:
    # Changing the journal mode does not wait for the lock of a process that is doing the same: ask again.
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorname not in {"SQLITE_BUSY", "SQLITE_BUSY_RECOVERY"} or time.monotonic() > deadline:
                raise
            time.sleep(_OPEN_RETRY_SECONDS)
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEEP_BYTES}")
    with transaction(connection, durable=True):
        version: tuple[int] = connection.execute("PRAGMA user_version").fetchone()
        if version[0] == 0:
            _create_tables(connection)
        elif version[0] != SCHEMA_VERSION:
            raise BrokerUnavailable(f"{PATH_KEY}: format {version[0]}, this version reads {SCHEMA_VERSION}")
    # A file of another program that happens to bear our version is refused now and not at the first message.
    connection.execute("SELECT 1 FROM topics, messages, consumer_groups, deliveries LIMIT 0").fetchone()


def _create_tables(connection: sqlite3.Connection) -> None:
    row: tuple[int] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if row[0]:
        raise BrokerUnavailable(f"{PATH_KEY}: the file is a database of another program")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _explain(exc: sqlite3.Error | OSError) -> str:
    name = getattr(exc, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"the file stayed locked by another process ({exc})"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"the file is damaged or no broker file ({exc})"
    if name.startswith("SQLITE_FULL"):
        return f"no room left on the device ({exc})"
    return f"the file cannot be used ({exc})"
