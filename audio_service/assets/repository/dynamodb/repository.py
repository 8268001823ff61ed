"""The DynamoDB adapter of AssetRepository, in the library's table: each method is a step, as the library's are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from audio_service.assets.repository.dynamodb import lists, steps
from audio_service.assets.repository.dynamodb.items import INDEX
from audio_service.media.repository.dynamodb.repository import SETTING
from audio_service.settings import AudioSettings
from common.databases.dynamodb import OPERATION_SECONDS, DynamoConnection, Schema, Table, connected

P = ParamSpec("P")
T = TypeVar("T")


def _runs(
    step: Callable[Concatenate[Table, P], CoroutineType[Any, Any, T]],
) -> Callable[Concatenate[DynamoAssets, P], CoroutineType[Any, Any, T]]:
    @wraps(step)
    async def method(self: DynamoAssets, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.connection.run(lambda table: step(table, *args, **kwargs))

    return method


class DynamoAssets:
    """AssetRepository over a table; the port's docstrings hold. Made by `open_dynamodb_assets`."""

    def __init__(self, connection: DynamoConnection) -> None:
        self.connection = connection

    create = _runs(steps.create)
    get = _runs(steps.get)
    complete = _runs(steps.complete)
    claim = _runs(steps.claim)
    renew = _runs(steps.renew)
    yield_claim = _runs(steps.yield_claim)
    mark_done = _runs(steps.mark_done)
    mark_failed = _runs(steps.mark_failed)
    by_chat = _runs(lists.by_chat)
    by_owner = _runs(lists.by_owner)
    never_completed = _runs(lists.never_completed)
    take_stalled = _runs(lists.take_stalled)
    remove = _runs(steps.remove)
    removed = _runs(lists.removed)
    forget_removed = _runs(steps.forget_removed)


@asynccontextmanager
async def open_dynamodb_assets(
    settings: AudioSettings, *, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[DynamoAssets]:
    """Open the table that DYNAMODB_TABLE_SONGS names, as the library does; AWS that is away is no failure here.

    Raises:
        DatabaseUnavailable: it will not work with these settings; the detail names the one to look at.
    """
    schema = Schema(settings.dynamodb_table_songs, SETTING, (INDEX,))
    async with connected(settings, schema, operation_seconds) as connection:
        yield DynamoAssets(connection)
