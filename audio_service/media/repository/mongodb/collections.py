"""The library's collections, named after MONGO_COLLECTION_SONGS, and their indexes.

Indexes are created at start where they are missing, and never changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymongo import ASCENDING, DESCENDING, IndexModel

from common.databases.mongodb import Collection, MongoDatabase

BY_TEXT = "by_text"
BY_GRAM = "by_gram"
BY_UPDATE = "by_update"
BY_WAITER = "by_waiter"
BY_USE = "by_use"

# The server's TTL monitor removes expired documents about once a minute; until then, queries compare the time.
_EXPIRES = (IndexModel([("until", ASCENDING)], name="by_until", expireAfterSeconds=0),)

_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "songs": (
        # `seq` grows with creation, so that pages come out of the index in order, newest first.
        IndexModel([("search_text", ASCENDING), ("seq", DESCENDING)], name=BY_TEXT),
        # Only finished records have grams.
        IndexModel([("grams", ASCENDING), ("seq", DESCENDING)], name=BY_GRAM),
        IndexModel([("updated_at", DESCENDING), ("seq", DESCENDING)], name=BY_UPDATE),
        IndexModel([("waiters.request_id", ASCENDING)], name=BY_WAITER, sparse=True),
        # Retention: the stored bytes and the least recently used records, without reading a document.
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


@dataclass(frozen=True, slots=True)
class Collections:
    """What a step works with."""

    songs: Collection
    answered: Collection
    leases: Collection
    resolutions: Collection
    database: MongoDatabase

    @classmethod
    def of(cls, database: MongoDatabase, songs: str) -> Collections:
        """Return the collections of a database."""
        names = {role: database.collection(_name(songs, role)) for role in _INDEXES}
        return cls(database=database, **names)


def indexes(songs: str) -> Mapping[str, Sequence[IndexModel]]:
    """Return the indexes of each collection, by its name."""
    return {_name(songs, role): models for role, models in _INDEXES.items()}


def _name(songs: str, role: str) -> str:
    return songs if role == "songs" else f"{songs}_{role}"
