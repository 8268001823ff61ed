"""The collections of assets, named after MONGO_COLLECTION_ASSETS, and their indexes, which are created at start.

`owners` holds what the quota counts, `removed` the ids of removed assets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymongo import ASCENDING, DESCENDING, IndexModel

from common.databases.mongodb import Collection, MongoDatabase

BY_CHAT = "by_chat"
BY_OWNER = "by_owner"
NOT_COMPLETE = "not_complete"
BY_ACTIVITY = "by_activity"

_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "assets": (
        IndexModel([("chat_id", ASCENDING), ("created_at", DESCENDING), ("tail", DESCENDING)], name=BY_CHAT),
        IndexModel([("owner_id", ASCENDING), ("created_at", DESCENDING), ("tail", DESCENDING)], name=BY_OWNER),
        # These fields are there only while an asset is not complete, or has no end.
        IndexModel([("open_since", ASCENDING)], name=NOT_COMPLETE, sparse=True),
        IndexModel([("active_at", ASCENDING)], name=BY_ACTIVITY, sparse=True),
    ),
    "owners": (IndexModel([("until", ASCENDING)], name="by_until", expireAfterSeconds=0),),
    "removed": (IndexModel([("removed_at", ASCENDING)], name="by_time"),),
}


@dataclass(frozen=True, slots=True)
class Collections:
    """What a step works with."""

    assets: Collection
    owners: Collection
    removed: Collection

    @classmethod
    def of(cls, database: MongoDatabase, assets: str) -> Collections:
        """Return the collections of a database."""
        return cls(**{role: database.collection(_name(assets, role)) for role in _INDEXES})


def indexes(assets: str) -> Mapping[str, Sequence[IndexModel]]:
    """Return the indexes of each collection, by its name."""
    return {_name(assets, role): models for role, models in _INDEXES.items()}


def _name(assets: str, role: str) -> str:
    return assets if role == "assets" else f"{assets}_{role}"
