"""Claims, fences and waiters: each one command, decided by the server on the one document that holds all of it.

Record, lease and waiting list are one document, so a `findAndModify` whose update is a pipeline decides and writes
atomically. What it decided is read from the document that it returns: `claim_id` is this claim's if and only if this
claim became the record's owner.

Time is the server's (`$$NOW`); clients' clocks play no part in any lease.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from audio_service.media.model import Media, MediaStatus, check_move, search_text
from audio_service.media.repository.base import (
    Claim,
    Finished,
    Joined,
    LeaseHeld,
    Owned,
    StoredMedia,
    Unannounced,
    Waiter,
    withdrawal,
)
from audio_service.media.repository.mongodb import expiring
from audio_service.media.repository.mongodb.collections import BY_WAITER, Collections
from audio_service.media.repository.mongodb.decision import claim_update, settled_lately
from audio_service.media.repository.mongodb.documents import (
    FIELDS,
    OURS,
    WITHOUT_FILE,
    after,
    all_grams,
    left_until,
    literal,
    made_fields,
    media_of,
    waiters_of,
)
from common.databases.mongodb import Document, Session
from common.errors import DatabaseUnavailable, LeaseLost
from common.messages.downloads import PlatformMetadata

# How long a record remembers its settled requests. `answered` keeps them for longer; this only has to outlast a claim
# that read `answered` just before they were settled.
_SETTLED_KEEP = timedelta(minutes=10)
_UPSERT_TRIES = 5

_CLAIM_FIELDS: Document = dict.fromkeys(
    (*FIELDS, "fence", "lease_until", "claim_id", "holder", "waiters", "settled"), 1
)
_CLAIM_FIELDS["now"] = "$$NOW"
_OUTCOME_FIELDS = dict.fromkeys((*FIELDS, "waiters"), 1)


async def claim(db: Collections, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> Claim:
    """Decide which worker makes the record (see Claims.claim)."""
    if await expiring.is_answered(db, waiter.request_id):
        return Joined()
    claim_id = uuid.uuid4().hex
    document = await _decide(db, media_id, claim_update(claim_id, waiter, metadata, lease))
    status = MediaStatus(document["status"])
    if document["claim_id"] == claim_id:
        if status is MediaStatus.PROCESSING:
            return Owned(document["fence"], media_of(document))
        return Unannounced(document["fence"], media_of(document), waiters_of(document))
    settled, waiting = ({other["request_id"] for other in document[name]} for name in ("settled", "waiters"))
    # A failed record's owner publishes to the waiters that it has read; a request that returns now retries later.
    if waiter.request_id in settled or (waiter.request_id in waiting and status is not MediaStatus.ERROR):
        return Joined()
    if status is MediaStatus.SUCCESS:
        return Finished(media_of(document))
    return LeaseHeld(left_until(document["lease_until"], document["now"]))


async def waits_for(db: Collections, request_id: str) -> str | None:
    """Return the record that a request waits for."""
    found = await db.songs.find_one({"waiters.request_id": request_id}, {"_id": 1}, hint=BY_WAITER)
    return None if found is None else found["_id"]


async def renew(db: Collections, media_id: str, fence: int, lease: timedelta) -> None:
    """Extend a claim. No-op after it was yielded or settled: a late heartbeat does not revive it."""
    until = {"$cond": [{"$eq": ["$lease_until", None]}, None, after(lease)]}
    done = await db.songs.update_one({"_id": media_id, "fence": fence}, [{"$set": {"lease_until": until}}])
    if not done.matched_count:
        raise LeaseLost(f"{media_id}: fence {fence} is not the record's")


async def yield_claim(db: Collections, media_id: str, fence: int) -> None:
    """End a claim's lease; a stale fence is a no-op."""
    await db.songs.update_one({"_id": media_id, "fence": fence}, {"$set": {"lease_until": None}})


async def mark_success(db: Collections, media_id: str, fence: int, made: StoredMedia) -> tuple[Media, Sequence[Waiter]]:
    """Record what was made."""
    text = search_text(made.metadata.title)
    found = {"search_text": text, "grams": all_grams(text)}
    update = {
        "$set": {"status": "success", **made_fields(made), **found, "error_code": None},
        "$currentDate": {"updated_at": True, "used_at": True},
    }
    return await _finish(db, media_id, fence, MediaStatus.SUCCESS, update)


async def mark_error(
    db: Collections, media_id: str, fence: int, *, error_code: str, message: str
) -> tuple[Media, Sequence[Waiter]]:
    """Record a final failure."""
    update = {
        "$set": {"status": "error", "error_code": error_code, "message": message},
        "$inc": {"failures": 1},
        "$currentDate": {"updated_at": True},
    }
    return await _finish(db, media_id, fence, MediaStatus.ERROR, update)


