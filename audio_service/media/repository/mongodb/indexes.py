"""The indexes: what each is for. They are made at start and when they are missing, and never changed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import ASCENDING, DESCENDING, IndexModel

BY_TEXT = "by_text"
BY_GRAM = "by_gram"
BY_UPDATE = "by_update"
BY_WAITER = "by_waiter"
BY_USE = "by_use"

# MongoDB's own clean-up removes what has run out about once a minute; until then, queries look at the time themselves.
_EXPIRES = (IndexModel([("until", ASCENDING)], name="by_until", expireAfterSeconds=0),)

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "songs": (
        # `seq` grows with creation, so that pages come out of the index in order, newest first.
        IndexModel([("search_text", ASCENDING), ("seq", DESCENDING)], name=BY_TEXT),
        # Only finished records have grams.
        IndexModel([("grams", ASCENDING), ("seq", DESCENDING)], name=BY_GRAM),
        IndexModel([("updated_at", DESCENDING), ("seq", DESCENDING)], name=BY_UPDATE),
        IndexModel([("waiters.request_id", ASCENDING)], name=BY_WAITER, sparse=True),
        # Retention: the stored bytes and the least recently used records, without looking at a document.
        IndexModel(
            [("used_at", ASCENDING), ("size_bytes", ASCENDING)],
            name=BY_USE,
            partialFilterExpression={"size_bytes": {"$gt": 0}},
        ),
    ),
    "answered": _EXPIRES,
    "leases": _EXPIRES,
    "resolutions": _EXPIRES,
}
