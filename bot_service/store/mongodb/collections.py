"""The bot's collections, in the database of the library, and their indexes. What is not listed is found by `_id`.

bot_players, bot_settings and bot_history have one document a guild, bot_favourites one a user, bot_requests one a
request. Lists are bounded (see base.py), so a document stays below a megabyte and one command keeps the bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymongo import ASCENDING, IndexModel

from common.databases.mongodb import Collection, MongoDatabase

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "bot_requests": (IndexModel([("asked_at", ASCENDING), ("_id", ASCENDING)], name="by_time"),),
}


@dataclass(frozen=True, slots=True)
class BotCollections:
    """What a step works with."""

    players: Collection
    settings: Collection
    favourites: Collection
    requests: Collection
    history: Collection
    database: MongoDatabase

    @classmethod
    def of(cls, database: MongoDatabase) -> BotCollections:
        """Pick them from a database."""
        names = ("players", "settings", "favourites", "requests", "history")
        return cls(database=database, **{name: database.collection(f"bot_{name}") for name in names})
