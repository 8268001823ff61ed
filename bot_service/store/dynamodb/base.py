"""The bot's table in DynamoDB: its keys, its revisions, and the base of the classes that use it.

PK              SK                               what
PLAYERS#<0-7>   GUILD#<id>                       a saved player; `page_set` where its document is in pages
PLAYERS#<0-7>   GUILD#<id>#POSITION              its `next_frame`, if its revision is above the player's
PLAYERS#<0-7>   GUILD#<id>#PAGE#<page_set>#<no>  a part of the document
REQUESTS        REQUEST#<id>                     an open request; `taken_by` marks one that was finished
REQUESTS        BATCH#<id>                       more requests than a transaction holds, until each has its item
BATCH#<id>      PAGE#<no>                        a part of its document
GUILD#<id>      SETTINGS                         a guild's settings
GUILD#<id>      HISTORY, HISTORY#<no>            the number of the last line, and the lines
USER#<id>       FAVOURITES, FAVOURITE#<video>    the number of favourites, and each of them

`document` is JSON (documents.py), compressed if it is long (packing.py). What is read together has one PK: everything
is found by a strongly consistent query, without an index and without a scan (docs/adr/0031-bot-store-in-dynamodb.md).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from common.databases.dynamodb import DynamoConnection, Item, Table
from common.errors import DatabaseUnavailable

T = TypeVar("T")

SETTING = "DYNAMODB_TABLE_BOT"
PLAYER_SHARDS = 8


class DynamoBase:
    """One concern of the store over the shared connection."""

    def __init__(self, connection: DynamoConnection) -> None:
        self._connection = connection
        self._closed = False
        self._writer = uuid.uuid4().hex
        self._last_revision = 0

    async def _run(self, step: Callable[[Table], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Run a step. Raises DatabaseUnavailable."""
        if self._closed:
            raise DatabaseUnavailable(f"{SETTING}: the store is closed")
        return await self._connection.run(step, seconds=seconds)

    def close(self) -> None:
        """Refuse every further step."""
        self._closed = True

    def _next_revision(self) -> int:
        """Return a number above all previous ones, and by the wall clock (µs) above those of earlier processes."""
        self._last_revision = max(self._last_revision, time.time_ns() // 1000) + 1
        return self._last_revision


async def read_all(table: Table, condition: str, values: Mapping[str, Any]) -> list[Item]:
    """Return every item of a query."""
    found = await table.query(condition, values)
    items = list(found.items)
    while found.following is not None:
        found = await table.query(condition, values, after=found.following)
        items += found.items
    return items
