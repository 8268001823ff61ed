"""A guild's voice link in a real client of the fake Discord, and everything that it reports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import discord
import httpx
from prometheus_client import CollectorRegistry

from bot_service.audio_api import AudioApi
from bot_service.metrics import BotMetrics
from bot_service.player.rules.events import Event, TrackEnded, VoiceLost, VoiceReady
from bot_service.player.voice.frames import FrameStore
from bot_service.player.voice.link import VoiceLink
from bot_service.store.base import Track
from common.blobs.local.store import open_local
from tests.discord import Channel, FakeDiscord, Guild, VoiceCapture, open_fake_discord
from tests.unit.bot_service.player import songs
from tests.waiting import patience

E = TypeVar("E")
_PATIENCE_SECONDS = 30.0


@dataclass
class Reports:
    """What a link reported, in order."""

    all: list[Event] = field(default_factory=list[Event])
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: int = 0

    def add(self, event: Event) -> None:
        self.all.append(event)
        self.news.set()

    async def next(self, kind: type[E]) -> E:
        """Wait for the next report, which must be of this kind."""
        async with asyncio.timeout(patience(_PATIENCE_SECONDS)):
            while len(self.all) <= self._seen:
                self.news.clear()
                await self.news.wait()
        self._seen += 1
        found = self.all[self._seen - 1]
        assert isinstance(found, kind), found
        return found

    @property
    def unread(self) -> list[Event]:
        return self.all[self._seen :]


@dataclass
class VoiceRig:
    discord: FakeDiscord
    client: discord.Client
    guild: Guild
    channel: Channel
    registry: CollectorRegistry
    metrics: BotMetrics
    frames: FrameStore
    files: Path
    reports: Reports
    link: VoiceLink

    @property
    def voice(self) -> VoiceCapture:
        return self.guild.voice

    @property
    def channel_id(self) -> int:
        return int(self.channel.id)

    def song(self, count: int = 150, video_id: str = "k2qgadSvNyU") -> Track:
        return songs.stored(self.files, songs.track(video_id, count), songs.dca(count))

    async def enter(self) -> None:
        await self.link.join(self.channel_id)
        assert await self.reports.next(VoiceReady) == VoiceReady(self.channel_id)

    async def again(self, lost: VoiceLost, ended: TrackEnded, song: Track) -> None:
        """Do what a player does after a loss: join, and go on at the frame that was reached."""
        assert lost.may_retry
        await self.enter()
        await self.link.play(ended.play_id + 1, song, ended.next_frame)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"butakero_bot_{name}", labels) or 0.0


@asynccontextmanager
async def open_client(fake: FakeDiscord) -> AsyncGenerator[discord.Client]:
    trust = ssl.create_default_context(cafile=str(fake.certificate))
    client = discord.Client(
        intents=discord.Intents(guilds=True, voice_states=True),
        proxy=fake.proxy.url,
        connector=aiohttp.TCPConnector(ssl=trust, limit=0),
        guild_ready_timeout=0.05,
        max_messages=None,
    )
    async with client:
        await client.login(fake.world.core.token)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(client.connect())
            await client.wait_until_ready()
            yield client
            await client.close()
            running.cancel()


@asynccontextmanager
async def open_voice_rig(root: Path) -> AsyncGenerator[VoiceRig]:
    registry, reports = CollectorRegistry(), Reports()
    metrics = BotMetrics.on(registry)
    async with (
        open_local(root) as blobs,
        httpx.AsyncClient(base_url="http://127.0.0.1:9") as http,
        open_fake_discord() as fake,
    ):
        guild = fake.guild()
        channel = guild.voice_channel()
        async with open_client(fake) as client:
            frames = FrameStore(blobs, AudioApi(http))
            link = VoiceLink(client, int(guild.id), reports.add, frames, metrics)
            try:
                yield VoiceRig(fake, client, guild, channel, registry, metrics, frames, root, reports, link)
            finally:
                await link.close()
        assert not fake.problems
