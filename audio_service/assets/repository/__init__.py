"""Where asset records are stored: one port, and `open_assets`, which chooses its adapter by settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from audio_service.assets.repository.base import AssetRepository
from audio_service.settings import AudioSettings


@asynccontextmanager
async def open_assets(settings: AudioSettings) -> AsyncGenerator[AssetRepository | None]:
    """Open the records that DATABASE_BACKEND names; None where UPLOADS is off.

    Raises:
        DatabaseUnavailable: they cannot be opened; the detail names the setting to look at.
    """
    if not settings.uploads:
        yield None
        return
    match settings.database_backend:
        case "sqlite":
            from audio_service.assets.repository.sqlite.repository import open_sqlite_assets  # noqa: PLC0415 - its driver

            async with open_sqlite_assets(settings.sqlite_path) as assets:
                yield assets
        case "mongodb":
            from audio_service.assets.repository.mongodb.repository import open_mongodb_assets  # noqa: PLC0415 - its driver

            async with open_mongodb_assets(settings) as assets:
                yield assets
        case "dynamodb":
            from audio_service.assets.repository.dynamodb.repository import open_dynamodb_assets  # noqa: PLC0415 - its SDK

            async with open_dynamodb_assets(settings) as assets:
                yield assets
