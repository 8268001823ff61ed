"""The bot's SQLite file: its tables, and the base of the classes that read and write them."""

from __future__ import annotations

from common.databases.sqlite import SqliteFile

KEY = "BOT_SQLITE_PATH"

# A released migration is never edited. `document` is JSON (documents.py). `next_frame` and `saved_at` are columns: they
# are written twice a second.
_V1 = (
    """
    CREATE TABLE players (
        guild_id INTEGER PRIMARY KEY, document TEXT NOT NULL, next_frame INTEGER NOT NULL, saved_at TEXT NOT NULL
    )
    """,
    "CREATE TABLE settings (guild_id INTEGER PRIMARY KEY, document TEXT NOT NULL)",
    """
    CREATE TABLE favourites (
        position INTEGER PRIMARY KEY,
        user_id INTEGER NOT NULL,
        video_id TEXT NOT NULL,
        document TEXT NOT NULL,
        UNIQUE (user_id, video_id)
    )
    """,
    "CREATE INDEX favourites_by_user ON favourites (user_id, position)",
    """
    CREATE TABLE requests (
        request_id TEXT PRIMARY KEY, asked_at INTEGER NOT NULL, document TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX requests_by_time ON requests (asked_at)",
    "CREATE TABLE history (position INTEGER PRIMARY KEY, guild_id INTEGER NOT NULL, document TEXT NOT NULL)",
    "CREATE INDEX history_by_guild ON history (guild_id, position)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1,)


class SqliteBase:
    """One concern of the store over the shared file. Steps run in its threads, and encode and decode there."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._read, self._write = file.reader.read, file.writer.write
