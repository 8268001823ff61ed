"""`python -m bot_service` as a process of its own, beside a fake Discord, an audio service and a media site."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from audio_service.settings import AudioSettings
from common.settings import SharedSettings
from tests.discord import FakeDiscord
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.servers.system import ServiceProcess, answers, environment_of

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class BotProcess(ServiceProcess):
    """A running bot; `environment` starts another one like it."""

    environment: Mapping[str, str] = field(repr=False)


def bot_environment(discord: FakeDiscord, audio: AudioSettings, directory: Path, **overrides: str) -> dict[str, str]:
    """Return what makes a bot talk to this Discord and this audio service, and keep its own data in `directory`."""
    return {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}},
        **discord.environment,
        "EMBEDDED_BROKER_PATH": str(audio.embedded_broker_path),
        "LOCAL_STORAGE_PATH": str(audio.local_storage_path),
        "AUDIO_PROCESSOR_URL": f"http://127.0.0.1:{audio.http_port}",
        "BOT_SQLITE_PATH": str(directory / "bot.db"),
        "BOT_HTTP_PORT": str(free_port()),
        "BROKER_LEASE_SECONDS": "1",
        "INSTANCE_ID": "bot-under-test",
        "LOG_LEVEL": "info",
        **overrides,
    }


def backends_of(audio: AudioSettings) -> dict[str, str]:
    """Return the keys that lead a bot to the broker, the database and the storage of this audio service."""
    ours = {"environment", "instance_id", "locale", "drain_seconds"}
    shared = {name.upper() for name in SharedSettings.model_fields.keys() - ours if not name.startswith("log_")}
    return {name: value for name, value in environment_of(audio).items() if name in shared}


@asynccontextmanager
async def open_bot_process(discord: FakeDiscord, environment: Mapping[str, str]) -> AsyncGenerator[BotProcess]:
    """Start a bot and wait until it is in Discord; stop it afterwards if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot_service", cwd=ROOT, env=child_environment(environment)
    )
    bot = BotProcess(process, f"http://127.0.0.1:{environment['BOT_HTTP_PORT']}", environment)
    try:
        await discord.ready()
        await answers(process, f"{bot.url}/readyz")
        yield bot
    finally:
        await bot.terminate()
