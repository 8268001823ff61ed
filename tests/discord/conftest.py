"""The processes that the tests of the bot share: bot, audio service, fake Discord."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.discord.house import House, open_house


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house
        assert house.bot.process.returncode is None
        assert not house.discord.problems
        assert not [(one.label, one.answered_after) for one in house.discord.interactions if not one.in_time]
