"""Plays, and eviction of the least recently used files: one command each. See `base.Retention`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

from pymongo import ASCENDING, ReturnDocument

from audio_service.media.repository.base import EVICTOR, Eviction
from audio_service.media.repository.decision import milliseconds
from audio_service.media.repository.mongodb.collections import BY_USE, Collections
from audio_service.media.repository.mongodb.documents import OURS, WITHOUT_FILE, after, literal
from common.databases.mongodb import Document

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HAS_FILE: Document = {"size_bytes": {"$gt": 0}}
"""As in the index's own filter, or the server would not use it."""


async def count_play(db: Collections, media_id: str) -> None:
    """Count a play."""
    update = {"$inc": {"play_count": 1}, "$currentDate": {"last_played_at": True, "used_at": True}}
    await db.songs.update_one({"_id": media_id, "status": "success", **OURS}, update)


async def stored_bytes(db: Collections) -> int:
    """Add up the files, in the index alone: MongoDB reads documents unless the index's first field is asked for."""
    used: Document = {"used_at": {"$gt": _EPOCH}, **_HAS_FILE}
    pipeline: list[Document] = [{"$match": used}, {"$group": {"_id": None, "bytes": {"$sum": "$size_bytes"}}}]
    found = await db.songs.aggregate(pipeline, hint=BY_USE).to_list(None)
    return found[0]["bytes"] if found else 0


async def begin_eviction(db: Collections, *, idle: timedelta, lease: timedelta) -> Eviction | None:
    """Take the least recently used file out of the library."""
    update = [
        {
            "$set": {
                **{name: literal(value) for name, value in WITHOUT_FILE.items() if name != "size_bytes"},
                "fence": {"$add": ["$fence", 1]},
                "lease_until": after(lease),
                "holder": EVICTOR,
                "updated_at": "$$NOW",
            }
        },
        {"$unset": "grams"},
    ]
    # motor's types know of no answer that finds nothing.
    found = cast(
        "Document | None",
        await db.songs.find_one_and_update(
            idle_for(idle),
            update,
            projection={"fence": 1, "size_bytes": 1},
            sort=[("used_at", ASCENDING)],
            hint=BY_USE,
            return_document=ReturnDocument.AFTER,
        ),
    )
    return None if found is None else Eviction(found["_id"], found["fence"], found["size_bytes"])


async def finish_eviction(db: Collections, media_id: str, fence: int) -> None:
    """Record that the file is gone."""
    await db.songs.update_one(
        {"_id": media_id, "fence": fence, "holder": EVICTOR},
        {"$set": {"size_bytes": 0, "lease_until": None, "holder": ""}},
    )


def idle_for(idle: timedelta) -> Document:
    """Return the query for files that may be evicted.

    A file whose evictor died before it removed it is still the oldest: its lease has expired, so it comes first.
    """
    unused = {"$lte": ["$used_at", {"$subtract": ["$$NOW", milliseconds(idle)]}]}
    unheld = {"$lte": ["$lease_until", "$$NOW"]}  # null, which is no lease, is less than any time
    return {
        **_HAS_FILE,
        "$expr": {"$and": [unused, unheld]},
        "waiters": [],
        "$or": [{"status": "success"}, {"holder": EVICTOR}],
    }
