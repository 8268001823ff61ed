"""The audio service's real API over a small real library, on a socket, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from bot_service.audio_api import AudioApi, open_audio_api
from bot_service.settings import BotSettings
from tests.unit.audio_service.api.library import Api, open_api, served


@dataclass(frozen=True)
class Audio:
    """The service, its client, and the settings that lead to it; `bot_settings` have their files in `root`."""

    service: Api
    client: AudioApi
    settings: BotSettings


def bot_settings(root: Path, url: str) -> BotSettings:
    return BotSettings(
        discord_token=SecretStr("nobody's"),
        instance_id="here",
        audio_processor_url=url,
        embedded_broker_path=root / "bot-broker.db",
        bot_sqlite_path=root / "bot.db",
    )


@asynccontextmanager
async def open_audio(root: Path, **changes: object) -> AsyncGenerator[Audio]:
    async with open_api(root, **changes) as service, served(service.app) as (host, port):
        settings = bot_settings(root, f"http://{host}:{port}")
        async with open_audio_api(settings.audio_processor_url) as client:
            yield Audio(service, client, settings)
