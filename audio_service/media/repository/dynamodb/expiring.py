"""Items that expire: answered requests, named leases, resolved queries. One write each.

Each is valid before its `until`, which conditions and readers compare; TTL removes it up to days later.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from audio_service.media.repository.decision import LONGEST_LEASE_MS, in_force, milliseconds
from audio_service.media.repository.dynamodb.items import expiry, lease_key, now_ms, request_key, resolution_key
from common.databases.dynamodb import EXPIRES, ConditionFailed, Conflict, Delete, Item, Put, Table, Update
from common.messages.downloads import PlatformMetadata

_FREE = "attribute_not_exists(#PK) OR #owner = :owner OR #until <= :now OR #until > :longest"


async def mark_answered(table: Table, request_id: str, *, keep: timedelta) -> None:
    """Mark one request as answered; of two calls the later expiry counts."""
    until = now_ms() + milliseconds(keep)
    change = f"SET #answered_until = :until, #{EXPIRES} = :expiry"
    longer = "attribute_not_exists(#answered_until) OR #answered_until < :until"
    with suppress(ConditionFailed):
        values = {"until": until, "expiry": expiry(until)}
        await table.write(Update(request_key(request_id), change, longer, values))


async def is_answered(table: Table, request_id: str) -> bool:
    """Whether the request is marked as answered."""
    return answered(await table.get(request_key(request_id)), now_ms())


def answered(request: Item | None, now: int) -> bool:
    """Whether what is known of a request says that it is answered."""
    return request is not None and request.get("answered_until", 0) > now


async def acquire(table: Table, name: str, owner: str, lease: timedelta) -> timedelta | None:
    """Take or extend a named lease (see Leases.acquire)."""
    now = now_ms()
    until = now + milliseconds(lease)
    values = {"owner": owner, "until": until, "expiry": expiry(until), "now": now, "longest": now + LONGEST_LEASE_MS}
    change = f"SET #owner = :owner, #until = :until, #{EXPIRES} = :expiry"
    try:
        await table.write(Update(lease_key(name), change, _FREE, values))
    except ConditionFailed as exc:
        held_until = exc.item.get("until", 0)
        if not in_force(held_until, now):  # it was surrendered or ran out meanwhile
            raise Conflict(name) from exc
        return timedelta(milliseconds=held_until - now)
    return None


async def surrender(table: Table, name: str, owner: str) -> None:
    """Release a named lease; no-op unless `owner` holds it."""
    with suppress(ConditionFailed):
        await table.write(Delete(lease_key(name), "#owner = :owner", {"owner": owner}))


async def remember(table: Table, query_key: str, media_id: str, metadata: PlatformMetadata, ttl: timedelta) -> None:
    """Remember what a query resolved to; the last write counts."""
    until = now_ms() + milliseconds(ttl)
    found = {"video_id": media_id, "metadata": metadata.model_dump(), "until": until, EXPIRES: expiry(until)}
    await table.write(Put({**resolution_key(query_key), **found}))


async def recall(table: Table, query_key: str) -> tuple[str, PlatformMetadata] | None:
    """Return what the query resolved to; None once expired."""
    found = await table.get(resolution_key(query_key))
    if found is None or found["until"] <= now_ms():
        return None
    return found["video_id"], PlatformMetadata.model_validate(found["metadata"])
