"""Plays, and eviction of the least recently used files. See `base.Retention`.

A file has one entry among the files of its shard, ordered by use. A play writes the record alone, so an entry may be
older than the record says. Eviction walks the entries, oldest first, and puts such a one where it belongs; the first
that is right is the least recently used file. No table scan, and each play costs one write.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from contextlib import suppress
from datetime import timedelta

from audio_service.media.model import MediaStatus
from audio_service.media.repository.base import EVICTOR, Eviction
from audio_service.media.repository.decision import in_force, milliseconds
from audio_service.media.repository.dynamodb.claims import forget_search_entries
from audio_service.media.repository.dynamodb.items import (
    USED,
    changed,
    fields_without_file,
    id_of,
    is_ours,
    listed,
    now_ms,
    partition_of,
    record_key,
    shard_of,
    shards,
    stored_key,
    text_of,
    used_sort,
    without_file,
)
from common.databases.dynamodb import ConditionFailed, Delete, Item, Put, Table, Update, key

_ENTRIES = 10
_MOVED = -1
_Use = tuple[int, str]
"""When a file was used, as its entry says, and its media id."""


async def count_play(table: Table, media_id: str) -> None:
    """Count a play."""
    now = now_ms()
    change = "SET #last_played_at = :moment, #used_at = :now ADD #play_count :one"
    values = {"moment": text_of(now), "now": now, "one": 1, "success": MediaStatus.SUCCESS.value}
    with suppress(ConditionFailed):
        guard = "#status = :success AND attribute_exists(#rev)"
        await table.write(Update(record_key(media_id), change, guard, values))


async def stored_bytes(table: Table) -> int:
    """Add up the counters of the shards."""
    counters = await table.get_many([stored_key(shard) for shard in shards()])
    return sum(counter["bytes"] for counter in counters if counter)


async def begin_eviction(table: Table, *, idle: timedelta, lease: timedelta) -> Eviction | None:
    """Take the least recently used file out of the library."""
    latest = now_ms() - milliseconds(idle)
    walks = [_Walk(table, shard) for shard in shards()]
    first = await asyncio.gather(*(walk.following() for walk in walks))
    oldest: list[tuple[_Use, int]] = [(use, at) for at, use in enumerate(first) if use]
    heapq.heapify(oldest)
    while oldest and oldest[0][0][0] <= latest:
        (used, media_id), at = heapq.heappop(oldest)
        if at != _MOVED and (following := await walks[at].following()):
            heapq.heappush(oldest, (following, at))
        record = await table.get(record_key(media_id))
        if record is None or not is_ours(record) or not record["size_bytes"]:
            continue  # it was evicted meanwhile
        if record["used_at"] > used:
            await _move(table, record)
            heapq.heappush(oldest, ((record["used_at"], media_id), _MOVED))
        elif _may_go(record):
            return await _evict(table, record, lease)
    return None


async def finish_eviction(table: Table, media_id: str, fence: int) -> None:
    """Record that the file is gone."""
    record = await table.get(record_key(media_id))
    if record is None or not is_ours(record) or (record["fence"], record["holder"]) != (fence, EVICTOR):
        return
    changes = {"size_bytes": 0, "lease_until": 0, "holder": ""}
    await table.transact([changed(record, changes), *without_file(record)])


async def _evict(table: Table, record: Item, lease: timedelta) -> Eviction:
    now = now_ms()
    fence = record["fence"] + 1
    held = {"fence": fence, "lease_until": now + milliseconds(lease), "holder": EVICTOR}
    changes = {**fields_without_file(), **held, "updated_at": text_of(now)}
    used = record["used_at"]
    await table.transact([changed(record, changes, "#used_at = :used", used=used), *listed(record, now)])
    if record["indexed_fence"]:
        await forget_search_entries(table, record)
    return Eviction(id_of(record), fence, record["size_bytes"])


async def _move(table: Table, record: Item) -> None:
    """Put a file's entry where its use belongs."""
    media_id, used = id_of(record), record["used_at"]
    partition = partition_of(shard_of(media_id))
    values = {"now": used, "before": record["used_entry"]}
    await table.transact(
        [
            Update(record_key(media_id), "SET #used_entry = :now", "#used_entry = :before", values),
            Delete(key(partition, used_sort(record["used_entry"], media_id))),
            Put({**key(partition, used_sort(used, media_id)), "video_id": media_id}),
        ]
    )


def _may_go(record: Item) -> bool:
    """Whether the file may be evicted. One whose evictor died before it removed it is still the oldest."""
    evictable = record["status"] == MediaStatus.SUCCESS.value or record["holder"] == EVICTOR
    return evictable and not record["waiters"] and not in_force(record["lease_until"], now_ms())


class _Walk:
    """The files of one shard, in the order of their entries, a few at a time."""

    def __init__(self, table: Table, shard: str) -> None:
        self._table = table
        self._partition = partition_of(shard)
        self._fetched: deque[Item] = deque()
        self._after: Item | None = None
        self._ended = False

    async def following(self) -> _Use | None:
        """Return the next entry, None at the end."""
        if not self._fetched and not self._ended:
            values = {"partition": self._partition, "used": f"{USED}#"}
            condition = "#PK = :partition AND begins_with(#SK, :used)"
            found = await self._table.query(condition, values, limit=_ENTRIES, after=self._after)
            self._fetched.extend(found.items)
            self._after = found.following
            self._ended = found.following is None
        if not self._fetched:
            return None
        _, used, media_id = self._fetched.popleft()["SK"].split("#", 2)
        return int(used), media_id
