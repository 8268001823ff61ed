"""The bot's persistent records: one port, and `open_store`, which selects the adapter by settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bot_service.settings import BotSettings
from bot_service.store.base import GuildStore
from common.settings import unsupported


@asynccontextmanager
async def open_store(settings: BotSettings) -> AsyncGenerator[GuildStore, None]:
    """Open the store that BOT_DATABASE_BACKEND, or else DATABASE_BACKEND, names; close it on exit.

    Imports only the selected adapter: a driver costs memory and start-up time.

    Raises:
        DatabaseUnavailable: it cannot be opened; the detail names the setting.
    """
    match settings.store_backend:
        case "sqlite":
            from bot_service.store.sqlite.store import open_sqlite  # noqa: PLC0415 - as the docstring says

            async with open_sqlite(settings.bot_sqlite_path) as store:
                yield store
        case "mongodb":
            from bot_service.store.mongodb.store import open_mongodb  # noqa: PLC0415 - as the docstring says

            async with open_mongodb(settings) as store:
                yield store
        case "dynamodb":
            from bot_service.store.dynamodb.store import open_dynamodb  # noqa: PLC0415 - as the docstring says

            async with open_dynamodb(settings) as store:
                yield store
        case _:  # pyright: ignore[reportUnnecessaryComparison] - a backend whose adapter is missing here
            raise unsupported("BOT_DATABASE_BACKEND", settings.store_backend)
