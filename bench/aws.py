"""The same system on SQS, DynamoDB and S3 and on embedded backends: how long a song takes, memory, and requests to AWS.

Local servers stand in for AWS, on the same cores as the programs: AWS itself is quicker to compute and farther away.
Both systems (service, bot, a Discord of their own) run side by side and are asked in turns. What AWS is asked is
counted in a system of its own, behind proxies, which would make its times worse.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from audio_service.settings import AudioSettings
from bench.aws_prices import SONG_UNITS, month_of, price
from bench.process_tree import at_rest, peak_of
from bench.songs import SECONDS, Songs, open_songs
from bench.table import Row, compared, figure
from bench.ways import DEFAULT_LEASES, Ours, settings_of
from common.observability.telemetry import configure_logging
from tests.discord import FakeDiscord, open_fake_discord
from tests.discord.bot_process import backends_of, bot_environment, open_bot_process
from tests.discord.concert import Room, open_room
from tests.servers.aws_counter import AwsCounter, open_aws_counter
from tests.servers.aws_system import aws_settings
from tests.servers.emulators import CREDENTIALS, Emulator, open_ministack, open_seaweedfs
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.ports import free_port
from tests.servers.system import ServiceProcess, open_audio_process, open_client

TURNS, TURNS_FULL = 3, 10
IDLE_SECONDS, IDLE_SECONDS_FULL = 60, 600
SONG_SECONDS = 30
SETTLING_SECONDS = 3
MOST_REQUESTS_A_SONG = 60
MOST_A_MONTH = 1.0
"""Dollars, for service and bot at rest."""
_AWS, _EMBEDDED = "SQS + DynamoDB + S3", "embedded"


@dataclass(slots=True)
class System:
    """Service and bot on some backends. Milliseconds by what was asked for."""

    ours: Ours
    discord: FakeDiscord
    took: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    peak_mb: float = 0.0

    async def turn(self, name: str, songs: Songs) -> None:
        """Ask for a new song and for one of the library, in both ways."""
        song = songs.both()
        await self.ask("new song, request to success", song)
        await self.ask("song of the library, request to success", song)
        await self.command("command to first voice packet, song of the library", f"known {name}", song)
        await self.command("command to first voice packet, new song", f"new {name}", songs.both())

    async def ask(self, what: str, address: str) -> None:
        """Ask through the queue, and note when the success was heard."""
        await self._note(what, lambda: self.ours.ask(address))

    async def command(self, what: str, name: str, address: str) -> None:
        """Ask in Discord, in a guild of its own, and note when the first packet was heard."""
        room = open_room(self.discord, name)
        await room.say("list")
        await self._note(what, lambda: _first_packet(room, address))
        await room.say("stop")

    async def _note(self, what: str, work: Callable[[], Any]) -> None:
        began = time.perf_counter()
        await work()
        self.took.setdefault(what, []).append((time.perf_counter() - began) * 1000)


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests by "service operation": of a new song, downloaded at once and played, and of a time at rest."""

    song_seconds: int
    song: Counter[str]
    idle: Counter[str]
    idle_seconds: float


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows. Ratio: embedded over AWS, so that 1 means that AWS' backends cost nothing."""
    os.environ.update(CREDENTIALS)
    configure_logging("warning", "console")
    aws, embedded = asyncio.run(_timed(directory / "timed", TURNS_FULL if full else TURNS))
    for what, milliseconds in aws.took.items():
        yield compared(f"{what}, {_AWS} / {_EMBEDDED}", "ms", milliseconds, embedded.took[what], better="less")
    yield compared(
        f"memory of the service and its children at its peak, {_AWS} / {_EMBEDDED}",
        "MB",
        [aws.peak_mb],
        [embedded.peak_mb],
        better="less",
    )
    extent = (SECONDS, IDLE_SECONDS_FULL) if full else (SONG_SECONDS, IDLE_SECONDS)
    yield from _told(asyncio.run(_counted(directory / "counted", *extent)))


def _told(counted: Counted) -> Iterator[Row]:
    song = sum(counted.song.values())
    yield Row(
        f"requests to AWS for a new song of {counted.song_seconds} s, downloaded at once, played once",
        f"{song} requests",
        f"${1000 * (price(counted.song) + SONG_UNITS):.2f} for 1,000 songs",
        target=f"under {MOST_REQUESTS_A_SONG}",
        met=song < MOST_REQUESTS_A_SONG,
        details={name.replace(" ", "_"): number for name, number in sorted(counted.song.items())},
    )
    an_hour = sum(counted.idle.values()) * 3600 / counted.idle_seconds
    month = month_of(counted.idle, counted.idle_seconds)
    yield Row(
        "requests to AWS at rest, service and one bot",
        f"{figure(an_hour)} requests an hour",
        f"${month:.2f} a month",
        target=f"under ${MOST_A_MONTH:g} a month",
        met=month < MOST_A_MONTH,
        details={name.replace(" ", "_"): number for name, number in sorted(counted.idle.items())},
    )


