"""What /metrics of the real bot process says after a song was played, one was fetched, and a connection was lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bot_service.metrics import BotMetrics
from tests.discord.crowd import TITLE, Crowd, metrics_of, open_crowd
from tests.waiting import until

SECONDS = 8


@pytest.fixture
def names() -> set[str]:
    """Every metric the bot has."""
    registry = CollectorRegistry()
    BotMetrics.on(registry)
    return {family.name for family in registry.collect()}


async def test_every_metric_is_fed(tmp_path: Path, names: set[str]) -> None:
    async with open_crowd(tmp_path, guilds=1, seconds=SECONDS) as crowd:
        before = await metrics_of(crowd.bot)
        assert before["butakero_bot_first_packet_seconds_count"] == 0
        await crowd.play()
        voice, ana = crowd.guilds[0].voice, crowd.people[0]
        await voice.packets(50)
        voice.close(4006)
        await voice.connected(2)
        queued = await ana.slash("music", "play", input=TITLE)
        await queued.message(lambda message: "posición 1" in message.text)
        during = await metrics_of(crowd.bot)
        assert during["butakero_bot_queue_length"] == 1
        assert during["butakero_bot_guilds"] == during["butakero_bot_voice_connections"] == 1
        await (await ana.slash("music", "play", input=f"http://127.0.0.1:9/{'x' * 11}")).message(
            lambda m: "❌" in m.text
        )
        await _both_played(crowd)
        told = await metrics_of(crowd.bot)
        fed = {name for name in names if any(sample.startswith(name) and told[sample] for sample in told)}
        assert names - fed == {"butakero_bot_frames_starved", "butakero_bot_queue_length"}
        assert (
            told["butakero_bot_first_packet_seconds_count"] == 1
        )  # the second song waited for the first, not for Discord
        assert told["butakero_bot_first_packet_seconds_sum"] > 0
        assert told["butakero_bot_frames_starved_total"] == 0
        assert told["butakero_bot_voice_reconnects_total"] == 1
        assert told["butakero_bot_requests_total"] == 1
        assert told["butakero_bot_commands_total"] == 3


async def _both_played(crowd: Crowd) -> None:
    """Wait until both songs are counted; what was sent while the connection was lost was sent again."""

    async def counted() -> bool:
        return (await metrics_of(crowd.bot))["butakero_bot_frames_sent_total"] >= 2 * len(crowd.frames)

    await until(counted)
