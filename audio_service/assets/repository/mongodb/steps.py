"""Asset records: each function is one command that the server decides and writes whole, or two. See `base`.

Time is the server's (`$$NOW`), but for what `create` is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from audio_service.assets.model import Asset, AssetState, Made, check_move
from audio_service.assets.repository.base import AssetPage, Claim, Claimed, Ended, Held, Quota
from audio_service.assets.repository.mongodb import quotas
from audio_service.assets.repository.mongodb.collections import (
    BY_ACTIVITY,
    BY_CHAT,
    BY_OWNER,
    NOT_COMPLETE,
    Collections,
)
from audio_service.assets.repository.mongodb.documents import (
    after,
    asset_of,
    document_of,
    literal,
    made_document,
    passed,
)
from audio_service.media.repository.cursors import decode_cursor, encode_cursor, page_size
from common.databases.mongodb import Document
from common.errors import AssetNotFound, LeaseLost

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR = 253_402_300_799_999  # ms: the end of the year 9999, the last that a datetime holds
_MILLISECOND = timedelta(milliseconds=1)


async def create(db: Collections, asset: Asset, quota: Quota) -> None:
    """See AssetRepository.create. What was counted and not inserted (the process died) counts until it expires."""
    await quotas.take(db, asset, quota)
    await db.assets.insert_one(document_of(asset))


async def get(db: Collections, asset_id: str) -> Asset | None:
    """See AssetRepository.get."""
    document = await db.assets.find_one({"_id": asset_id})
    return None if document is None else asset_of(document)


async def complete(db: Collections, asset_id: str, etag: str) -> Asset:
    """See AssetRepository.complete."""
    now = {"completed_at": "$$NOW", "updated_at": "$$NOW", "active_at": "$$NOW"}
    update: list[Document] = [{"$set": {**now, "etag": literal(etag)}}, {"$unset": "open_since"}]
    document = await _changed(db, {"_id": asset_id, "completed_at": None}, update)
    if document is None:
        return await _existing(db, asset_id)
    await quotas.give_back(db, document["owner_id"], asset_id)
    return asset_of(document)


async def claim(db: Collections, asset_id: str, lease: timedelta) -> Claim:
    """See AssetRepository.claim."""
    claimable: Document = {
        "_id": asset_id,
        "completed_at": {"$ne": None},
        "state": {"$in": [AssetState.QUEUED.value, AssetState.PROCESSING.value]},
        "$expr": {"$lte": ["$lease_until", "$$NOW"]},  # null, which is no lease, is less than any time
    }
    update: list[Document] = [
        {
            "$set": {
                "state": AssetState.PROCESSING.value,
                "fence": {"$add": ["$fence", 1]},
                "attempts": {"$add": ["$attempts", 1]},
                "lease_until": after(lease),
                "active_at": after(lease),
                "updated_at": "$$NOW",
            }
        }
    ]
    document = await _changed(db, claimable, update)
    if document is not None:
        return Claimed(document["fence"], asset_of(document))
    found = await db.assets.aggregate([{"$match": {"_id": asset_id}}, {"$set": {"now": "$$NOW"}}]).to_list(None)
    if not found or found[0]["completed_at"] is None:
        raise AssetNotFound(f"{asset_id}: {'not complete' if found else 'no record'}")
    asset = asset_of(found[0])
    if asset.state.is_terminal:
        return Ended(asset)
    until = found[0]["lease_until"] or found[0]["now"]
    return Held(max(until - found[0]["now"], _MILLISECOND))


async def renew(db: Collections, asset_id: str, fence: int, lease: timedelta) -> None:
    """See AssetRepository.renew."""
    ended: Document = {"$eq": ["$lease_until", None]}
    until = {
        "lease_until": {"$cond": [ended, None, after(lease)]},
        "active_at": {"$cond": [ended, "$active_at", after(lease)]},
    }
    done = await db.assets.update_one({"_id": asset_id, "fence": fence}, [{"$set": until}])
    if not done.matched_count:
        raise LeaseLost(f"{asset_id}: fence {fence} is not the record's")


async def yield_claim(db: Collections, asset_id: str, fence: int) -> None:
    """See AssetRepository.yield_claim."""
    mine = {"_id": asset_id, "fence": fence, "state": AssetState.PROCESSING.value}
    await db.assets.update_one(mine, [{"$set": {"lease_until": None, "active_at": "$$NOW"}}])


async def mark_done(db: Collections, asset_id: str, fence: int, made: Made, *, message: str) -> Asset:
    """See AssetRepository.mark_done."""
    outcome: Document = {"made": made_document(made), "error_code": None, "message": message}
    return await _end(db, asset_id, fence, AssetState.DONE, outcome)


async def mark_failed(db: Collections, asset_id: str, fence: int, *, error_code: str, message: str) -> Asset:
    """See AssetRepository.mark_failed."""
    outcome: Document = {"made": made_document(Made()), "error_code": error_code, "message": message}
    return await _end(db, asset_id, fence, AssetState.FAILED, outcome)


async def by_chat(db: Collections, chat_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
    """See AssetRepository.by_chat."""
    return await _page(db, "chat_id", chat_id, limit, cursor)


async def by_owner(db: Collections, owner_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
    """See AssetRepository.by_owner."""
    return await _page(db, "owner_id", owner_id, limit, cursor)


async def never_completed(db: Collections, older_than: timedelta, *, limit: int = 100) -> Sequence[Asset]:
    """See AssetRepository.never_completed."""
    overdue: Document = {"$and": [passed("$open_since", older_than), passed("$upload.expires_at", timedelta(0))]}
    query: Document = {"open_since": {"$gt": _EPOCH}, "$expr": overdue}
    found = db.assets.find(query, hint=NOT_COMPLETE, limit=limit)
    return [asset_of(document) for document in await found.sort("open_since", ASCENDING).to_list(None)]


async def take_stalled(db: Collections, idle: timedelta) -> Asset | None:
    """See AssetRepository.take_stalled."""
    query: Document = {"active_at": {"$gt": _EPOCH}, "$expr": passed("$active_at", idle)}
    # motor's types know of no answer that finds nothing.
    document = cast(
        "Document | None",
        await db.assets.find_one_and_update(
            query,
            [{"$set": {"active_at": "$$NOW"}}],
            sort=[("active_at", ASCENDING)],
            hint=BY_ACTIVITY,
            return_document=ReturnDocument.AFTER,
        ),
    )
    return None if document is None else asset_of(document)


async def remove(db: Collections, asset_id: str, *, unless_complete: bool = False) -> bool:
    """See AssetRepository.remove.

    An id that is remembered, and whose record is still there, is removed again by the sweep; so the id comes first,
    unless it is not known yet whether the record may go: then its only file is what was uploaded.
    """
    if unless_complete:
        done = await db.assets.delete_one({"_id": asset_id, "completed_at": None})
        if not done.deleted_count and await db.assets.find_one({"_id": asset_id}, {"_id": 1}) is not None:
            return False
    await db.removed.update_one({"_id": asset_id}, [{"$set": {"removed_at": "$$NOW"}}], upsert=True)
    await db.assets.delete_one({"_id": asset_id})
    return True


async def removed(db: Collections, older_than: timedelta, *, limit: int = 100) -> Sequence[str]:
    """See AssetRepository.removed."""
    found = db.removed.find({"$expr": passed("$removed_at", older_than)}, {"_id": 1}, limit=limit)
    return [document["_id"] for document in await found.sort("removed_at", ASCENDING).to_list(None)]


async def forget_removed(db: Collections, asset_id: str) -> None:
    """See AssetRepository.forget_removed."""
    await db.removed.delete_one({"_id": asset_id})


async def _end(db: Collections, asset_id: str, fence: int, state: AssetState, outcome: Document) -> Asset:
    update = {
        "$set": {"state": state.value, "lease_until": None, **outcome},
        "$unset": {"active_at": ""},
        "$currentDate": {"updated_at": True},
    }
    document = await _changed(db, {"_id": asset_id, "fence": fence, "state": AssetState.PROCESSING.value}, update)
    if document is not None:
        return asset_of(document)
    # Why not? Under this fence a record that has left `processing` never returns to it, so this read is not a race.
    found = await db.assets.find_one({"_id": asset_id}, {"fence": 1, "state": 1})
    if found is None or found["fence"] != fence:
        raise LeaseLost(f"{asset_id}: fence {fence}, the record's is {found['fence'] if found else 'not there'}")
    check_move(AssetState(found["state"]), state)
    raise LeaseLost(f"{asset_id}: fence {fence}")


async def _page(
    db: Collections, field: Literal["chat_id", "owner_id"], value: str, limit: int, cursor: str | None
) -> AssetPage:
    query: Document = {field: value}
    if cursor is not None:
        created_at, tail = decode_cursor(field, cursor)
        moment = _EPOCH + min(created_at, _FAR) * _MILLISECOND
        query |= {
            "created_at": {"$lte": moment},
            "$or": [{"created_at": {"$lt": moment}}, {"tail": {"$lt": tail}}],
        }
    size = page_size(limit)
    found = db.assets.find(query, hint=BY_CHAT if field == "chat_id" else BY_OWNER, limit=size + 1)
    rows = await found.sort([("created_at", DESCENDING), ("tail", DESCENDING)]).to_list(None)
    shown = rows[:size]
    following = None
    if len(rows) > size:
        last = shown[-1]
        following = encode_cursor(field, (last["created_at"] - _EPOCH) // _MILLISECOND, last["tail"])
    return AssetPage([asset_of(row) for row in shown], following)


async def _changed(db: Collections, query: Document, update: Document | list[Document]) -> Document | None:
    # motor's types know of no answer that finds nothing.
    return cast(
        "Document | None",
        await db.assets.find_one_and_update(query, update, return_document=ReturnDocument.AFTER),
    )


async def _existing(db: Collections, asset_id: str) -> Asset:
    asset = await get(db, asset_id)
    if asset is None:
        raise AssetNotFound(asset_id)
    return asset
