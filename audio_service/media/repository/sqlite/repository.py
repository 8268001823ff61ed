"""The SQLite adapter of the repository port: one file, shared by any number of processes on one machine.

Writes go through one connection, reads through another (WAL lets them run side by side), so a question of the API
does not wait for a claim, nor for another process's lock. A look-up by id has a third one, in the event loop's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from audio_service.media.model import Media
from audio_service.media.repository.base import Claim, Eviction, Page, StoredMedia, Waiter
from audio_service.media.repository.sqlite import answers, claims, retention
from audio_service.media.repository.sqlite import search as sqlite_search
from audio_service.media.repository.sqlite.schema import KEY, MIGRATIONS
from common.databases.sqlite import (
    PointReader,
    SqliteFile,
    StepConnection,
    Transaction,
    check_health,
    opened,
    point_reader,
)
from common.health import Health
from common.messages.downloads import PlatformMetadata

BUSY_SECONDS = 5.0


@asynccontextmanager
async def open_sqlite(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> AsyncGenerator[SqliteRepository, None]:
    """Open the library at `path`, creating or migrating it.

    Raises:
        DatabaseUnavailable: the file cannot be made, read or written, is no database, or a newer program's. The detail
            names SQLITE_PATH.
    """
    async with opened(path, busy_seconds, MIGRATIONS, key=KEY) as file:
        with point_reader(path, key=KEY) as points:
            yield SqliteRepository(path, file.reader, file.writer, points)


class SqliteRepository:
    """MediaRepository over connections to one SQLite file; the port's docstrings hold. Made by `open_sqlite`."""

    def __init__(self, path: Path, reader: StepConnection, writer: StepConnection, points: PointReader) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._points = points

    async def get(self, media_id: str) -> Media | None:
        """Return a record, without changing threads unless the file is locked."""
        try:
            return self._points.read(lambda tx: claims.find(tx, media_id))
        except sqlite3.Error:
            return await self._reader.read(lambda tx: claims.find(tx, media_id))

    async def search(self, text: str, *, limit: int = 10, cursor: str | None = None) -> Page:
        """Find `success` records by a part of their title; at most 100 a page."""
        return await self._reader.read(lambda tx: sqlite_search.search(tx, text, limit, cursor))

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Return records of any status; at most 100 a page."""
        return await self._reader.read(lambda tx: sqlite_search.list_all(tx, limit, cursor))

    async def acquire(self, name: str, owner: str, lease: timedelta) -> timedelta | None:
        """Take or extend a named lease."""
        return await self._writer.write(lambda tx: answers.acquire(tx, name, owner, lease))

    async def surrender(self, name: str, owner: str) -> None:
        """Give a named lease back."""
        await self._writer.write(lambda tx: answers.surrender(tx, name, owner))

    async def claim(self, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> Claim:
        """Decide who makes a record."""
        return await self._writer.write(lambda tx: claims.claim(tx, media_id, waiter, metadata, lease))

    async def waits_for(self, request_id: str) -> str | None:
        """Return the record that a request waits for."""
        return await self._reader.read(lambda tx: claims.waits_for(tx, request_id))

    async def renew(self, media_id: str, fence: int, lease: timedelta) -> None:
        """Extend a claim; one that has ended stays ended."""
        await self._writer.write(lambda tx: claims.renew(tx, media_id, fence, lease))

    async def yield_claim(self, media_id: str, fence: int) -> None:
        """End a claim's lease now."""
        await self._writer.write(lambda tx: claims.end_lease(tx, media_id, fence))

    async def mark_success(self, media_id: str, fence: int, made: StoredMedia) -> tuple[Media, Sequence[Waiter]]:
        """Record what was made."""
        return await self._writer.write(lambda tx: claims.mark_success(tx, media_id, fence, made))

    async def mark_error(
        self, media_id: str, fence: int, *, error_code: str, message: str
    ) -> tuple[Media, Sequence[Waiter]]:
        """Record a final failure."""
        return await self._writer.write(lambda tx: claims.mark_error(tx, media_id, fence, error_code, message))

    async def settle(
        self, media_id: str, fence: int, request_ids: Sequence[str], *, keep: timedelta
    ) -> Sequence[Waiter]:
        """Record who was answered; a stale fence records that too, and is told of nobody else."""
        return await self._writer.write(lambda tx: claims.settle(tx, media_id, fence, request_ids, keep))

    async def mark_answered(self, request_id: str, *, keep: timedelta) -> None:
        """Remember one request as answered."""
        await self._writer.write(lambda tx: answers.mark_answered(tx, [request_id], keep))

    async def is_answered(self, request_id: str) -> bool:
        """Whether a request was answered."""
        return await self._reader.read(lambda tx: answers.is_answered(tx, request_id))

    async def reopen(self, media_id: str) -> None:
        """Make a `success` record claimable."""
        await self._writer.write(lambda tx: claims.reopen(tx, media_id))

    async def played(self, media_id: str) -> None:
        """Count a play."""
        await self._writer.write(lambda tx: retention.played(tx, media_id))

    async def stored_bytes(self) -> int:
        """Add up the files."""
        return await self._reader.read(retention.stored_bytes)

    async def begin_eviction(self, *, idle: timedelta, lease: timedelta) -> Eviction | None:
        """Take the file that was used the longest ago out of the library."""
        return await self._writer.write(lambda tx: retention.begin_eviction(tx, idle, lease))

    async def finish_eviction(self, media_id: str, fence: int) -> None:
        """Record that the file is gone."""
        await self._writer.write(lambda tx: retention.finish_eviction(tx, media_id, fence))

    async def remember(self, query_key: str, media_id: str, metadata: PlatformMetadata, ttl: timedelta) -> None:
        """Remember what a query resolved to."""
        await self._writer.write(lambda tx: answers.remember(tx, query_key, media_id, metadata, ttl))

    async def recall(self, query_key: str) -> tuple[str, PlatformMetadata] | None:
        """Return what a query resolved to."""
        return await self._reader.read(lambda tx: answers.recall(tx, query_key))

    async def health(self) -> Health:
        """Count the records of each status; a library that cannot be written is unhealthy."""
        return await check_health(SqliteFile(self._path, self._writer, self._reader), _count, key=KEY)


def _count(tx: Transaction) -> dict[str, int]:
    return dict(tx.db.execute("SELECT status, count(*) FROM media GROUP BY status").fetchall())
