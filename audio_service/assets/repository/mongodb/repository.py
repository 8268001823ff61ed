"""The MongoDB adapter of AssetRepository: each method is one command or two, with majority write and read concern."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from audio_service.assets.repository.mongodb import steps
from audio_service.assets.repository.mongodb.collections import Collections, indexes
from audio_service.settings import AudioSettings
from common.databases.mongodb import OPERATION_SECONDS, MongoConnection, connected

P = ParamSpec("P")
T = TypeVar("T")


def _runs(
    step: Callable[Concatenate[Collections, P], CoroutineType[Any, Any, T]],
) -> Callable[Concatenate[MongoAssets, P], CoroutineType[Any, Any, T]]:
    @wraps(step)
    async def method(self: MongoAssets, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.connection.run(lambda db: step(db, *args, **kwargs))

    return method


class MongoAssets:
    """AssetRepository over a replica set; the port's docstrings hold. Made by `open_mongodb_assets`."""

    def __init__(self, connection: MongoConnection[Collections]) -> None:
        self.connection = connection

    create = _runs(steps.create)
    get = _runs(steps.get)
    complete = _runs(steps.complete)
    claim = _runs(steps.claim)
    renew = _runs(steps.renew)
    yield_claim = _runs(steps.yield_claim)
    mark_done = _runs(steps.mark_done)
    mark_failed = _runs(steps.mark_failed)
    by_chat = _runs(steps.by_chat)
    by_owner = _runs(steps.by_owner)
    never_completed = _runs(steps.never_completed)
    take_stalled = _runs(steps.take_stalled)
    remove = _runs(steps.remove)
    removed = _runs(steps.removed)
    forget_removed = _runs(steps.forget_removed)


@asynccontextmanager
async def open_mongodb_assets(
    settings: AudioSettings, *, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[MongoAssets]:
    """Connect to the replica set that MONGO_HOST names, as the library does; one that is down is no failure here.

    Raises:
        DatabaseUnavailable: it will not work with these settings; the detail names the one to look at.
    """
    name = settings.mongo_collection_assets
    async with connected(
        settings, lambda database: Collections.of(database, name), indexes(name), operation_seconds
    ) as connection:
        yield MongoAssets(connection)
