"""Where media records are stored: one port, and `open_repository`, which chooses its adapter by settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from audio_service.media.repository.base import MediaRepository
from audio_service.settings import AudioSettings
from common.settings import unsupported


@asynccontextmanager
async def open_repository(settings: AudioSettings) -> AsyncGenerator[MediaRepository, None]:
    """Open the library that DATABASE_BACKEND names, and close it at the end.

    Only the chosen adapter is imported: the other's driver costs memory and start-up time.

    Raises:
        DatabaseUnavailable: it cannot be opened; the detail names the setting to look at.
    """
    match settings.database_backend:
        case "sqlite":
            from audio_service.media.repository.sqlite.repository import open_sqlite  # noqa: PLC0415 - as the docstring says

            async with open_sqlite(settings.sqlite_path) as repository:
                yield repository
        case "mongodb":
            from audio_service.media.repository.mongodb.repository import open_mongodb  # noqa: PLC0415 - as the docstring says

            async with open_mongodb(settings) as repository:
                yield repository
        case "dynamodb":
            from audio_service.media.repository.dynamodb.repository import open_dynamodb  # noqa: PLC0415 - as the docstring says

            async with open_dynamodb(settings) as repository:
                yield repository
        case _:  # pyright: ignore[reportUnnecessaryComparison] - a backend whose adapter is missing here
            raise unsupported("DATABASE_BACKEND", settings.database_backend)
