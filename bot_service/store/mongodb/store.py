"""The MongoDB adapter of the store port: a replica set that several bots share, with majority reads and writes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bot_service.store.mongodb.base import INDEXES, BotCollections
from bot_service.store.mongodb.players import MongoPlayers
from bot_service.store.mongodb.requests import MongoRequests
from bot_service.store.mongodb.tracks import MongoTracks
from common.databases.mongodb import OPERATION_SECONDS, MongoConnection, connected
from common.databases.mongodb_health import NAME, HealthProbe
from common.errors import DatabaseUnavailable
from common.health import Health
from common.settings import SharedSettings


@asynccontextmanager
async def open_mongodb(
    settings: SharedSettings, *, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[MongoStore, None]:
    """Connect to the replica set that MONGO_HOST names. An unreachable one is no error here: health reports it, and
    every method raises DatabaseUnavailable after `operation_seconds` until it is reachable.

    Raises:
        DatabaseUnavailable: these settings can never work; the detail names the setting.
    """
    async with connected(settings, BotCollections.of, INDEXES, operation_seconds) as connection:
        yield MongoStore(connection)


class MongoStore(MongoPlayers, MongoTracks, MongoRequests):
    """GuildStore over a replica set. Made by `open_mongodb`."""

    position_seconds = 0.5

    def __init__(self, connection: MongoConnection[BotCollections]) -> None:
        super().__init__(connection)
        self._health = HealthProbe(connection)

    async def health(self) -> Health:
        """Query the server's state; values that the user may not read are null."""
        try:
            about = await self._health.ask()
        except DatabaseUnavailable as exc:
            return Health(NAME, ok=False, error=exc.detail)
        return Health(NAME, ok=True, metadata={"mongo": about})
