"""Open requests in DynamoDB.

More requests than a transaction holds are stored as one batch, whose item is the commit: from then on they are open.
Each transaction that gives some of them items of their own advances the batch's `done`, so that none is opened twice. A
reader that meets a batch, which a crash has left, completes it first.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress

from bot_service.store.base import PendingRequest
from bot_service.store.documents import REQUEST, readable
from bot_service.store.dynamodb.base import DynamoBase, read_all
from bot_service.store.dynamodb.packing import packed, paged, unpacked
from common.databases.dynamodb import (
    EXPIRES,
    MAX_TRANSACTION,
    ConditionFailed,
    Delete,
    Item,
    Put,
    Table,
    Update,
    key,
    key_of,
)
from common.errors import DatabaseUnavailable
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_FINISHED_SECONDS = 24 * 3600
"""After which DynamoDB removes a finished request that could not be deleted."""
_PAGES_SECONDS = 30 * 24 * 3600
"""After which DynamoDB removes the pages of a batch that was never committed, or never completed."""


class DynamoRequests(DynamoBase):
    """Open requests; the port's docstrings hold."""

    async def add_requests(self, requests: Sequence[PendingRequest]) -> None:
        """Insert or replace requests: one, or up to MAX_TRANSACTION in a transaction, or a batch."""
        items = list({asked.request_id: _item_of(asked) for asked in requests}.values())
        writes = [Put(item) for item in items]
        if len(writes) > MAX_TRANSACTION:
            await self._add_batch(items)
        elif len(writes) > 1:
            await self._run(lambda table: table.transact(writes))
        elif writes:
            await self._run(lambda table: table.write(writes[0]))

    async def request(self, request_id: str) -> PendingRequest | None:
        """Return an open request."""

        async def step(table: Table) -> Item | None:
            item = await table.get(_request_key(request_id))
            return await table.get(_request_key(request_id)) if item is None and await _complete(table) else item

        return _decoded(await self._run(step))

    async def finish_request(self, request_id: str) -> PendingRequest | None:
        """Mark a request as taken by this call and then delete it; an unreadable one too, as it cannot be answered.

        The SDK repeats a call whose answer was lost: a delete would find nothing then, and the request be nobody's.
        """
        mine = {"me": uuid.uuid4().hex, "later": int(time.time()) + _FINISHED_SECONDS}
        take = Update(
            _request_key(request_id),
            f"SET #taken_by = :me, #{EXPIRES} = :later",
            "attribute_exists(#document) AND (attribute_not_exists(#taken_by) OR #taken_by = :me)",
            mine,
        )

        async def step(table: Table) -> Item | None:
            try:
                return await table.write(take)
            except ConditionFailed as exc:
                if exc.item or not await _complete(table):
                    return None
            with suppress(ConditionFailed):
                return await table.write(take)
            return None

        if (taken := await self._run(step)) is None:
            return None
        try:
            await self._run(lambda table: _delete(table, Delete(key_of(taken), "#taken_by = :me", mine)))
        except DatabaseUnavailable as exc:
            log.warning("store.finished_request_stays", request_id=request_id, detail=exc.detail)
        taken.pop("taken_by")
        return _decoded(taken)

    async def open_requests(self) -> list[PendingRequest]:
        """Return the open requests, oldest first."""

        async def step(table: Table) -> list[Item]:
            items = await read_all(table, "#PK = :pk", {"pk": "REQUESTS"})
            if any("done" in item for item in items):
                await _complete(table)
                items = await read_all(table, "#PK = :pk", {"pk": "REQUESTS"})
            return [item for item in items if "request_id" in item and "taken_by" not in item]

        items = await self._run(step)
        items.sort(key=lambda item: (item["asked_at"], item["request_id"]))
        return readable(_decoded(item) for item in items)

    async def _add_batch(self, items: Sequence[Item]) -> None:
        batch = uuid.uuid4().hex
        document = packed(json.dumps([{**item, "document": unpacked(item["document"])} for item in items]))
        pages = paged(document)
        head: Item = {
            **key("REQUESTS", f"BATCH#{batch}"),
            "done": 0,
            "number": len(items),
            **({"pages": len(pages)} if pages else {"document": document}),
        }
        expires = int(time.time()) + _PAGES_SECONDS

        async def step(table: Table) -> None:
            await table.put_many(
                {**page, "page": content, EXPIRES: expires}
                for page, content in zip(_page_keys(head), pages, strict=True)
            )
            await table.write(Put(head))

        await self._run(step)
        try:
            await self._run(_complete)
        except DatabaseUnavailable as exc:
            log.warning("store.batch_left", number=len(items), detail=exc.detail)  # the next reader completes it


async def _complete(table: Table) -> bool:
    """Give the requests of all batches items of their own; False without a batch."""
    values = {"pk": "REQUESTS", "sk": "BATCH#"}
    heads = await read_all(table, "#PK = :pk AND begins_with(#SK, :sk)", values)
    for head in heads:
        await complete_one(table, head)
    return bool(heads)


async def complete_one(table: Table, head: Item) -> None:
    """Give the requests of a batch items of their own; no-op for those of a batch that was completed meanwhile."""
    keys = _page_keys(head)
    pages = await table.get_many(keys)
    document = b"".join(page["page"] for page in pages if page) if keys else head["document"]
    items = _items_of(unpacked(document), head["SK"])
    done, size = head["done"], MAX_TRANSACTION - 1
    while done < len(items):
        puts = [Put({**item, "document": packed(item["document"])}) for item in items[done : done + size]]
        advance = Update(key_of(head), "SET #done = :next", "#done = :done", {"done": done, "next": done + len(puts)})
        try:
            await table.transact([*puts, advance])
            done += len(puts)
        except ConditionFailed:  # another process completes it too
            current = await table.get(key_of(head))
            if current is None:
                return
            done = current["done"]
    await table.delete_many([key_of(head), *keys])


def _items_of(text: str, batch: str) -> list[Item]:
    try:
        items: list[Item] = json.loads(text)
    except ValueError as exc:
        log.error("store.unreadable", record="PendingRequest", key=batch, reason=str(exc))  # noqa: TRY400 - no bug of ours
        return []
    return items


async def _delete(table: Table, delete: Delete) -> None:
    with suppress(ConditionFailed):  # opened again
        await table.write(delete)


def _item_of(asked: PendingRequest) -> Item:
    return {
        **_request_key(asked.request_id),
        "request_id": asked.request_id,
        "asked_at": int(asked.asked_at.timestamp() * 1000),
        "document": packed(REQUEST.text(asked)),
    }


def _decoded(item: Item | None) -> PendingRequest | None:
    if item is None or "taken_by" in item:
        return None
    return REQUEST.read_text(unpacked(item.get("document")), item["request_id"])


def _request_key(request_id: str) -> Item:
    return key("REQUESTS", f"REQUEST#{request_id}")


def _page_keys(head: Item) -> list[Item]:
    return [key(head["SK"], f"PAGE#{number:03}") for number in range(head.get("pages", 0))]
