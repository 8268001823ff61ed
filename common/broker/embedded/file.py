"""The embedded broker's SQLite file: its schema, how it is opened, its transactions, and its errors.

Refuses to know what a delivery is. All functions block; `common.broker.embedded.broker` calls them from one thread.

Durability. The file is in WAL mode. Every commit survives `kill -9` of any process, because it is in the kernel's
cache when it returns. A *durable* commit (publishing) runs with synchronous=FULL and is on the disk when it returns,
along with everything committed before it; so a power cut loses no accepted message. All other commits (claims,
settlements, lease renewals) run with synchronous=NORMAL: a power cut may undo the last of them, which leads to a
redelivery.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from common.databases import sqlite
from common.errors import BrokerUnavailable

BUSY_SECONDS = 5.0
PATH_KEY = "EMBEDDED_BROKER_PATH"

_WAL_KEEP_BYTES = 4 * 1024 * 1024

# `log_offset` is dense within a topic and only grows. A group has handed out everything from `started` to below
# `cursor`; of those, the unfinished ones have a row in `deliveries`, leased while `token` is set, else waiting for
# `due_at`. `due_at` is the end of the lease or of the delay, `since` is when that was decided. Times are Unix
# seconds: the wall clock is the only clock that processes share.
_V1 = (
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

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1,)


def translated() -> AbstractContextManager[None]:
    """Turn sqlite3's errors into BrokerUnavailable whose detail names EMBEDDED_BROKER_PATH."""
    return sqlite.translated_errors(PATH_KEY, BrokerUnavailable)


def open_file(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open or create the broker's file. Any number of processes may do so at the same time.

    Raises:
        BrokerUnavailable: the path cannot be written, is no broker file, is damaged, or comes from a newer version.
    """
    sqlite.make_parent(path, PATH_KEY, BrokerUnavailable)
    with translated():
        connection = sqlite.connect(path, busy_seconds)
        try:
            _prepare(connection, busy_seconds)
        except BaseException:
            connection.close()
            raise
    return connection


def transaction(connection: sqlite3.Connection, *, durable: bool = False) -> AbstractContextManager[None]:
    """Hold the write lock for the body; commit at its end, or roll back when it raises."""
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    return sqlite.transaction(connection)


def open_change_reader(path: Path) -> sqlite3.Connection:
    """Open a second connection to a broker's file, for `data_version` in another thread: it never waits for a lock.

    Raises:
        BrokerUnavailable: the file cannot be opened.
    """
    with translated():
        return sqlite.connect_without_waiting(path)


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection, in any process, has committed. Raises BrokerUnavailable."""
    with translated():
        return sqlite.data_version(connection)


def _prepare(connection: sqlite3.Connection, busy_seconds: float) -> None:
    sqlite.set_wal(connection, busy_seconds, auto_vacuum=True)
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEEP_BYTES}")
    with transaction(connection, durable=True):
        sqlite.migrate(
            sqlite.Transaction(connection, sqlite.wall_clock_ms()),
            MIGRATIONS,
            key=PATH_KEY,
            unavailable=BrokerUnavailable,
        )
    # Another program's file may bear our version number: refuse it now and not at the first message.
    connection.execute("SELECT 1 FROM topics, messages, consumer_groups, deliveries LIMIT 0").fetchone()