async def _timed(directory: Path, turns: int) -> tuple[System, System]:
    homes = {name: directory / name for name in ("aws", "embedded")}
    for home in homes.values():
        await asyncio.to_thread(home.mkdir, parents=True)
    async with (
        open_songs(directory) as songs,
        open_ministack() as ministack,
        open_seaweedfs() as seaweedfs,
        _aws(homes["aws"], songs.site, ministack, seaweedfs) as on_aws,
        _asked(on_aws, homes["aws"]) as aws,
        _asked(settings_of(homes["embedded"], songs), homes["embedded"]) as embedded,
    ):
        systems = (aws, embedded)
        for system in systems:
            await at_rest(system.ours.pid)
            await system.ours.ask(songs.short())
            await system.command("warming", "warming", songs.short())
            del system.took["warming"]
        for turn in range(turns):
            for system in systems:
                with peak_of(system.ours.pid) as peak:
                    await system.turn(str(turn), songs)
                system.peak_mb = max(system.peak_mb, peak.pss)
    return aws, embedded


async def _counted(directory: Path, seconds: int, idle_seconds: float) -> Counted:
    usual = AudioSettings.model_fields["sqs_wait_time_seconds"].default
    files = directory / "files"
    await asyncio.to_thread(files.mkdir, parents=True)
    async with (
        open_media_site(files) as site,
        open_ministack() as ministack,
        open_seaweedfs() as seaweedfs,
        open_aws_counter(ministack.url) as most,
        open_aws_counter(seaweedfs.url) as s3,
        _aws(directory, site, _behind(ministack, most), _behind(seaweedfs, s3), wait_seconds=usual) as settings,
        _programs(settings, directory) as (_, discord),
    ):
        songs = Songs(site, seconds)
        await _play_to_the_end(open_room(discord, "warming"), songs.short())
        counts = [most.requests + s3.requests]
        await _play_to_the_end(open_room(discord, "counted"), songs.both())
        counts.append(most.requests + s3.requests)
        await asyncio.sleep(idle_seconds)
        counts.append(most.requests + s3.requests)
    return Counted(seconds, counts[1] - counts[0], counts[2] - counts[1], idle_seconds)


@asynccontextmanager
async def _aws(
    directory: Path, site: MediaSite, most: Emulator, s3: Emulator, *, wait_seconds: int = 1
) -> AsyncGenerator[AudioSettings]:
    """`wait_seconds`: of a long poll, which a process that ends waits for."""
    own = {**DEFAULT_LEASES, "http_port": free_port(), "sqs_wait_time_seconds": wait_seconds}
    async with aws_settings(directory, site, most, s3, **own) as settings:
        yield settings


@asynccontextmanager
async def _asked(settings: AudioSettings, directory: Path) -> AsyncGenerator[System]:
    async with open_client(settings) as client, _programs(settings, directory) as (service, discord):
        yield System(Ours(service.process.pid, client, service.url), discord)


@asynccontextmanager
async def _programs(settings: AudioSettings, directory: Path) -> AsyncGenerator[tuple[ServiceProcess, FakeDiscord]]:
    """Start service and bot as a user has them."""
    bot_alone = {
        "DYNAMODB_TABLE_BOT": f"{settings.dynamodb_table_songs}-bot",
        "BROKER_LEASE_SECONDS": str(settings.broker_lease_seconds),
        "LOG_LEVEL": "warning",
    }
    async with open_fake_discord(patience=60) as discord, open_audio_process(settings) as service:
        environment = bot_environment(
            discord, settings, directory, **{**backends_of(settings), **CREDENTIALS, **bot_alone}
        )
        async with open_bot_process(discord, environment):
            yield service, discord


def _behind(server: Emulator, counter: AwsCounter) -> Emulator:
    return replace(server, port=int(counter.url.rpartition(":")[2]))


async def _first_packet(room: Room, address: str) -> None:
    await room.ana.slash("music", "play", input=address)
    await room.voice.sound(1)


async def _play_to_the_end(room: Room, address: str) -> None:
    await room.say("list")
    await _first_packet(room, address)
    await room.voice.silence()
    await asyncio.sleep(SETTLING_SECONDS)
