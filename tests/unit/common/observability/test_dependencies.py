from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from audio_service.settings import AudioSettings
from bot_service.settings import BotSettings
from common.errors import DatabaseUnavailable
from common.health import Health
from common.observability.dependencies import watch_dependencies
from common.tasks import running_alongside
from tests.waiting import until

SOON = timedelta(milliseconds=10)


@pytest.mark.parametrize(("storage", "of_audio", "of_bot"), [("local", "songs", "songs"), ("s3", "drafts", "own")])
def test_the_disk_that_is_watched_is_one_that_is_written_to(
    storage: Literal["local", "s3"], of_audio: str, of_bot: str
) -> None:
    audio = AudioSettings(storage_backend=storage, local_storage_path=Path("songs"), temp_path=Path("drafts"))
    bot = BotSettings(
        storage_backend=storage,
        local_storage_path=Path("songs"),
        bot_sqlite_path=Path("own/bot.db"),
        discord_token=SecretStr("token"),
    )
    assert (audio.disk, bot.disk) == (Path(of_audio), Path(of_bot))


class Dependency:
    """A dependency that works, fails, or cannot be asked."""

    def __init__(self) -> None:
        self.ok = True
        self.raises = False

    async def health(self) -> Health:
        if self.raises:
            raise DatabaseUnavailable("gone")
        return Health("it", ok=self.ok)


async def test_what_fails_is_0_and_what_works_again_is_1(tmp_path: Path) -> None:
    registry, stop = CollectorRegistry(), asyncio.Event()
    database, broker = Dependency(), Dependency()

    def state() -> tuple[float | None, float | None]:
        labels = ({"dependency": "database"}, {"dependency": "broker"})
        database_up, broker_up = (registry.get_sample_value("butakero_dependency_up", one) for one in labels)
        return database_up, broker_up

    checks = {"database": database.health, "broker": broker.health}
    async with running_alongside(watch_dependencies(registry, checks, tmp_path, stop, every=SOON)):
        await until(lambda: state() == (1, 1))
        database.ok = False
        await until(lambda: state() == (0, 1))
        broker.raises = True
        await until(lambda: state() == (0, 0))
        database.ok = True
        await until(lambda: state() == (1, 0))
        stop.set()


async def test_the_free_part_of_the_disk_is_shown(tmp_path: Path) -> None:
    registry, stop = CollectorRegistry(), asyncio.Event()

    def free() -> float | None:
        return registry.get_sample_value("butakero_disk_free_ratio")

    async with running_alongside(watch_dependencies(registry, {}, tmp_path, stop, every=SOON)):
        await until(lambda: free() is not None and 0 < (free() or 0) < 1)
        stop.set()


async def test_a_disk_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    registry, stop = CollectorRegistry(), asyncio.Event()
    async with running_alongside(watch_dependencies(registry, {}, tmp_path / "gone", stop, every=SOON)):
        await until(lambda: math.isnan(registry.get_sample_value("butakero_disk_free_ratio") or 0))
        stop.set()
