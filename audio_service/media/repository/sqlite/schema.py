"""The SQLite schema and its migrations, counted by `PRAGMA user_version`.

A migration, once released, is never edited: what a database needs next is a further entry.
"""

from __future__ import annotations

from audio_service.media.model import search_text
from common.databases.sqlite import Migration, Transaction
from common.databases.sqlite import migrate as run_migrations

KEY = "SQLITE_PATH"

# Times are milliseconds since the epoch. `lease_until` 0: no lease. `holder` is the request that has or had the claim.
# The trigram index holds `search_text` (see media.model); rows keep their `seq`, which grows with creation.
_V1 = (
    """
    CREATE TABLE media (
        seq INTEGER PRIMARY KEY,
        video_id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL CHECK (status IN ('processing', 'success', 'error')),
        metadata TEXT NOT NULL,
        file TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        encoding TEXT,
        message TEXT NOT NULL,
        error_code TEXT,
        processing_date INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        play_count INTEGER NOT NULL,
        search_text TEXT NOT NULL,
        fence INTEGER NOT NULL,
        lease_until INTEGER NOT NULL,
        holder TEXT NOT NULL
    )
    """,
    "CREATE INDEX media_by_update ON media (updated_at, seq)",
    "CREATE INDEX media_by_text ON media (search_text, seq)",
    "CREATE INDEX media_by_status ON media (status)",
    """
    CREATE VIRTUAL TABLE media_trigrams USING fts5 (
        search_text, content = 'media', content_rowid = 'seq', tokenize = 'trigram case_sensitive 1'
    )
    """,
    """
    CREATE TRIGGER media_inserted AFTER INSERT ON media BEGIN
        INSERT INTO media_trigrams (rowid, search_text) VALUES (new.seq, new.search_text);
    END
    """,
    """
    CREATE TRIGGER media_renamed AFTER UPDATE OF search_text ON media WHEN old.search_text <> new.search_text BEGIN
        INSERT INTO media_trigrams (media_trigrams, rowid, search_text) VALUES ('delete', old.seq, old.search_text);
        INSERT INTO media_trigrams (rowid, search_text) VALUES (new.seq, new.search_text);
    END
    """,
    """
    CREATE TABLE waiters (
        position INTEGER PRIMARY KEY,
        video_id TEXT NOT NULL REFERENCES media (video_id),
        request_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        UNIQUE (video_id, request_id)
    )
    """,
    "CREATE INDEX waiters_by_request ON waiters (request_id)",
    "CREATE TABLE answered (request_id TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX answered_by_until ON answered (until)",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX leases_by_until ON leases (until)",
    """
    CREATE TABLE resolutions (
        query_key TEXT PRIMARY KEY, video_id TEXT NOT NULL, metadata TEXT NOT NULL, until INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX resolutions_by_until ON resolutions (until)",
)

# Retention. `used_at`: when the file was made, answered from or played. `size_bytes` is above 0 while there is a file.
_V2 = (
    "ALTER TABLE media ADD COLUMN last_played_at INTEGER",
    "ALTER TABLE media ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0",
    "UPDATE media SET used_at = updated_at",
    "CREATE INDEX media_by_use ON media (used_at, size_bytes) WHERE size_bytes > 0",
)


def _fold_search_texts(tx: Transaction) -> None:
    """Compute every `search_text` anew: it lost its accents. Of an older one it is the same as of the title."""
    tx.db.create_function("folded", 1, search_text, deterministic=True)
    tx.db.execute("UPDATE media SET search_text = folded(search_text)")


_V3 = (_fold_search_texts,)

# Uploaded files (`assets.repository.sqlite`). `made` is JSON; the other columns are as in `media`.
_V4 = (
    """
    CREATE TABLE assets (
        seq INTEGER PRIMARY KEY,
        asset_id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'processing', 'done', 'failed')),
        owner_id TEXT NOT NULL,
        chat_id TEXT NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        secret TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        completed_at INTEGER,
        etag TEXT NOT NULL,
        made TEXT NOT NULL,
        error_code TEXT,
        message TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        fence INTEGER NOT NULL DEFAULT 0,
        lease_until INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX assets_by_chat ON assets (chat_id, created_at, seq)",
    "CREATE INDEX assets_by_owner ON assets (owner_id, created_at, seq)",
    "CREATE INDEX assets_not_complete ON assets (created_at) WHERE completed_at IS NULL",
)

# `active_at`: of a complete asset without an end, when its claim expires, or when something was last done about it.
_V5 = (
    "ALTER TABLE assets ADD COLUMN active_at INTEGER",
    (
        "UPDATE assets SET active_at = max(updated_at, lease_until) "
        "WHERE completed_at IS NOT NULL AND state IN ('queued', 'processing')"
    ),
    "CREATE INDEX assets_by_activity ON assets (active_at) WHERE active_at IS NOT NULL",
    "CREATE TABLE removed_assets (asset_id TEXT PRIMARY KEY, removed_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX removed_assets_by_time ON removed_assets (removed_at)",
)

MIGRATIONS: tuple[Migration, ...] = (_V1, _V2, _V3, _V4, _V5)


def migrate(tx: Transaction) -> None:
    """Bring the library to this program's version. Raises DatabaseUnavailable when a newer program has written it."""
    run_migrations(tx, MIGRATIONS, key=KEY)
