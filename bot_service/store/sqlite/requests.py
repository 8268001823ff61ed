"""Open requests in SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from bot_service.store.base import PendingRequest
from bot_service.store.documents import REQUEST, readable
from bot_service.store.sqlite.base import SqliteBase
from common.databases.sqlite import Transaction


class SqliteRequests(SqliteBase):
    """Open requests; the port's docstrings hold."""

    async def add_requests(self, requests: Sequence[PendingRequest]) -> None:
        """Insert or replace requests in one transaction."""

        def step(tx: Transaction) -> None:
            tx.db.executemany(
                "INSERT OR REPLACE INTO requests (request_id, asked_at, document) VALUES (?, ?, ?)",
                [(asked.request_id, int(asked.asked_at.timestamp() * 1000), REQUEST.text(asked)) for asked in requests],
            )

        await self._write(step)

    async def request(self, request_id: str) -> PendingRequest | None:
        """Return an open request."""

        def step(tx: Transaction) -> PendingRequest | None:
            row = tx.db.execute("SELECT document FROM requests WHERE request_id = ?", (request_id,)).fetchone()
            return REQUEST.read_text(row[0], request_id) if row else None

        return await self._read(step)

    async def finish_request(self, request_id: str) -> PendingRequest | None:
        """Delete a request and return it; an unreadable one is deleted too, as it cannot be answered."""

        def step(tx: Transaction) -> PendingRequest | None:
            # All rows are fetched: the statement is complete only then.
            statement = "DELETE FROM requests WHERE request_id = ? RETURNING document"
            rows = tx.db.execute(statement, (request_id,)).fetchall()
            return REQUEST.read_text(rows[0][0], request_id) if rows else None

        return await self._write(step)

    async def open_requests(self) -> list[PendingRequest]:
        """Return the open requests, oldest first."""

        def step(tx: Transaction) -> list[PendingRequest]:
            rows = tx.db.execute("SELECT request_id, document FROM requests ORDER BY asked_at, request_id").fetchall()
            return readable(REQUEST.read_text(text, request_id) for request_id, text in rows)

        return await self._read(step)
