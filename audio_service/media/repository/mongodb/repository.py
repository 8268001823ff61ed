"""The MongoDB adapter of the repository port: any number of processes on any number of machines share a replica set.

Every method is one command that the server decides and writes whole (`settle` is a short transaction), with the
majority's write and read concern. See docs/adr/0011-mongodb.md.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from audio_service.media.model import Media
from audio_service.media.repository.base import Claim, Eviction, Page, StoredMedia, Waiter
from audio_service.media.repository.mongodb import answers, claims, retention
from audio_service.media.repository.mongodb import search as mongodb_search
from audio_service.media.repository.mongodb.collections import Collections, indexes
from audio_service.settings import AudioSettings
from common.databases.mongodb import OPERATION_SECONDS, MongoConnection, connected
from common.databases.mongodb_health import NAME, HealthProbe
from common.errors import DatabaseUnavailable
from common.health import Health
from common.messages.downloads import PlatformMetadata


@asynccontextmanager
async def open_mongodb(
    settings: AudioSettings, *, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[MongoRepository, None]:
    """Connect to the replica set that MONGO_HOST names. One that is down is no failure here: health says so, and every
    method raises DatabaseUnavailable after `operation_seconds`, until it is back.

    Raises:
        DatabaseUnavailable: it will not work with these settings; the detail names the one to look at.
    """
    songs = settings.mongo_collection_songs
    async with connected(
        settings, lambda database: Collections.of(database, songs), indexes(songs), operation_seconds
    ) as connection:
        yield MongoRepository(connection)


class MongoRepository:
    """MediaRepository over a replica set; the port's docstrings hold. Made by `open_mongodb`."""

    def __init__(self, connection: MongoConnection[Collections]) -> None:
        self._connection = connection
        self._health = HealthProbe(connection)

    async def get(self, media_id: str) -> Media | None:
        """Return a record."""
        return await self._connection.run(lambda db: claims.find(db, media_id))

    async def search(self, text: str, *, limit: int = 10, cursor: str | None = None) -> Page:
        """Find `success` records by a part of their title; at most 100 a page."""
        return await self._connection.run(lambda db: mongodb_search.search(db, text, limit, cursor))

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Return records of any status; at most 100 a page."""
        return await self._connection.run(lambda db: mongodb_search.list_all(db, limit, cursor))

    async def acquire(self, name: str, owner: str, lease: timedelta) -> timedelta | None:
        """Take or extend a named lease."""
        return await self._connection.run(lambda db: answers.acquire(db, name, owner, lease))

    async def surrender(self, name: str, owner: str) -> None:
        """Give a named lease back."""
        await self._connection.run(lambda db: answers.surrender(db, name, owner))

    async def claim(self, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> Claim:
        """Decide who makes a record."""
        return await self._connection.run(lambda db: claims.claim(db, media_id, waiter, metadata, lease))

    async def waits_for(self, request_id: str) -> str | None:
        """Return the record that a request waits for."""
        return await self._connection.run(lambda db: claims.waits_for(db, request_id))

    async def renew(self, media_id: str, fence: int, lease: timedelta) -> None:
        """Extend a claim; one that has ended stays ended."""
        await self._connection.run(lambda db: claims.renew(db, media_id, fence, lease))

    async def yield_claim(self, media_id: str, fence: int) -> None:
        """End a claim's lease now."""
        await self._connection.run(lambda db: claims.end_lease(db, media_id, fence))

    async def mark_success(self, media_id: str, fence: int, made: StoredMedia) -> tuple[Media, Sequence[Waiter]]:
        """Record what was made."""
        return await self._connection.run(lambda db: claims.mark_success(db, media_id, fence, made))

    async def mark_error(
        self, media_id: str, fence: int, *, error_code: str, message: str
    ) -> tuple[Media, Sequence[Waiter]]:
        """Record a final failure."""
        return await self._connection.run(lambda db: claims.mark_error(db, media_id, fence, error_code, message))

    async def settle(
        self, media_id: str, fence: int, request_ids: Sequence[str], *, keep: timedelta
    ) -> Sequence[Waiter]:
        """Record who was answered; a stale fence records that too, and is told of nobody else."""
        return await self._connection.run(lambda db: claims.settle(db, media_id, fence, request_ids, keep))

    async def mark_answered(self, request_id: str, *, keep: timedelta) -> None:
        """Remember one request as answered."""
        await self._connection.run(lambda db: answers.mark_answered(db, [request_id], keep))

    async def is_answered(self, request_id: str) -> bool:
        """Whether a request was answered."""
        return await self._connection.run(lambda db: answers.is_answered(db, request_id))

    async def reopen(self, media_id: str) -> None:
        """Make a `success` record claimable."""
        await self._connection.run(lambda db: claims.reopen(db, media_id))

    async def played(self, media_id: str) -> None:
        """Count a play."""
        await self._connection.run(lambda db: retention.played(db, media_id))

    async def stored_bytes(self) -> int:
        """Add up the files."""
        return await self._connection.run(retention.stored_bytes)

    async def begin_eviction(self, *, idle: timedelta, lease: timedelta) -> Eviction | None:
        """Take the file that was used the longest ago out of the library."""
        return await self._connection.run(lambda db: retention.begin_eviction(db, idle, lease))

    async def finish_eviction(self, media_id: str, fence: int) -> None:
        """Record that the file is gone."""
        await self._connection.run(lambda db: retention.finish_eviction(db, media_id, fence))

    async def remember(self, query_key: str, media_id: str, metadata: PlatformMetadata, ttl: timedelta) -> None:
        """Remember what a query resolved to."""
        await self._connection.run(lambda db: answers.remember(db, query_key, media_id, metadata, ttl))

    async def recall(self, query_key: str) -> tuple[str, PlatformMetadata] | None:
        """Return what a query resolved to."""
        return await self._connection.run(lambda db: answers.recall(db, query_key))

    async def health(self) -> Health:
        """Ask the server; what the user has no right to see is null."""
        try:
            about = await self._health.ask()
        except DatabaseUnavailable as exc:
            return Health(NAME, ok=False, error=exc.detail)
        return Health(NAME, ok=True, metadata={"mongo": about})
