"""Many guilds that listen to one bot process at once, a clock beside them, and what the bot says of itself in /metrics.

Everybody plays the same song of the library, so that a packet's place in its guild's stream says what it must hold.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.discord import FakeDiscord, Guild, Member, Packet, frames_of, open_fake_discord
from tests.discord.bot_process import BotProcess, bot_environment, open_bot_process
from tests.servers.media_files import make
from tests.servers.media_site import open_media_site
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, open_client, settings_for

FRAME_SECONDS = 0.02
TITLE = "Milonga de todos"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Guilds with somebody in the voice channel of each; `frames` is the song that the library has."""

    discord: FakeDiscord
    bot: BotProcess
    guilds: Sequence[Guild]
    people: Sequence[Member]
    frames: Sequence[bytes]

    async def play(self) -> None:
        """Ask for the song in every guild at once and wait until it sounds in all of them."""
        async with asyncio.TaskGroup() as tasks:
            for person in self.people:
                tasks.create_task(self._play(person))
        await self.heard(1)

    async def heard(self, count: int, marks: Mapping[str, int] | None = None) -> None:
        """Wait until every guild has received so many packets, counted from its place in `marks` on."""
        since = marks or {}

        def behind() -> Generator[Guild]:
            return (one for one in self.guilds if one.voice.mark - since.get(one.id, 0) < count)

        await self.discord.world.core.bell.until(
            lambda: next(behind(), None) is None, lambda: f"{count} packets; behind: {[one.name for one in behind()]}"
        )

    def marks(self) -> dict[str, int]:
        """Return how much each guild has received so far."""
        return {one.id: one.voice.mark for one in self.guilds}

    def sound(self, guild: Guild) -> list[Packet]:
        """Return what a guild has received from the song's first packet on."""
        packets = guild.voice.received
        first = next(place for place, packet in enumerate(packets) if not packet.is_silence)
        return packets[first:]

    async def _play(self, person: Member) -> None:
        played = await person.slash("music", "play", input=TITLE)
        await played.message(lambda message: TITLE in message.text)


@asynccontextmanager
async def open_crowd(directory: Path, guilds: int, seconds: float) -> AsyncGenerator[Crowd]:
    """Start an audio service with one song of so many seconds, a Discord with so many guilds, and the bot."""
    files = directory / "files"
    files.mkdir()
    async with open_media_site(files) as site:
        audio = settings_for(directory, site.address, http_port=free_port())
        async with open_audio_process(audio), open_fake_discord(patience=seconds + 60) as discord:
            file = await asyncio.to_thread(make, "webm_opus", files, seconds, sound="noise")
            async with open_client(audio) as client:
                status = await client.status(await client.ask(site.page(site.file(file), title=TITLE)))
            assert status.file_data is not None, status
            song = frames_of(audio.local_storage_path / status.file_data.file_path)
            rooms = [discord.guild(f"Casa {number}") for number in range(guilds)]
            people = [room.member("ana") for room in rooms]
            for room, person in zip(rooms, people, strict=True):
                person.join(room.voice_channel("Musica"))
            environment = bot_environment(discord, audio, directory, LOG_LEVEL="warning")
            async with open_bot_process(discord, environment) as bot:
                yield Crowd(discord, bot, rooms, people, song)


async def metrics_of(bot: BotProcess) -> dict[str, float]:
    """Return every sample of the bot's /metrics by name; samples that differ in labels alone are added up.

    Times of creation are left out: they say nothing of what was counted.
    """
    async with httpx.AsyncClient(base_url=bot.url, trust_env=False) as http:
        text = (await http.get("/metrics")).text
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                samples[sample.name] = samples.get(sample.name, 0.0) + sample.value
    return samples


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used. proc(5): fields 14 and 15 of stat, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@dataclass(slots=True)
class Clock:
    """A thread that does nothing but wake up every 20 ms: how late it is, is the machine's doing. Seconds."""

    lateness: list[float] = field(default_factory=list[float])

    @property
    def worst(self) -> float:
        return max(self.lateness, default=0.0)

    def run(self, stop: threading.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            due += FRAME_SECONDS
            stop.wait(max(0.0, due - time.monotonic()))
            self.lateness.append(time.monotonic() - due)


@contextmanager
def clock() -> Generator[Clock]:
    """Let a clock run beside the block."""
    measured, stop = Clock(), threading.Event()
    thread = threading.Thread(target=measured.run, args=(stop,))
    thread.start()
    try:
        yield measured
    finally:
        stop.set()
        thread.join()


def lateness(packets: Sequence[Packet]) -> list[float]:
    """Return by how many seconds each packet came later than the fastest would have.

    The library waits 40 ms after the first packet, and is on time from then on: that one is left out.
    """
    offsets = [packet.arrived - place * FRAME_SECONDS for place, packet in enumerate(packets)][1:]
    earliest = min(offsets)
    return [offset - earliest for offset in offsets]


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value below which so many in a hundred are."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]
