"""Assets by chat and by owner, and what the sweep looks for.

The index only says which: its copies may be some ms behind, or more when AWS is unwell, so the items themselves are
read, consistently. What was written just now may be missing from a list; what was removed or ended is not in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, Literal

from audio_service.assets.model import Asset
from audio_service.assets.repository.base import AssetPage
from audio_service.assets.repository.dynamodb.items import (
    INCOMPLETE,
    INDEX,
    REMOVED,
    SHARDS,
    UNFINISHED,
    asset_of,
    changed,
    chat_partition,
    id_of,
    owner_partition,
    record_key,
    removed_key,
    sort_of,
    sweep_key,
    sweep_partition,
    sweep_place,
    tail_of,
)
from audio_service.media.repository.cursors import decode_cursor, encode_cursor, page_size
from audio_service.media.repository.decision import milliseconds
from audio_service.media.repository.dynamodb.items import ms_of, now_ms
from common.databases.dynamodb import Conflict, Item, Put, Table, Update

_FAR = 253_402_300_799_999  # ms: the end of the year 9999
_MAX_TAIL = 2**63 - 1
_READ, _READ_FOR_ONE = 100, 10
"""Entries of the sweep that are read at a time."""


async def by_chat(table: Table, chat_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
    """See AssetRepository.by_chat."""
    return await _page(table, "chat_id", chat_partition(chat_id), limit, cursor)


async def by_owner(table: Table, owner_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
    """See AssetRepository.by_owner."""
    return await _page(table, "owner_id", owner_partition(owner_id), limit, cursor)


async def never_completed(table: Table, older_than: timedelta, *, limit: int = 100) -> Sequence[Asset]:
    """See AssetRepository.never_completed."""
    now = now_ms()
    until = now - milliseconds(older_than)

    async def of_shard(shard: int) -> list[Asset]:
        found: list[Asset] = []
        pages = _entries(table, sweep_partition(INCOMPLETE, shard), until, filtered="#expires_at <= :now", now=now)
        async with aclosing(pages):
            async for entries in pages:
                records = await table.get_many([record_key(id_of(entry)) for entry in entries])
                found += [asset_of(record) for record in records if record and "completed_at" not in record]
                if len(found) >= limit:
                    break
        return found

    shards = await asyncio.gather(*map(of_shard, range(SHARDS)))
    return sorted((asset for found in shards for asset in found), key=lambda asset: asset.created_at)[:limit]


async def take_stalled(table: Table, idle: timedelta) -> Asset | None:
    """See AssetRepository.take_stalled.

    An asset's entry says before when it need not be looked at: claims do not move it. One that is looked at and works
    is looked at again after `idle`.
    """
    now = now_ms()
    until = now - milliseconds(idle)
    for shard in range(SHARDS):
        pages = _entries(table, sweep_partition(UNFINISHED, shard), until, limit=_READ_FOR_ONE)
        async with aclosing(pages):
            async for entries in pages:
                for record in await table.get_many([record_key(id_of(entry)) for entry in entries]):
                    if record is None or not record["active_at"]:
                        continue  # it was removed, or ended
                    if record["active_at"] > until:
                        await _look_later(table, record, now)
                    elif (asset := await _taken(table, record)) is not None:
                        return asset
    return None


async def removed(table: Table, older_than: timedelta, *, limit: int = 100) -> Sequence[str]:
    """See AssetRepository.removed."""
    until = now_ms() - milliseconds(older_than)

    async def of_shard(shard: int) -> list[Item]:
        found: list[Item] = []
        pages = _entries(table, sweep_partition(REMOVED, shard), until)
        async with aclosing(pages):
            async for entries in pages:
                items = await table.get_many([removed_key(id_of(entry)) for entry in entries])
                found += [item for item in items if item and item["removed_at"] <= until]
                if len(found) >= limit:
                    break
        return found

    shards = await asyncio.gather(*map(of_shard, range(SHARDS)))
    oldest = sorted((item for found in shards for item in found), key=lambda item: item["removed_at"])
    return [id_of(item) for item in oldest[:limit]]


async def _page(
    table: Table, field: Literal["chat_id", "owner_id"], partition: str, limit: int, cursor: str | None
) -> AssetPage:
    created, tail = (_FAR, _MAX_TAIL) if cursor is None else decode_cursor(field, cursor)
    values = {"partition": partition, "before": sort_of(min(created, _FAR), tail)}
    condition = "#GSI1PK = :partition AND #GSI1SK < :before"
    size = page_size(limit)
    rows: list[Asset] = []
    after: Item | None = None
    while len(rows) <= size:
        found = await table.query(condition, values, index=INDEX, newest_first=True, limit=size + 1, after=after)
        records = await table.get_many([record_key(id_of(entry)) for entry in found.items])
        rows += [asset_of(record) for record in records if record is not None]
        after = found.following
        if after is None:
            break
    shown = rows[:size]
    following = None
    if len(rows) > size:
        following = encode_cursor(field, ms_of(shown[-1].created_at), tail_of(shown[-1].asset_id))
    return AssetPage(shown, following)


async def _entries(
    table: Table,
    partition: str,
    until: int,
    *,
    limit: int = _READ,
    filtered: str = "",
    **values: Any,  # noqa: ANN401 - any value
) -> AsyncGenerator[Sequence[Item]]:
    """Yield pages of a shard of what the sweep looks for, from the oldest to those of `until`, in ms."""
    condition = "#GSI1PK = :partition AND #GSI1SK <= :until"
    values |= {"partition": partition, "until": sort_of(until, _MAX_TAIL)}
    after: Item | None = None
    while True:
        found = await table.query(condition, values, index=INDEX, limit=limit, after=after, filtered=filtered)
        yield found.items
        after = found.following
        if after is None:
            return


async def _taken(table: Table, record: Item) -> Asset | None:
    """Begin a stalled asset's time anew; None: another writer was faster."""
    asset_id: str = record["asset_id"]
    now = now_ms()
    entry = {**sweep_key(asset_id), **sweep_place(UNFINISHED, asset_id, now)}
    try:
        await table.transact([changed(record, {"active_at": now}), Put(entry)])
    except Conflict:
        return None
    return asset_of(record)


async def _look_later(table: Table, record: Item, now: int) -> None:
    """Move the entry of an asset that works; no later than now, since its claim may be yielded at once."""
    asset_id: str = record["asset_id"]
    place = sweep_place(UNFINISHED, asset_id, min(now, record["active_at"]))
    with suppress(Conflict):
        await table.write(Update(sweep_key(asset_id), "SET #GSI1SK = :GSI1SK", "attribute_exists(#PK)", place))
