"""Rows that expire: answered requests, named leases, resolved queries. Each function is a step of one transaction.

Expired rows are removed a few at a time by the steps that add new ones, so the tables stay as large as their live
rows, and no step pays for a long clean-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from audio_service.media.repository.decision import LONGEST_LEASE_MS, milliseconds
from audio_service.media.repository.sqlite.rows import text_of
from common.databases.sqlite import Transaction
from common.messages.downloads import PlatformMetadata

PURGE_BATCH = 20


def mark_answered(tx: Transaction, request_id: str, *, keep: timedelta) -> None:
    """Mark one request as answered."""
    mark_all_answered(tx, [request_id], keep=keep)


def mark_all_answered(tx: Transaction, request_ids: Sequence[str], *, keep: timedelta) -> None:
    """Mark requests as answered; of two calls the later expiry counts."""
    tx.db.executemany(
        "INSERT INTO answered (request_id, until) VALUES (?, ?) "
        "ON CONFLICT (request_id) DO UPDATE SET until = max(until, excluded.until)",
        [(request_id, tx.now + milliseconds(keep)) for request_id in request_ids],
    )
    _purge(tx, "answered", "request_id")


def is_answered(tx: Transaction, request_id: str) -> bool:
    """Whether the request is marked as answered."""
    found = tx.db.execute("SELECT 1 FROM answered WHERE request_id = ? AND until > ?", (request_id, tx.now)).fetchone()
    return found is not None


def acquire(tx: Transaction, name: str, owner: str, lease: timedelta) -> timedelta | None:
    """Take or extend a named lease (see Leases.acquire)."""
    held = tx.db.execute(
        "SELECT until FROM leases WHERE name = ? AND owner <> ? AND until > ? AND until <= ?",
        (name, owner, tx.now, tx.now + LONGEST_LEASE_MS),
    ).fetchone()
    if held is not None:
        return timedelta(milliseconds=held[0] - tx.now)
    tx.db.execute(
        "INSERT INTO leases (name, owner, until) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until",
        (name, owner, tx.now + milliseconds(lease)),
    )
    _purge(tx, "leases", "name")
    return None


def surrender(tx: Transaction, name: str, owner: str) -> None:
    """Release a named lease; no-op unless `owner` holds it."""
    tx.db.execute("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner))


def remember(tx: Transaction, query_key: str, media_id: str, metadata: PlatformMetadata, ttl: timedelta) -> None:
    """Remember what a query resolved to; the last write counts."""
    tx.db.execute(
        "INSERT OR REPLACE INTO resolutions (query_key, video_id, metadata, until) VALUES (?, ?, ?, ?)",
        (query_key, media_id, text_of(metadata), tx.now + milliseconds(ttl)),
    )
    _purge(tx, "resolutions", "query_key")


def recall(tx: Transaction, query_key: str) -> tuple[str, PlatformMetadata] | None:
    """Return what the query resolved to; None once expired."""
    row = tx.db.execute(
        "SELECT video_id, metadata FROM resolutions WHERE query_key = ? AND until > ?", (query_key, tx.now)
    ).fetchone()
    return None if row is None else (row[0], PlatformMetadata.model_validate_json(row[1]))


def _purge(tx: Transaction, table: str, key: str) -> None:
    tx.db.execute(
        f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE until <= ? ORDER BY until LIMIT ?)",  # noqa: S608 - names come from this module
        (tx.now, PURGE_BATCH),
    )
