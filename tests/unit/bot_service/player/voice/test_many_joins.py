"""Voice links that join after a start: many at once through a small limit, and before their guild is there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from bot_service.audio_api import AudioApi
from bot_service.metrics import BotMetrics
from bot_service.player.rules.events import Event, JoinWaits, VoiceReady
from bot_service.player.voice.frames import FrameStore
from bot_service.player.voice.link import VoiceLink
from bot_service.player.voice.turns import JoinTurns
from common.blobs.local.store import open_local
from tests.discord import open_fake_discord
from tests.unit.bot_service.player.voice.voice_rig import open_client
from tests.waiting import until

GUILDS, AT_ONCE = 12, 2
JOINS, WINDOW_SECONDS = 4, 1.0
LIMIT = 10
"""Less than all joins, more than those of two windows that a busy machine lets arrive together."""


@pytest.mark.slow
async def test_links_join_in_turns_that_the_gateway_takes(tmp_path: Path) -> None:
    reports: dict[int, list[Event]] = {number: [] for number in range(GUILDS)}
    order: list[int] = []
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(open_fake_discord())
        fake.gateway.limit = (LIMIT, WINDOW_SECONDS)
        channels = [fake.guild(f"Casa {number}").voice_channel() for number in range(GUILDS)]
        for number, channel in enumerate(channels):
            for _ in range(number):
                channel.guild.member("ana").join(channel)
        blobs = await stack.enter_async_context(open_local(tmp_path))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url="http://127.0.0.1:9"))
        client = await stack.enter_async_context(open_client(fake))
        frames, metrics = FrameStore(blobs, AudioApi(http)), BotMetrics.on(CollectorRegistry())
        turns = JoinTurns(JOINS, WINDOW_SECONDS, at_once=AT_ONCE)

        def note(number: int, event: Event) -> None:
            reports[number].append(event)
            if event == JoinWaits(waiting=False):
                order.append(number)

        for number, channel in enumerate(channels):
            link = VoiceLink(
                client,
                int(channel.guild.id),
                lambda event, number=number: note(number, event),
                frames,
                metrics,
                turns=turns,
            )
            stack.push_async_callback(link.close)
            await link.join(int(channel.id))
        await until(lambda: all(one and isinstance(one[-1], VoiceReady) for one in reports.values()))
        assert not fake.problems
        assert fake.gateway.lines == 1
        assert order == sorted(order, reverse=True), "most listeners first"
        for number, channel in enumerate(channels):
            waited = [JoinWaits(waiting=True), JoinWaits(waiting=False)] if number in order else []
            assert reports[number] == [*waited, VoiceReady(int(channel.id))]
        assert len(order) == GUILDS - AT_ONCE
        assert all(channel.guild.me.voice_channel is channel for channel in channels)
        fake.gateway.limit = (2 * GUILDS, WINDOW_SECONDS)  # all leave at once now


async def test_a_join_waits_for_a_guild_that_discord_has_not_sent_yet(tmp_path: Path) -> None:
    """Without its channels, the channel would count as deleted, and the queue would be cleared."""
    reports: list[Event] = []
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(open_fake_discord())
        channel = fake.guild().voice_channel()
        fake.gateway.withheld.add(channel.guild.id)
        blobs = await stack.enter_async_context(open_local(tmp_path))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url="http://127.0.0.1:9"))
        client = await stack.enter_async_context(open_client(fake))
        frames, metrics = FrameStore(blobs, AudioApi(http)), BotMetrics.on(CollectorRegistry())
        link = VoiceLink(client, int(channel.guild.id), reports.append, frames, metrics)
        stack.push_async_callback(link.close)
        await link.join(int(channel.id))
        await until(lambda: reports)
        assert reports == [JoinWaits(waiting=True)]
        fake.gateway.add(channel.guild)
        await until(lambda: isinstance(reports[-1], VoiceReady))
        assert reports[1:] == [JoinWaits(waiting=False), VoiceReady(int(channel.id))]
        assert not fake.problems
