"""Open requests in SQLite. Steps of a Transaction."""

from __future__ import annotations

from collections.abc import Sequence

from bot_service.store.base import PendingRequest
from bot_service.store.records import REQUEST
from common.databases.sqlite import Transaction


def add(tx: Transaction, requests: Sequence[PendingRequest]) -> None:
    """Remember requests."""
    tx.db.executemany(
        "INSERT OR REPLACE INTO requests (request_id, asked_at, document) VALUES (?, ?, ?)",
        [(asked.request_id, int(asked.asked_at.timestamp() * 1000), REQUEST.text(asked)) for asked in requests],
    )


def find(tx: Transaction, request_id: str) -> PendingRequest | None:
    """Return an open request."""
    row = tx.db.execute("SELECT document FROM requests WHERE request_id = ?", (request_id,)).fetchone()
    return REQUEST.read_text(row[0], request_id) if row else None


def take(tx: Transaction, request_id: str) -> PendingRequest | None:
    """Remove an open request and return it. One that cannot be read is removed, too: nobody could answer it."""
    rows = tx.db.execute("DELETE FROM requests WHERE request_id = ? RETURNING document", (request_id,)).fetchall()
    return REQUEST.read_text(rows[0][0], request_id) if rows else None


def load(tx: Transaction) -> list[PendingRequest]:
    """Return the open requests, the oldest first."""
    rows = tx.db.execute("SELECT request_id, document FROM requests ORDER BY asked_at, request_id").fetchall()
    found = (REQUEST.read_text(text, request_id) for request_id, text in rows)
    return [request for request in found if request is not None]
