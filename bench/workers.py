"""How many songs a minute one service makes with 1, 2 and 4 workers, and what it takes: CPU, memory, and that at rest.

All songs are asked for at once, so that every worker always has one; the reference way makes as many at a time. The
site gives what it can, so the cores are the limit; with `full` also from a source that gives each song 2 MB/s, where
waiting is.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.clustered import NotHereError, open_cluster
from bench.process_tree import Peak, at_rest, cpu_seconds, peak_of
from bench.songs import REAL_LIFE_RATE, Songs, open_songs
from bench.table import Row, compared, figure
from bench.ways import Ours, Reference, have_reference, open_ours, open_reference

WORKERS, WORKERS_FULL = (1, 2), (1, 2, 4)
USUAL = 2
"""The workers of whoever sets nothing; the targets are for them."""
SONGS, SONGS_FULL = 8, 40
ROUNDS, ROUNDS_FULL = 1, 3
IDLE_SECONDS, IDLE_SECONDS_FULL = 5.0, 30.0
MEMORY_MB = 350
IDLE_PERCENT = 1
CPU_AT_LEAST = 10


@dataclass(slots=True)
class Speed:
    """Songs a minute and CPU milliseconds a song, a number for each round."""

    a_minute: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class Measured:
    """What was measured with one number of workers; `idle` in percent of a core, memory in MB."""

    opus: Speed = field(default_factory=Speed)
    m4a: Speed = field(default_factory=Speed)
    slow: Speed = field(default_factory=Speed)
    reference: Speed = field(default_factory=Speed)
    slow_reference: Speed = field(default_factory=Speed)
    idle: list[float] = field(default_factory=list[float])
    ours_peak: Peak = field(default_factory=Peak)
    reference_peak: Peak = field(default_factory=Peak)


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows."""
    measured = asyncio.run(_measure(directory, full=full))
    for workers, numbers in measured.items():
        yield from _told(workers, numbers)
    yield _idle("embedded", measured[USUAL].idle)
    yield _memory(measured[USUAL])
    if full:
        try:
            yield _idle("Kafka + MongoDB", asyncio.run(_clustered_idle(directory / "clustered")))
        except NotHereError as exc:
            yield Row("Kafka + MongoDB: CPU at rest", "", f"not here: {exc}")


def _told(workers: int, numbers: Measured) -> Iterator[Row]:
    who = f"{workers} worker{'s' if workers > 1 else ''}"
    for what, ours, other in (
        ("each side's own format", numbers.opus, numbers.reference),
        ("both get M4A", numbers.m4a, numbers.reference),
        (f"source of {REAL_LIFE_RATE // 10**6} MB/s for each", numbers.slow, numbers.slow_reference),
    ):
        name = f"{who}: songs a minute, {what}"
        if ours.a_minute and other.a_minute:
            yield compared(name, "a minute", ours.a_minute, other.a_minute, better="more")
        elif ours.a_minute:
            middle = statistics.median(ours.a_minute)
            yield Row(name, f"{figure(middle)} a minute", "", unit="a minute", ours_samples=tuple(ours.a_minute))
    if numbers.reference.cpu:
        name = f"{who}: CPU for a song, each side's own format"
        yield compared(name, "ms", numbers.opus.cpu, numbers.reference.cpu, better="less", at_least=CPU_AT_LEAST)
    if numbers.reference.cpu and numbers.m4a.cpu:
        yield compared(
            f"{who}: CPU for a song, both get M4A", "ms", numbers.m4a.cpu, numbers.reference.cpu, better="less"
        )
    yield Row(f"{who}: memory of all processes at its peak", *_peaks(numbers), unit="MB")


def _peaks(numbers: Measured) -> tuple[str, str]:
    ours, other = (f"{peak.rss:.0f} MB (PSS {peak.pss:.0f})" for peak in (numbers.ours_peak, numbers.reference_peak))
    return ours, other if numbers.reference_peak.rss else ""


