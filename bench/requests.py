"""From a request to a song that can be played: the audio service against the reference way, in turns.

In each turn both sides are started anew; the same four-minute song, under another address each time, is then asked for
in every way. Where the site offers M4A and Opus each side takes what it
would: that is the difference between the two ways, and the rows of M4A alone are without it. With `full`, the same on
Kafka and MongoDB.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Iterator
from pathlib import Path

from bench import early, first_packet
from bench.clustered import NotHereError, open_cluster
from bench.process_tree import at_rest, cpu_seconds
from bench.songs import REAL_LIFE_RATE, Songs, fetch_bare, open_songs
from bench.table import Row, compared
from bench.ways import NotMadeError, OpenOurs, Ours, Reference, have_reference, open_ours, open_reference

TURNS, TURNS_FULL = 1, 5
SLOW_TURNS, SLOW_TURNS_FULL = 1, 3
AT_LEAST = 5
AT_LEAST_CPU = 10

Measured = defaultdict[str, list[float]]
"""Milliseconds of each repetition, by what was asked for and of whom."""


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows."""
    if not have_reference():
        yield Row("request to success, against the reference way", "", "ffmpeg is not installed")
        return
    turns, slow = (TURNS_FULL, SLOW_TURNS_FULL) if full else (TURNS, SLOW_TURNS)
    embedded = asyncio.run(_embedded(directory / "embedded", turns, slow))
    yield from _told("embedded", embedded)
    yield from first_packet.told(
        asyncio.run(first_packet.listen(directory / "house", 2 * turns)), embedded["reference"]
    )
    yield from early.rows(directory, full=full)
    if full:
        try:
            yield from _told("Kafka + MongoDB", asyncio.run(_clustered(directory / "clustered", turns, slow)))
        except NotHereError as exc:
            yield Row("Kafka + MongoDB: request to success", "", f"not here: {exc}")


def _told(where: str, took: Measured) -> Iterator[Row]:
    reference = took["reference"]
    for what in ("new song", "first song of warm children"):
        name = f"{where}: {what}, request to success"
        yield compared(name, "ms", took[what], reference, better="less", at_least=AT_LEAST)
    name = f"{where}: first song in the moment of readiness, children starting"
    yield compared(name, "ms", took["cold"], reference, better="less")
    yield compared(f"{where}: new song, both get M4A", "ms", took["M4A"], reference, better="less")
    rate = f"{REAL_LIFE_RATE // 10**6} MB/s"
    name = f"{where}: new song from a source of {rate}, request to what can be heard"
    yield compared(name, "ms", took["slow, playable"], took["slow reference"], better="less", at_least=AT_LEAST)
    name = f"{where}: new song from a source of {rate}, request to success"
    yield compared(name, "ms", took["slow"], took["slow reference"], better="less", at_least=AT_LEAST)
    name = f"{where}: new song from a source of {rate}, against the bare download of its file"
    yield compared(name, "ms", took["slow"], took["bare"], better="less")
    name = f"{where}: song of the library, request to success, against a look-up without a queue"
    yield compared(name, "ms", took["known"], took["known reference"], better="less")
    name = f"{where}: CPU for a new song"
    yield compared(name, "ms", took["CPU"], took["CPU reference"], better="less", at_least=AT_LEAST_CPU)


async def _embedded(directory: Path, turns: int, slow: int) -> Measured:
    await asyncio.to_thread(directory.mkdir)
    async with open_songs(directory) as songs:
        return await _in_turns(directory, songs, open_ours, turns, slow)


async def _clustered(directory: Path, turns: int, slow: int) -> Measured:
    await asyncio.to_thread(directory.mkdir)
    async with open_songs(directory) as songs, open_cluster() as cluster:
        return await _in_turns(directory, songs, cluster.open_ours, turns, slow)


async def _in_turns(directory: Path, songs: Songs, opened: OpenOurs, turns: int, slow: int) -> Measured:
    took: Measured = defaultdict(list)
    async with open_reference(directory / "warming") as reference:
        await reference.ask(songs.short())
    for turn in range(turns):
        if turn < slow:
            async with opened(directory / f"cold-{turn}", songs) as ours:
                took["cold"].append(await _milliseconds(ours.ask(songs.both())))
        async with (
            opened(directory / f"ours-{turn}", songs) as ours,
            open_reference(directory / f"reference-{turn}") as reference,
        ):
            await _turn(took, songs, ours, reference)
            if turn < slow:
                took["bare"].append(await _milliseconds(fetch_bare(songs.bare(REAL_LIFE_RATE))))
                await _slow(took, songs, ours)
                took["slow reference"].append(await _milliseconds(reference.ask(songs.both(REAL_LIFE_RATE))))
    return took


async def _turn(took: Measured, songs: Songs, ours: Ours, reference: Reference) -> None:
    """Ask each side for what can be asked, the reference's long song between ours."""
    await at_rest(ours.pid)
    took["first song of warm children"].append(await _milliseconds(ours.ask(songs.both())))
    song = songs.both()
    used = cpu_seconds(reference.pid)
    took["reference"].append(await _milliseconds(reference.ask(song)))
    took["CPU reference"].append((cpu_seconds(reference.pid) - used) * 1000)
    took["known reference"].append(await _milliseconds(reference.ask(song)))
    song = songs.both()
    used = cpu_seconds(ours.pid)
    took["new song"].append(await _milliseconds(ours.ask(song)))
    took["CPU"].append((cpu_seconds(ours.pid) - used) * 1000)
    took["known"].append(await _milliseconds(ours.ask(song)))
    took["M4A"].append(await _milliseconds(ours.ask(songs.m4a_alone())))


async def _slow(took: Measured, songs: Songs, ours: Ours) -> None:
    began = time.perf_counter()
    asked = await ours.client.ask(songs.both(REAL_LIFE_RATE))
    await ours.playable(asked)
    took["slow, playable"].append((time.perf_counter() - began) * 1000)
    if not (await ours.client.status(asked)).success:
        raise NotMadeError(asked.song)
    took["slow"].append((time.perf_counter() - began) * 1000)


async def _milliseconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000
