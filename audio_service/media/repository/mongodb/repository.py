"""The MongoDB adapter of MediaRepository: any number of processes on any number of machines share a replica set.

Every method is one command that the server decides and writes whole (`settle` is a short transaction), with majority
write and read concern. See docs/adr/0011-mongodb.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from audio_service.media.repository.mongodb import claims, expiring, records, retention
from audio_service.media.repository.mongodb.collections import Collections, indexes
from audio_service.settings import AudioSettings
from common.databases.mongodb import OPERATION_SECONDS, MongoConnection, connected
from common.databases.mongodb_health import NAME, HealthProbe
from common.errors import DatabaseUnavailable
from common.health import Health
from common.observability.telemetry import get_logger
from common.tasks import running_alongside

log = get_logger(__name__)

_FOREIGN_RETRY_SECONDS = 30.0
P = ParamSpec("P")
T = TypeVar("T")


def _runs(
    step: Callable[Concatenate[Collections, P], CoroutineType[Any, Any, T]],
) -> Callable[Concatenate[MongoRepository, P], CoroutineType[Any, Any, T]]:
    """Make a method of a step: it runs on the repository's connection, within the time that one operation has."""

    @wraps(step)
    async def method(self: MongoRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.connection.run(lambda db: step(db, *args, **kwargs))

    return method


class MongoRepository:
    """MediaRepository over a replica set; the port's docstrings hold. Made by `open_mongodb`.

    Each method is a step of this package, without the collections that the step gets here. `foreign_records`: how many
    records of another program were there at the start.
    """

    def __init__(self, connection: MongoConnection[Collections]) -> None:
        self.connection = connection
        self.foreign_records = 0
        self._health = HealthProbe(connection)

    get = _runs(records.find)
    insert = _runs(records.insert)
    search = _runs(records.search)
    list = _runs(records.list_all)

    acquire = _runs(expiring.acquire)
    surrender = _runs(expiring.surrender)
    mark_answered = _runs(expiring.mark_answered)
    is_answered = _runs(expiring.is_answered)
    remember = _runs(expiring.remember)
    recall = _runs(expiring.recall)

    claim = _runs(claims.claim)
    waits_for = _runs(claims.waits_for)
    renew = _runs(claims.renew)
    yield_claim = _runs(claims.yield_claim)
    mark_success = _runs(claims.mark_success)
    mark_error = _runs(claims.mark_error)
    settle = _runs(claims.settle)
    withdraw = _runs(claims.withdraw)
    reopen = _runs(claims.reopen)

    count_play = _runs(retention.count_play)
    stored_bytes = _runs(retention.stored_bytes)
    begin_eviction = _runs(retention.begin_eviction)
    finish_eviction = _runs(retention.finish_eviction)

    async def health(self) -> Health:
        """Ask the server; what the user has no right to see is null."""
        try:
            about = await self._health.ask()
        except DatabaseUnavailable as exc:
            return Health(NAME, ok=False, error=exc.detail)
        # Not unhealthy: it works. But songs that are in the database are not found, and the operator asks why.
        foreign = {"foreign_records": self.foreign_records} if self.foreign_records else {}
        return Health(NAME, ok=True, metadata={"mongo": about, **foreign})


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
        settings,
        lambda database: Collections.of(database, songs),
        indexes(songs),
        operation_seconds,
        migrate=records.fold_search_texts,
    ) as connection:
        repository = MongoRepository(connection)
        async with running_alongside(_tell_foreign_records(repository, songs)):
            yield repository


async def _tell_foreign_records(repository: MongoRepository, songs: str) -> None:
    """Say once, and in the health from then on, what of the library this program has not written: it is neither shown
    nor changed.
    """
    while True:
        try:
            count = await repository.connection.run(records.count_foreign)
        except DatabaseUnavailable:
            await asyncio.sleep(_FOREIGN_RETRY_SECONDS)
            continue
        repository.foreign_records = count
        if count:
            log.warning(
                "library.foreign_records",
                collection=songs,
                count=count,
                detail="records of another program, such as the original bot: they are left as they are and not shown; "
                "`butakero import --from mongodb://HOST/DATABASE/COLLECTION --files DIR` moves them in",
            )
        return
