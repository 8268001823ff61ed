"""From a command in Discord to the first packet of the song in the voice channel: bot, audio service, our own Discord.

Each command is given in another guild, so that joining the channel is part of the time. There is no network between
the processes. A new song is a file of four minutes that the service has not seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.table import Row, compared, figure
from tests.discord.house import LIBRARY, House, Scene, open_house

TARGET_MS = 300
NEW_SECONDS = 240


@dataclass(slots=True)
class Heard:
    """Milliseconds from command to first packet."""

    known: list[float] = field(default_factory=list[float])
    new: list[float] = field(default_factory=list[float])


def told(heard: Heard, reference: Sequence[float]) -> Iterator[Row]:
    """Return the rows. `reference`: what that way needs until a new song is stored; its bot has not begun then."""
    middle = sorted(heard.known)[len(heard.known) // 2]
    yield Row(
        "command to first voice packet, song of the library",
        f"{figure(middle)} ms",
        "",
        target=f"under {TARGET_MS} ms",
        met=middle < TARGET_MS,
        unit="ms",
        ours_samples=tuple(heard.known),
    )
    name = "command to first voice packet, new song, against the reference way's stored song alone"
    yield compared(name, "ms", heard.new, reference, better="less")


async def listen(directory: Path, turns: int) -> Heard:
    """Give commands in turns: for a song that is there, and for one that is not."""
    await asyncio.to_thread(directory.mkdir)
    heard = Heard()
    async with open_house(directory) as house:
        await _command(house, LIBRARY[0].video_id)
        await _command(house, house.link("warm", NEW_SECONDS))
        for number in range(turns):
            heard.known.append(await _command(house, LIBRARY[number % 4].video_id))
            heard.new.append(await _command(house, house.link(f"new-{number}", NEW_SECONDS)))
    return heard


async def _command(house: House, what: str) -> float:
    """Ask for a song in a guild of its own, and return the milliseconds until it is heard there."""
    scene = await house.scene()
    began = time.monotonic()
    await scene.ask("play", input=what)
    milliseconds = (await _first(scene) - began) * 1000
    await scene.ask("stop")
    return milliseconds


async def _first(scene: Scene) -> float:
    return (await scene.guild.voice.sound(1))[0].arrived
