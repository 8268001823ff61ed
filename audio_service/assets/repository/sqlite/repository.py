"""The SQLite adapter of AssetRepository, in the library's file: two connections of its own, as the library has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from audio_service.assets.repository.sqlite import steps
from audio_service.media.repository.sqlite.schema import KEY, MIGRATIONS
from common.databases.sqlite import SqliteFile, Transaction, opened

BUSY_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


def _reads(
    step: Callable[Concatenate[Transaction, P], T],
) -> Callable[Concatenate[SqliteAssets, P], CoroutineType[Any, Any, T]]:
    @wraps(step)
    async def method(self: SqliteAssets, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.file.reader.read(lambda tx: step(tx, *args, **kwargs))

    return method


def _writes(
    step: Callable[Concatenate[Transaction, P], T],
) -> Callable[Concatenate[SqliteAssets, P], CoroutineType[Any, Any, T]]:
    @wraps(step)
    async def method(self: SqliteAssets, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.file.writer.write(lambda tx: step(tx, *args, **kwargs))

    return method


class SqliteAssets:
    """AssetRepository over one SQLite file; the port's docstrings hold. Made by `open_sqlite_assets`."""

    def __init__(self, file: SqliteFile) -> None:
        self.file = file

    create = _writes(steps.create)
    get = _reads(steps.get)
    complete = _writes(steps.complete)
    claim = _writes(steps.claim)
    renew = _writes(steps.renew)
    yield_claim = _writes(steps.yield_claim)
    mark_done = _writes(steps.mark_done)
    mark_failed = _writes(steps.mark_failed)
    by_chat = _reads(steps.by_chat)
    by_owner = _reads(steps.by_owner)
    never_completed = _reads(steps.never_completed)
    take_stalled = _writes(steps.take_stalled)
    remove = _writes(steps.remove)
    removed = _reads(steps.removed)
    forget_removed = _writes(steps.forget_removed)


@asynccontextmanager
async def open_sqlite_assets(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> AsyncGenerator[SqliteAssets]:
    """Open the records in the library at `path`, creating or migrating it. Raises DatabaseUnavailable."""
    async with opened(path, busy_seconds, MIGRATIONS, key=KEY) as file:
        yield SqliteAssets(file)