def _idle(where: str, shares: list[float]) -> Row:
    middle = statistics.median(shares)
    return Row(
        f"{where}: CPU at rest, {USUAL} workers",
        f"{middle:.2f} % of a core",
        "",
        target=f"under {IDLE_PERCENT} %",
        met=middle < IDLE_PERCENT,
        unit="% of a core",
        ours_samples=tuple(shares),
    )


def _memory(numbers: Measured) -> Row:
    return Row(
        f"memory of all processes, {USUAL} workers, at its peak",
        _peaks(numbers)[0],
        "",
        target=f"under {MEMORY_MB} MB",
        met=numbers.ours_peak.rss < MEMORY_MB,
        unit="MB",
    )


async def _measure(directory: Path, *, full: bool) -> dict[int, Measured]:
    measured = {workers: Measured() for workers in (WORKERS_FULL if full else WORKERS)}
    async with open_songs(directory) as songs:
        for number in range(ROUNDS_FULL if full else ROUNDS):
            for workers, numbers in measured.items():
                place = directory / f"{number}-{workers}"
                await asyncio.to_thread(place.mkdir)
                async with open_ours(place / "ours", songs, num_workers=workers) as ours:
                    await _our_turn(ours, songs, workers, numbers, full=full)
                if have_reference() and (full or workers == USUAL):
                    async with open_reference(place / "reference", at_once=workers) as reference:
                        await _their_turn(reference, songs, workers, numbers, full=full)
    return measured


async def _our_turn(ours: Ours, songs: Songs, workers: int, numbers: Measured, *, full: bool) -> None:
    with peak_of(ours.pid) as peak:
        if full or workers == USUAL:
            await at_rest(ours.pid)
        # Twice: a child that was not given one of the first may get one of the second.
        for _ in range(2):
            await ours.ask(*(songs.both() for _ in range(workers)))
        if workers == USUAL:
            numbers.idle.append(await _percent_at_rest(ours.pid, IDLE_SECONDS_FULL if full else IDLE_SECONDS))
        count = SONGS_FULL if full else SONGS
        await _burst(ours, [songs.both() for _ in range(count)], numbers.opus)
        if full or workers == USUAL:
            await _burst(ours, [songs.m4a_alone() for _ in range(2 * workers if full else workers)], numbers.m4a)
        if full:
            await _burst(ours, [songs.both(REAL_LIFE_RATE) for _ in range(count)], numbers.slow)
    _raise(numbers.ours_peak, peak)


async def _their_turn(reference: Reference, songs: Songs, workers: int, numbers: Measured, *, full: bool) -> None:
    with peak_of(reference.pid) as peak:
        await reference.ask(*(songs.short() for _ in range(workers)))
        await _burst(reference, [songs.both() for _ in range(workers)], numbers.reference)
        if full:
            await _burst(reference, [songs.both(REAL_LIFE_RATE) for _ in range(workers)], numbers.slow_reference)
    _raise(numbers.reference_peak, peak)


async def _burst(side: Ours | Reference, addresses: list[str], speed: Speed) -> None:
    used = cpu_seconds(side.pid)
    seconds = await side.ask(*addresses)
    speed.a_minute.append(len(addresses) / seconds * 60)
    speed.cpu.append((cpu_seconds(side.pid) - used) / len(addresses) * 1000)


def _raise(highest: Peak, peak: Peak) -> None:
    highest.rss, highest.pss = max(highest.rss, peak.rss), max(highest.pss, peak.pss)


async def _percent_at_rest(pid: int, seconds: float) -> float:
    began, used = time.perf_counter(), cpu_seconds(pid)
    await asyncio.sleep(seconds)
    return (cpu_seconds(pid) - used) / (time.perf_counter() - began) * 100


async def _clustered_idle(directory: Path) -> list[float]:
    await asyncio.to_thread(directory.mkdir)
    shares: list[float] = []
    async with open_songs(directory) as songs, open_cluster() as cluster:
        for number in range(ROUNDS_FULL):
            async with cluster.open_ours(directory / str(number), songs, num_workers=USUAL) as ours:
                await at_rest(ours.pid)
                await ours.ask(songs.both())
                shares.append(await _percent_at_rest(ours.pid, IDLE_SECONDS_FULL))
    return shares
