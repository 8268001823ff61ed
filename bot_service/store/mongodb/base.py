"""The bot's collections in the database of the library, their indexes, and the base of the classes that use them.

bot_players, bot_settings and bot_history have one document per guild, bot_favourites one per user, bot_requests one per
request; all are found by `_id`. Lists are bounded (MAX_FAVOURITES, MAX_HISTORY), so that a document stays below 1 MB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymongo import ASCENDING, IndexModel

from common.databases.mongodb import Collection, MongoConnection, MongoDatabase

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "bot_requests": (IndexModel([("asked_at", ASCENDING), ("_id", ASCENDING)], name="by_time"),),
}


@dataclass(frozen=True, slots=True)
class BotCollections:
    """The collections that a step works on."""

    players: Collection
    settings: Collection
    favourites: Collection
    requests: Collection
    history: Collection
    database: MongoDatabase

    @classmethod
    def of(cls, database: MongoDatabase) -> BotCollections:
        """Return those of a database."""
        names = ("players", "settings", "favourites", "requests", "history")
        return cls(database=database, **{name: database.collection(f"bot_{name}") for name in names})


class MongoBase:
    """One concern of the store over the shared connection."""

    def __init__(self, connection: MongoConnection[BotCollections]) -> None:
        self._connection = connection
        self._run = connection.run
