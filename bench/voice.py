"""Our playback, sent by one thread for all streams, against the other ways to send a song into voice channels.

Those are discord.py's thread for each stream: with our playback, with FFmpegOpusAudio that copies, and with PCM that is
encoded. Each way runs in a process of its own (`bench.streams`), in turns. With `full`, 50 guilds also play for a
minute in one real bot process, beside a clock.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which

import discord

from audio_service.audio.base import EncodeOptions, Origin
from audio_service.audio.opus import encode_dca
from bench.streams import KINDS, Result
from bench.table import Row, compared, figure
from tests.discord import assert_plays
from tests.discord.crowd import FRAME_SECONDS, clock, cpu_seconds, lateness, metrics_of, open_crowd, percentile
from tests.servers.media_files import make
from tests.unit.bot_service.player.songs import track

STREAMS = (1, 10, 50)
FEW = (10,)
"""The quick pass's for the ways with a child process for each stream: to start fifty takes longer than all else."""
SECONDS = 1.0
FULL_STREAMS = (*STREAMS, 100)
FULL_SECONDS = 6.0
FULL_ROUNDS = 2
GUILDS = 50
MANY = 50
MINUTE = 60
_SONG_SECONDS = 60
_FULL_SONG_SECONDS = 120
_WITH_CHILDREN = frozenset({"copy", "pcm"})
_NAMES = {"threads": "discord.py's threads", "copy": "FFmpegOpusAudio, copy", "pcm": "PCM + Opus encode"}

Measured = Mapping[str, Sequence[Result]]


def rows(directory: Path, /, *, full: bool) -> Iterator[Row]:
    """Yield the rows."""
    kinds = [kind for kind in KINDS if not _missing(kind)]
    counts = FULL_STREAMS if full else STREAMS
    counts_of = {kind: FEW if kind in _WITH_CHILDREN and not full else counts for kind in kinds}
    files = _files(directory, _FULL_SONG_SECONDS if full else _SONG_SECONDS)
    measured: dict[int, dict[str, list[Result]]] = {
        count: {kind: [] for kind in kinds if count in counts_of[kind]} for count in counts
    }
    for _ in range(FULL_ROUNDS if full else 1):
        for kind in kinds:
            seconds = FULL_SECONDS if full else SECONDS
            for count, result in zip(counts_of[kind], _measure(kind, counts_of[kind], seconds, files), strict=True):
                measured[count][kind].append(result)
    for count in counts:
        for kind, name in _NAMES.items():
            what = f"{_label(count)} against {name}"
            if reason := _missing(kind):
                yield Row(what, "", reason)
            elif kind in measured[count]:
                yield from _compared(what, count, measured[count], kind)
    if full:
        yield asyncio.run(_crowd(directory))


def _compared(what: str, count: int, measured: Measured, kind: str) -> Iterator[Row]:
    def both(name: str) -> tuple[list[float], list[float]]:
        ours, other = ([float(getattr(result, name)) for result in measured[one]] for one in ("ours", kind))
        return ours, other

    used, others_use = both("cpu")
    yield compared(
        f"{what}: streams per core",
        "streams",
        [1 / one for one in used],
        [1 / one for one in others_use],
        better="more",
    )
    late, others_late = both("late_p99")
    yield Row(
        f"{what}: lateness p99",
        _lateness_of(measured["ours"]),
        _lateness_of(measured[kind]),
        f"{_middle(others_late) / max(_middle(late), 0.001):.1f}x",
        unit="ms",
        ours_samples=late,
        other_samples=others_late,
        details={
            f"{name}, {side}": _middle(values)
            for name in Result.__slots__
            for side, values in zip(("ours", "the other"), both(name), strict=True)
        },
    )
    if count >= MANY:
        yield compared(f"{what}: memory", "MB", *both("memory"), better="less")


def _lateness_of(results: Sequence[Result]) -> str:
    late, still, missed = (
        _middle([getattr(result, name) for result in results]) for name in ("late_p99", "clock_p99", "missed")
    )
    return f"{figure(late)} ms (clock {figure(still)} ms)" + (f", {missed:.1%} over 20 ms" if missed else "")


def _label(count: int) -> str:
    return f"{count} voice stream{'s' if count > 1 else ''}"


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def _missing(kind: str) -> str:
    """Return why a kind cannot be measured here; "" when it can."""
    if kind in _WITH_CHILDREN and which("ffmpeg") is None:
        return "ffmpeg is not installed"
    # Loads it where it is to be found; nothing else in discord.py's public names does.
    if kind == "pcm" and not discord.opus._load_default():  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
        return "libopus is not installed"
    return ""


def _files(directory: Path, seconds: float) -> list[Path]:
    """Make the song as a media file, and as what is stored of it."""
    file = make("webm_opus", directory, seconds, sound="noise")
    stored = directory / track().file_path
    stored.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as source, stored.open("wb") as out:
        encode_dca(source, out, origin=Origin(), options=EncodeOptions(), on_frames=lambda _: None)
    return [directory, file]


def _measure(kind: str, counts: Sequence[int], seconds: float, files: list[Path]) -> list[Result]:
    numbers = ",".join(map(str, counts))
    command = [sys.executable, "-m", "bench.streams", kind, numbers, str(seconds), *map(str, files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [Result(**json.loads(line)) for line in done.stdout.splitlines()]


async def _crowd(directory: Path) -> Row:
    place = directory / "crowd"
    place.mkdir()
    async with open_crowd(place, GUILDS, MINUTE + 60) as crowd:
        await crowd.play()
        with clock() as beside:
            marks, used, began = crowd.marks(), cpu_seconds(crowd.bot.process.pid), time.monotonic()
            await crowd.heard(round(MINUTE / FRAME_SECONDS), marks)
            share = (cpu_seconds(crowd.bot.process.pid) - used) / (time.monotonic() - began)
        told = await metrics_of(crowd.bot)
        late: list[float] = []
        for guild in crowd.guilds:
            assert_plays(crowd.sound(guild), crowd.frames)
            late += lateness(guild.voice.received[marks[guild.id] :])
        starved = told["butakero_bot_frames_starved_total"]
        ours = f"{share:.0%} of a core, {starved:.0f} starved, lateness p99 {percentile(late, 99) * 1000:.1f} ms"
        other = f"lateness p99 {percentile(beside.lateness, 99) * 1000:.1f} ms"
    return Row(
        f"{GUILDS} guilds in one bot process for a minute, as heard, beside a thread that only sleeps",
        ours,
        other,
        target="none starved",
        met=starved == 0,
    )
