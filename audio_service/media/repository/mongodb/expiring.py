"""Documents that expire: answered requests, named leases, resolved queries. One command each.

Each is valid before its `until`, which queries compare with the server's clock; the server's TTL monitor removes
expired documents about a minute later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from audio_service.media.repository.mongodb.collections import Collections
from audio_service.media.repository.mongodb.documents import after, left_until, literal
from common.databases.mongodb import Document, Session
from common.messages.downloads import PlatformMetadata

_ALIVE: Document = {"$gt": ["$until", "$$NOW"]}
_UPSERT_TRIES = 5


async def mark_answered(db: Collections, request_id: str, *, keep: timedelta) -> None:
    """Mark one request as answered."""
    await mark_all_answered(db, [request_id], keep=keep)


async def mark_all_answered(
    db: Collections, request_ids: Sequence[str], *, keep: timedelta, session: Session | None = None
) -> None:
    """Mark requests as answered; of two calls the later expiry counts."""
    if not request_ids:
        return
    update = [{"$set": {"until": {"$max": ["$until", after(keep)]}}}]
    writes = [UpdateOne({"_id": request_id}, update, upsert=True) for request_id in dict.fromkeys(request_ids)]
    await db.answered.bulk_write(writes, ordered=False, session=session)  # pyright: ignore[reportUnknownMemberType] - its stub has a bare Mapping


async def is_answered(db: Collections, request_id: str) -> bool:
    """Whether the request is marked as answered."""
    return await db.answered.find_one({"_id": request_id, "$expr": _ALIVE}, {"_id": 1}) is not None


async def count_answered(db: Collections, request_ids: Sequence[str], *, session: Session) -> int:
    """Return how many of the requests are marked as answered."""
    return await db.answered.count_documents({"_id": {"$in": [*request_ids]}, "$expr": _ALIVE}, session=session)


async def acquire(db: Collections, name: str, owner: str, lease: timedelta) -> timedelta | None:
    """Take or extend a named lease (see Leases.acquire)."""
    me = literal(owner)
    # Without a document, `$owner` and `$until` are missing; a missing `$until` is not alive, so the lease is free.
    free = {"$or": [{"$not": _ALIVE}, {"$eq": ["$owner", me]}]}
    update = [
        {"$set": {"free": free}},
        {"$set": {"owner": {"$cond": ["$free", me, "$owner"]}, "until": {"$cond": ["$free", after(lease), "$until"]}}},
        {"$unset": "free"},
    ]
    for _ in range(_UPSERT_TRIES - 1):
        try:
            return await _acquire(db, name, owner, update)
        except DuplicateKeyError:
            # A concurrent upsert created it; the next try finds it.
            continue
    return await _acquire(db, name, owner, update)


async def surrender(db: Collections, name: str, owner: str) -> None:
    """Release a named lease; no-op unless `owner` holds it."""
    await db.leases.delete_one({"_id": name, "owner": owner})


async def remember(db: Collections, query_key: str, media_id: str, metadata: PlatformMetadata, ttl: timedelta) -> None:
    """Remember what a query resolved to; the last write counts."""
    values = {"video_id": literal(media_id), "metadata": literal(metadata.model_dump()), "until": after(ttl)}
    await db.resolutions.update_one({"_id": query_key}, [{"$set": values}], upsert=True)


async def recall(db: Collections, query_key: str) -> tuple[str, PlatformMetadata] | None:
    """Return what the query resolved to; None once expired."""
    found = await db.resolutions.find_one({"_id": query_key, "$expr": _ALIVE})
    return None if found is None else (found["video_id"], PlatformMetadata.model_validate(found["metadata"]))


async def _acquire(db: Collections, name: str, owner: str, update: list[Document]) -> timedelta | None:
    document = await db.leases.find_one_and_update(
        {"_id": name},
        update,
        projection={"owner": 1, "until": 1, "now": "$$NOW"},
        upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    return None if document["owner"] == owner else left_until(document["until"], document["now"])
