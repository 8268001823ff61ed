"""The DynamoDB adapter of MediaRepository: any number of processes on any number of machines share a table.

A method is a step: reads, then one conditional write or transaction, repeated as a whole when another writer was
faster. See docs/adr/0029-dynamodb.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from audio_service.media.repository.dynamodb import claims, expiring, insertion, records, retention
from audio_service.settings import AudioSettings
from common.databases.dynamodb import OPERATION_SECONDS, DynamoConnection, Schema, Table, connected, key
from common.errors import DatabaseUnavailable
from common.health import Health
from common.observability.telemetry import get_logger
from common.tasks import running_alongside

log = get_logger(__name__)

NAME = "dynamo_db"
SETTING = "DYNAMODB_TABLE_SONGS"
_HEALTH_SECONDS = 1.5
_FOREIGN_RETRY_SECONDS = 30.0
_NO_ITEM = key("-", "-")
P = ParamSpec("P")
T = TypeVar("T")


def _runs(
    step: Callable[Concatenate[Table, P], CoroutineType[Any, Any, T]],
) -> Callable[Concatenate[DynamoRepository, P], CoroutineType[Any, Any, T]]:
    """Make a method of a step: it runs on the repository's table, within the time that one operation has."""

    @wraps(step)
    async def method(self: DynamoRepository, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.connection.run(lambda table: step(table, *args, **kwargs))

    return method


class DynamoRepository:
    """MediaRepository over a table; the port's docstrings hold. Made by `open_dynamodb`.

    Each method is a step of this package, without the table that the step gets here.
    """

    def __init__(self, connection: DynamoConnection) -> None:
        self.connection = connection
        self.has_foreign_records = False

    get = _runs(records.find)
    insert = _runs(insertion.insert)
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
        """Read from the table."""
        # Not unhealthy: it works. But searches do not find songs that are in the table, and the operator asks why.
        foreign = {"foreign_records": True} if self.has_foreign_records else {}
        about = {"table_name": self.connection.schema.name, **foreign}
        try:
            await self.connection.run(lambda table: table.get(_NO_ITEM), seconds=_HEALTH_SECONDS)
        except DatabaseUnavailable as exc:
            return Health(NAME, ok=False, metadata=about, error=exc.detail)
        return Health(NAME, ok=True, metadata=about)


@asynccontextmanager
async def open_dynamodb(
    settings: AudioSettings, *, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[DynamoRepository]:
    """Open the table that DYNAMODB_TABLE_SONGS names; a missing one is made. AWS that does not answer is no failure
    here: health says so, and every method raises DatabaseUnavailable after `operation_seconds`, until it is back.

    Raises:
        DatabaseUnavailable: it will not work with these settings; the detail names the one to look at.
    """
    schema = Schema(settings.dynamodb_table_songs, SETTING, ("GSI1",))
    async with connected(settings, schema, operation_seconds) as connection:
        repository = DynamoRepository(connection)
        async with running_alongside(_tell_foreign_records(repository)):
            yield repository


async def _tell_foreign_records(repository: DynamoRepository) -> None:
    """Say once, and in the health from then on, that the table holds records which this program has not written."""
    while True:
        try:
            found = await repository.connection.run(records.has_foreign)
        except DatabaseUnavailable:
            await asyncio.sleep(_FOREIGN_RETRY_SECONDS)
            continue
        repository.has_foreign_records = found
        if found:
            log.warning(
                "library.foreign_records",
                table=repository.connection.schema.name,
                detail="records of another program, such as the original bot: they are listed and left as they are; "
                "searches do not find them; `butakero import --from dynamodb:TABLE --bucket NAME` moves them in",
            )
        return