async def settle(
    db: Collections, media_id: str, fence: int, request_ids: Sequence[str], *, keep: timedelta
) -> Sequence[Waiter]:
    """Mark requests as answered, and end the lease with the last waiter: one transaction over both collections."""
    update = _settled_update(fence, list(request_ids), keep)

    async def step(session: Session) -> Document | None:
        await expiring.mark_all_answered(db, request_ids, keep=keep, session=session)
        return await db.songs.find_one_and_update(
            {"_id": media_id, **OURS},
            update,
            projection={"fence": 1, "waiters": 1},
            return_document=ReturnDocument.AFTER,
            session=session,
        )

    document = await db.database.in_transaction(step)
    return () if document is None or document["fence"] != fence else waiters_of(document)


async def withdraw(db: Collections, request_id: str, *, keep: timedelta) -> None:
    """Forget a request that no one waits for any more (see Claims.withdraw): one transaction over both collections.

    A request that joins meanwhile changes the same document, so one of the two steps is repeated.
    """

    async def step(session: Session) -> None:
        found = await db.songs.find_one(
            {"waiters.request_id": request_id},
            {"status": 1, "holder": 1, "waiters": 1},
            hint=BY_WAITER,
            session=session,
        )
        if found is None:
            await expiring.mark_all_answered(db, [request_id], keep=keep, session=session)
            return
        if found["status"] != MediaStatus.PROCESSING.value:
            return
        await expiring.mark_all_answered(db, [withdrawal(request_id)], keep=keep, session=session)
        waiting = [waiter.request_id for waiter in waiters_of(found)]
        marks = [withdrawal(other) for other in waiting]
        if await expiring.count_answered(db, marks, session=session) == len(waiting):
            await expiring.mark_all_answered(db, waiting, keep=keep, session=session)
            free: Document = {"waiters": [], "lease_until": None, "holder": ""}
            await db.songs.update_one({"_id": found["_id"]}, {"$set": free}, session=session)
        elif found["holder"] != request_id:
            await expiring.mark_all_answered(db, [request_id], keep=keep, session=session)
            pull = {"$pull": {"waiters": {"request_id": request_id}}}
            await db.songs.update_one({"_id": found["_id"]}, pull, session=session)

    await db.database.in_transaction(step)


async def reopen(db: Collections, media_id: str) -> None:
    """Make a `success` record claimable; no-op for any other, which another worker has reopened already.

    The fence grows, so that a worker still settling the missing file cannot end its successor's lease.
    """
    update = {
        "$set": {**WITHOUT_FILE, "lease_until": None, "holder": ""},
        "$inc": {"fence": 1},
        "$unset": {"grams": ""},
        "$currentDate": {"updated_at": True},
    }
    await db.songs.update_one({"_id": media_id, "status": "success", **OURS}, update)


async def _decide(db: Collections, media_id: str, update: Sequence[Document]) -> Document:
    for last in (*(False for _ in range(_UPSERT_TRIES - 1)), True):
        try:
            return await db.songs.find_one_and_update(
                {"_id": media_id},
                update,
                projection=_CLAIM_FIELDS,
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError as exc:
            # A concurrent claim created the record; the next try finds it.
            if last:
                raise DatabaseUnavailable(f"{media_id}: created and removed by concurrent claims") from exc
    raise AssertionError("unreachable: the last try returns or raises")


async def _finish(
    db: Collections, media_id: str, fence: int, outcome: MediaStatus, update: Document
) -> tuple[Media, Sequence[Waiter]]:
    guarded = {"_id": media_id, "fence": fence, "status": "processing"}
    # motor's types know of no answer that finds nothing.
    document = cast(
        "Document | None",
        await db.songs.find_one_and_update(
            guarded, update, projection=_OUTCOME_FIELDS, return_document=ReturnDocument.AFTER
        ),
    )
    if document is not None:
        return media_of(document), waiters_of(document)
    # Why not? Under this fence a record that has left `processing` never returns to it, so this read is not a race.
    found = await db.songs.find_one({"_id": media_id}, {"fence": 1, "status": 1})
    if found is None or found.get("fence") != fence:
        theirs = found.get("fence") if found else "not there"
        raise LeaseLost(f"{media_id}: fence {fence}, the record's is {theirs}")
    check_move(MediaStatus(found["status"]), outcome)
    raise LeaseLost(f"{media_id}: fence {fence}")


def _settled_update(fence: int, request_ids: list[str], keep: timedelta) -> list[Document]:
    forgotten_at = after(min(keep, _SETTLED_KEEP))
    remembered = [{"request_id": literal(request_id), "until": forgotten_at} for request_id in request_ids]
    is_left: Document = {"$not": {"$in": ["$$this.request_id", literal(request_ids)]}}
    none_left: Document = {"$eq": ["$waiters", []]}
    ends: Document = {"$and": [{"$eq": ["$fence", fence]}, none_left]}
    return [
        {
            "$set": {
                "waiters": {"$filter": {"input": "$waiters", "cond": is_left}},
                "settled": {"$concatArrays": [settled_lately(), remembered]},
            }
        },
        {"$set": {"lease_until": {"$cond": [ends, None, "$lease_until"]}}},
    ]
