"""The library's collections, named after MONGO_COLLECTION_SONGS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymongo import IndexModel

from audio_service.media.repository.mongodb.indexes import INDEXES
from common.databases.mongodb import Collection, MongoDatabase


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
        """Pick them from a database."""
        names = {role: database.collection(_name(songs, role)) for role in INDEXES}
        return cls(database=database, **names)


def indexes(songs: str) -> Mapping[str, Sequence[IndexModel]]:
    """Return the indexes of each collection, by its name."""
    return {_name(songs, role): models for role, models in INDEXES.items()}


def _name(songs: str, role: str) -> str:
    return songs if role == "songs" else f"{songs}_{role}"
