"""The tables of the bot's SQLite file. A migration, once released, is never edited."""

from __future__ import annotations

KEY = "BOT_SQLITE_PATH"

# `document` is JSON (see records.py). Positions are written twice a second, so they stand beside it.
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
