"""A song that is heard while it is downloaded, from a source four times as fast as the music.

The bare download of the same file from the same site, at the same rate and at the same time, is what it is measured by:
both wait for the site, and neither for the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.process_tree import at_rest
from bench.songs import SECONDS, fetch_bare, open_songs
from bench.table import Row, figure
from bench.ways import ANSWER_SECONDS, Ours, open_ours
from common.dca_blocks import FrameCutter
from common.tasks import time_limit
from tests.discord.house import House, open_house
from tests.servers.media_files import make
from tests.servers.system import Client, open_client

TIMES_REAL_TIME = 4
FIRST_SHARE = 1 / 20
WHOLE_AT_MOST = 1.05
_BARE_MS = SECONDS / TIMES_REAL_TIME * 1000


@dataclass(slots=True)
class Early:
    """Milliseconds from the command to the first voice packet and to the success, and those of the bare download."""

    first: list[float] = field(default_factory=list[float])
    whole: list[float] = field(default_factory=list[float])
    bare: list[float] = field(default_factory=list[float])


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows. A whole download takes a minute, so that the quick pass leaves after the first frame."""
    source = f"source of {TIMES_REAL_TIME}x real time"
    first = asyncio.run(_first_frames(directory / "http", 3 if full else 2))
    yield _share(
        f"{source}: request to first frame over HTTP, share of the bare download", first, [_BARE_MS], FIRST_SHARE
    )
    if full:
        early = asyncio.run(_heard(directory / "bot", 2))
        name = f"{source}: command to first voice packet, share of the bare download"
        yield _share(name, early.first, early.bare, FIRST_SHARE)
        name = f"{source}: request to success, against the bare download"
        yield _share(name, early.whole, early.bare, WHOLE_AT_MOST)


def _share(name: str, ours: Sequence[float], bare: Sequence[float], at_most: float) -> Row:
    middle, whole = (sorted(values)[len(values) // 2] for values in (ours, bare))
    return Row(
        name,
        f"{figure(middle)} ms",
        f"{figure(whole)} ms",
        f"{middle / whole:.1%}",
        f"at most {at_most:.0%}",
        middle <= at_most * whole,
        unit="ms",
        ours_samples=tuple(ours),
        other_samples=tuple(bare),
    )


async def _first_frames(directory: Path, turns: int) -> list[float]:
    """Return the milliseconds from each request to the song's first frame, asked for as soon as it can be heard."""
    await asyncio.to_thread(directory.mkdir)
    async with (
        open_songs(directory) as songs,
        # A song in hand takes a minute: neither the next one nor the end waits for it.
        open_ours(directory / "ours", songs, drain_seconds=0, num_workers=turns, log_level="error") as ours,
    ):
        await at_rest(ours.pid)
        await ours.ask(songs.both())
        return [await _first_frame(ours, songs.both(_rate(songs.opus))) for _ in range(turns)]


async def _first_frame(ours: Ours, address: str) -> float:
    began = time.perf_counter()
    asked = await ours.client.ask(address)
    media_id = await ours.playable(asked)
    async with time_limit(ANSWER_SECONDS), httpx.AsyncClient(base_url=ours.url, trust_env=False) as http:
        cutter = FrameCutter()
        async with http.stream("GET", f"/api/v1/media/{media_id}/audio") as answer:
            async for piece in answer.aiter_raw():
                if cutter.feed(piece):
                    break
    return (time.perf_counter() - began) * 1000


async def _heard(directory: Path, turns: int) -> Early:
    """Play songs in guilds of a real bot while they come, and download each beside it."""
    await asyncio.to_thread(directory.mkdir)
    early = Early()
    async with open_house(directory) as house, open_client(house.audio) as client:
        file = await asyncio.to_thread(make, "webm_opus", house.site.directory, SECONDS)
        await _play(house, client, house.site.page(house.link("warm", SECONDS)))
        for number in range(turns):
            address = house.site.page(house.link(f"slow-{number}", SECONDS, rate=_rate(file)))
            async with asyncio.TaskGroup() as beside:
                bare = beside.create_task(_seconds(house.site.file(file, rate=_rate(file))))
                first, whole = await _play(house, client, address)
            for values, seconds in ((early.first, first), (early.whole, whole), (early.bare, bare.result())):
                values.append(seconds * 1000)
    return early


async def _play(house: House, client: Client, address: str) -> tuple[float, float]:
    """Ask for a song; return the seconds until it is heard, and until the service says that all of it is there."""
    scene, answered, began = await house.scene(), len(client.statuses), time.monotonic()
    await scene.ask("play", input=address)
    first = (await scene.guild.voice.sound(1))[0].arrived - began
    async with time_limit(ANSWER_SECONDS), client.heard:
        await client.heard.wait_for(lambda: len(client.statuses) > answered)
    whole = time.monotonic() - began
    await scene.ask("stop")
    return first, whole


async def _seconds(url: str) -> float:
    began = time.monotonic()
    await fetch_bare(url)
    return time.monotonic() - began


def _rate(song: Path) -> int:
    return round(song.stat().st_size / SECONDS * TIMES_REAL_TIME)
