"""The DynamoDB adapter of the store port: a table that several bots share, read consistently."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bot_service.settings import BotSettings
from bot_service.store.dynamodb.base import SETTING
from bot_service.store.dynamodb.players import DynamoPlayers
from bot_service.store.dynamodb.requests import DynamoRequests
from bot_service.store.dynamodb.tracks import DynamoTracks
from common.databases.dynamodb import OPERATION_SECONDS, Schema, connected, key
from common.errors import DatabaseUnavailable
from common.health import Health

NAME = "dynamo_db"
_HEALTH_SECONDS = 1.5


@asynccontextmanager
async def open_dynamodb(
    settings: BotSettings, *, operation_seconds: float = OPERATION_SECONDS
) -> AsyncGenerator[DynamoStore, None]:
    """Look for the table that DYNAMODB_TABLE_BOT names; make it where it is missing. No answer is no error here: health
    reports it, and every method raises DatabaseUnavailable after `operation_seconds` until there is one.

    Raises:
        DatabaseUnavailable: these settings can never work; the detail names the setting.
    """
    schema = Schema(settings.dynamodb_table_bot, SETTING)
    async with connected(settings, schema, operation_seconds) as connection:
        store = DynamoStore(connection)
        try:
            yield store
        finally:
            store.close()


class DynamoStore(DynamoPlayers, DynamoTracks, DynamoRequests):
    """GuildStore over a table. Made by `open_dynamodb`."""

    position_seconds = 30.0
    """Twice a second would be 450 writes for a song, and in a month of playing more than everything else costs. Only a
    bot that was killed repeats what it played since: one that is stopped saves its players."""

    async def health(self) -> Health:
        """Read from the table."""
        about = {"table_name": self._connection.schema.name}
        try:
            await self._run(lambda table: table.get(key("-", "-")), seconds=_HEALTH_SECONDS)
        except DatabaseUnavailable as exc:
            return Health(NAME, ok=False, metadata=about, error=exc.detail)
        return Health(NAME, ok=True, metadata=about)
