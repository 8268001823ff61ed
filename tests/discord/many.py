"""Hundreds of guilds that play in one bot process, which is killed and started again: how many come back, and when.

Their players are written into the bot's store as a bot leaves them, so that the first start is a restart, too. The
gateway closes a connection that sends more than Discord allows. Packets are counted, not kept.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from bot_service.store.base import SavedEntry, SavedPlayer
from bot_service.store.sqlite.store import open_sqlite
from common.messages.base import utc_now
from tests.discord import FakeDiscord, Guild, open_fake_discord
from tests.discord.bot_process import ROOT, bot_environment
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.servers.system import settings_for
from tests.unit.bot_service.player import songs
from tests.waiting import until

SONG_SECONDS = 1800
FRAMES_PER_SECOND = 50
WAITING = "Esperando turno"
GAVE_UP = "No pude quedarme"
LONG_SECONDS = 15.0


@dataclass(slots=True)
class Return:
    """What one start gave. Times in seconds from the start of the process.

    Attributes:
        ready: the bot was logged in.
        back: when the bot was back in each guild's voice channel, earliest first, with the number of its listeners.
        told: guilds whose player message said that they wait for a turn.
        untold: guilds that waited longer than LONG_SECONDS without reading that.
        gave_up: guilds that were told that the bot could not stay.
        most: the most gateway messages in a minute.
        closed: gateway connections beyond the first.
    """

    guilds: int
    ready: float = 0.0
    back: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    told: int = 0
    untold: int = 0
    gave_up: int = 0
    most: int = 0
    closed: int = 0

    def __str__(self) -> str:
        times = [at for at, _ in self.back]
        spread = f"the first after {times[0]:.1f} s, the last after {times[-1]:.1f} s" if times else "none"
        return (
            f"{len(times)} of {self.guilds} came back: {spread} (logged in after {self.ready:.1f} s); {self.told} read "
            f"that they wait for a turn, {self.untold} waited without, {self.gave_up} gave up; at most {self.most} "
            f"gateway messages in a minute, {self.closed} further gateway connections"
        )


@dataclass(frozen=True, slots=True)
class Many:
    """Guilds that were playing when their bot ended."""

    discord: FakeDiscord
    guilds: Sequence[Guild]
    environment: dict[str, str]

    async def start(self, seconds: float) -> Return:
        """Start a bot, wait for so long or until every guild hears something, kill it, and say how it went."""
        gateway, result = self.discord.gateway, Return(len(self.guilds))
        gateway.most = 0
        lines, identified = gateway.lines, len(gateway.identifies)
        marks = {guild.id: len(guild.voice.connections) for guild in self.guilds}
        away, back = list(self.guilds), dict[str, float]()
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot_service", cwd=ROOT, env=child_environment(self.environment)
        )

        def looked() -> bool:
            if not result.ready and len(gateway.identifies) > identified:
                result.ready = time.monotonic() - began
            for guild in list(away):
                if any(one.live for one in guild.voice.connections[marks[guild.id] :]):
                    back[guild.id] = time.monotonic() - began
                    away.remove(guild)
            return not away or time.monotonic() - began > seconds

        try:
            await until(looked, seconds=None)
        finally:
            process.kill()
            await process.wait()
        result.back = sorted((back[guild.id], _listeners(guild)) for guild in self.guilds if guild.id in back)
        told = {guild.id for guild in self.guilds if self._read(guild, WAITING, began)}
        result.told = len(told)
        result.untold = sum(
            back.get(guild.id, float("inf")) - result.ready > LONG_SECONDS
            for guild in self.guilds
            if guild.id not in told
        )
        result.gave_up = sum(self._read(guild, GAVE_UP, began) for guild in self.guilds)
        result.most, result.closed = gateway.most, gateway.lines - lines - 1
        return result

    def _read(self, guild: Guild, words: str, since: float) -> bool:
        """Whether something in the guild's text channel said that, for however short a time."""
        return any(
            words in version.text
            for message in next(iter(guild.channels.values())).messages
            for version in message.versions
            if version.at >= since
        )


@asynccontextmanager
async def open_many(directory: Path, guilds: int, playing: int) -> AsyncGenerator[Many]:
    """Open a Discord with so many guilds of one to ten listeners each; `playing` of them play, the rest are paused.

    A paused player joins as a playing one does, and leaves the machine's time to the joins of all.
    """
    audio = settings_for(directory, http_port=free_port())
    count = SONG_SECONDS * FRAMES_PER_SECOND
    song = songs.stored(audio.local_storage_path, songs.track(count=count), songs.dca(count, size=40))
    async with open_fake_discord(patience=60) as discord, open_sqlite(directory / "bot.db") as store:
        rooms = [discord.guild(f"Casa {number}") for number in range(guilds)]
        now = utc_now()
        for number, room in enumerate(rooms):
            entry = SavedEntry("entry", 1, song.title, now, song)
            saved = _saved(room, entry, now)
            for listener in range(1 + number % 10):
                room.member(f"ana{listener}").join(next(one for one in room.channels.values() if one.is_voice))
            await store.save_player(saved if number < playing else replace(saved, phase="paused"))
        yield Many(discord, rooms, bot_environment(discord, audio, directory, LOG_LEVEL="warning"))


def _saved(room: Guild, entry: SavedEntry, now: datetime) -> SavedPlayer:
    voice, text = room.voice_channel("Musica"), next(iter(room.channels.values()))
    room.voice.only_counts = True
    return SavedPlayer(
        guild_id=int(room.id),
        phase="playing",
        current=entry,
        next_frame=0,
        entries=(),
        history=(),
        loop="track",
        voice_channel_id=int(voice.id),
        text_channel_id=int(text.id),
        message_id=None,
        saved_at=now,
    )


def _listeners(guild: Guild) -> int:
    return len(guild.me.voice_channel.people) - 1 if guild.me.voice_channel else 0
