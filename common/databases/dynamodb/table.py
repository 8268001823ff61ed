"""A table: reads, conditional writes, transactions, batches. Each method is one request, but for the batches."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.databases.dynamodb.errors import Schema, translated_errors
from common.databases.dynamodb.values import (
    Delete,
    Item,
    Key,
    Put,
    Update,
    Write,
    from_wire,
    parameters,
    placeholders,
    to_wire,
)
from common.errors import DatabaseUnavailable
from common.tasks import time_limit

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

MAX_TRANSACTION = 100
_MAX_BATCH_READ, _MAX_BATCH_WRITE = 100, 25
_BACKOFF_SECONDS = 0.02
_LONGEST_BACKOFF_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """Items of a query, in the index's order. `following`: the key before the next page, None at the end."""

    items: Sequence[Item]
    following: Item | None


class Table:
    """What a step works with. Each method is one request, but for the batches, and raises DatabaseUnavailable."""

    def __init__(self, client: DynamoDBClient, schema: Schema, region: str, seconds: float) -> None:
        self._client: Any = client  # its types know AttributeValues alone
        self._schema = schema
        self._region = region
        self._seconds = seconds
        self._waiting: set[asyncio.Timeout] = set()
        self.name = schema.name

    async def get(self, key: Key) -> Item | None:
        """Return an item."""
        answer = await self._call(self._client.get_item, TableName=self.name, Key=to_wire(key), ConsistentRead=True)
        return from_wire(answer["Item"]) if "Item" in answer else None

    async def get_many(self, keys: Iterable[Key]) -> list[Item | None]:
        """Return items in the order of their keys, None for each that is not there; any number, not one snapshot."""
        wanted = [(key["PK"], key["SK"]) for key in keys]
        unique = list(dict.fromkeys(wanted))
        found: dict[tuple[str, str], Item] = {}
        for start in range(0, len(unique), _MAX_BATCH_READ):
            left = [to_wire({"PK": pk, "SK": sk}) for pk, sk in unique[start : start + _MAX_BATCH_READ]]
            async for _ in repeating():
                asked = {self.name: {"Keys": left, "ConsistentRead": True}}
                answer = await self._call(self._client.batch_get_item, RequestItems=asked)
                items = [from_wire(item) for item in answer["Responses"].get(self.name, [])]
                found |= {(item["PK"], item["SK"]): item for item in items}
                left = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
                if not left:
                    break
        return [found.get(each) for each in wanted]

    async def query(  # noqa: PLR0913 - as many as the request has
        self,
        condition: str,
        values: Mapping[str, Any],
        *,
        index: str = "",
        newest_first: bool = False,
        limit: int = 0,
        after: Item | None = None,
        filtered: str = "",
    ) -> Found:
        """Return one page (at most 1 MB, or `limit` items) of a partition, by its key condition.

        `filtered` drops items after they were read and counted. `after` is an earlier answer's `following`.
        """
        asked: Item = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ScanIndexForward": not newest_first,
            **placeholders(f"{condition} {filtered}", values),
        }
        asked |= {"IndexName": index} if index else {"ConsistentRead": True}
        asked |= {"FilterExpression": filtered} if filtered else {}
        asked |= {"Limit": limit} if limit else {}
        asked |= {"ExclusiveStartKey": to_wire(after)} if after else {}
        answer = await self._call(self._client.query, **asked)
        following = answer.get("LastEvaluatedKey")
        return Found([from_wire(item) for item in answer["Items"]], from_wire(following) if following else None)

    async def write(self, write: Put | Update | Delete) -> Item:
        """Write one item. Returns it after an Update, what was there before a Put or Delete ({} for nothing).

        Raises:
            ConditionFailed: the condition does not hold; `item` is what stands there.
            Conflict: a transaction works on the item.
        """
        asked = parameters(self.name, write)
        match write:
            case Put():
                answer = await self._call(self._client.put_item, **asked, ReturnValues="ALL_OLD")
            case Update():
                answer = await self._call(self._client.update_item, **asked, ReturnValues="ALL_NEW")
            case Delete():
                answer = await self._call(self._client.delete_item, **asked, ReturnValues="ALL_OLD")
        return from_wire(answer.get("Attributes", {}))

    async def transact(self, writes: Sequence[Write], *, token: str = "") -> None:
        """Write up to MAX_TRANSACTION different items, all or none. With the same `token`, within 10 minutes: once.

        The SDK's own repeats have the same token, so a lost answer does no harm.

        Raises:
            ConditionFailed: a condition does not hold.
            Conflict: another transaction works on one of the items.
        """
        parts = [
            {type(write).__name__.replace("Check", "ConditionCheck"): parameters(self.name, write)} for write in writes
        ]
        await self._call(
            self._client.transact_write_items, TransactItems=parts, ClientRequestToken=token or uuid.uuid4().hex
        )

    async def put_many(self, items: Iterable[Item]) -> None:
        """Write any number of different items, without conditions and each for itself."""
        await self._write_many({"PutRequest": {"Item": to_wire(item)}} for item in items)

    async def delete_many(self, keys: Iterable[Key]) -> None:
        """Remove any number of different items, each for itself."""
        await self._write_many({"DeleteRequest": {"Key": to_wire(key)}} for key in keys)

    async def _call(self, operation: Callable[..., Awaitable[Any]], **asked: Any) -> Any:  # noqa: ANN401 - an answer
        """Make a request, which fails when nothing was answered, to it or to another, for as long as one may take."""
        with translated_errors(self._schema, self._region):
            try:
                async with time_limit(self._seconds) as scope:
                    self._waiting.add(scope)
                    try:
                        answer = await operation(**asked)
                    finally:
                        self._waiting.discard(scope)
            except TimeoutError as exc:
                raise DatabaseUnavailable(
                    f"{self._schema.setting}: {self.name}: no answer in {self._seconds} s"
                ) from exc
        ends = asyncio.get_running_loop().time() + self._seconds
        for other in self._waiting:
            if not other.expired():
                other.reschedule(ends)
        return answer

    async def _write_many(self, requests: Iterable[Item]) -> None:
        todo = list(requests)
        batches = [todo[start : start + _MAX_BATCH_WRITE] for start in range(0, len(todo), _MAX_BATCH_WRITE)]
        await asyncio.gather(*(self._write_batch(batch) for batch in batches))

    async def _write_batch(self, batch: list[Item]) -> None:
        async for _ in repeating():
            answer = await self._call(self._client.batch_write_item, RequestItems={self.name: batch})
            batch = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not batch:
                return


async def repeating() -> AsyncGenerator[int]:
    """Yield for ever, each time after a longer random pause than before; the first time at once."""
    longest = _BACKOFF_SECONDS
    attempt = 0
    while True:
        yield attempt
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - jitter
        attempt += 1
        longest = min(longest * 2, _LONGEST_BACKOFF_SECONDS)
