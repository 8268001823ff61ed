"""Our playback against FFmpegOpusAudio copying and against PCM with an Opus encode, through discord.py's own sender.

Each kind runs in a process of its own (`bench.streams`), in turns. With `full`, 50 guilds also play for a minute in one
real bot process, beside a clock.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which

import discord

from audio_service.audio.base import EncodeOptions, Origin
from audio_service.audio.opus import encode_dca
from bench.streams import KINDS, Result
from bench.table import Row
from tests.discord import assert_plays
from tests.discord.crowd import FRAME_SECONDS, clock, cpu_seconds, lateness, metrics_of, open_crowd, percentile
from tests.servers.media_files import make
from tests.unit.bot_service.player.songs import track

STREAMS = (1, 10, 50)
SECONDS = 4.0
FULL_STREAMS = (*STREAMS, 100)
FULL_SECONDS = 6.0
FULL_ROUNDS = 2
GUILDS = 50
MANY = 50
MINUTE = 60
_SONG_SECONDS = 60
_NAMES = {"copy": "FFmpegOpusAudio, copy", "pcm": "PCM + Opus encode"}

Measured = Mapping[str, list[Result]]


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows."""
    kinds = [kind for kind in KINDS if not _missing(kind)]
    files = _files(directory)
    for count in FULL_STREAMS if full else STREAMS:
        measured: dict[str, list[Result]] = {kind: [] for kind in kinds}
        for _ in range(FULL_ROUNDS if full else 1):
            for kind in kinds:
                measured[kind].append(_measure(kind, count, FULL_SECONDS if full else SECONDS, files))
        for kind, name in _NAMES.items():
            if reason := _missing(kind):
                yield Row(f"{_label(count)} against {name}", "", reason)
            else:
                yield from _compared(count, measured, kind)
    if full:
        yield asyncio.run(_crowd(directory))


def _compared(count: int, measured: Measured, kind: str) -> Iterator[Row]:
    what = f"{_label(count)} against {_NAMES[kind]}"
    ours, other = (_middle(measured[one], "cpu") * 1000 for one in ("dca", kind))
    yield Row(f"{what}: CPU for a second of sound", f"{ours:.1f} ms", f"{other:.1f} ms", f"{other / ours:.1f}x")
    ours, other = (_middle(measured[one], "late_p99") for one in ("dca", kind))
    late, later = (_lateness_of(measured[one]) for one in ("dca", kind))
    yield Row(f"{what}: lateness p99", late, later, f"{other / ours:.1f}x")
    if count >= MANY:
        ours, other = (_middle(measured[one], "memory") for one in ("dca", kind))
        yield Row(f"{what}: memory", f"{ours:.0f} MB", f"{other:.0f} MB", f"{other / ours:.1f}x")


def _lateness_of(results: list[Result]) -> str:
    late, still, missed = (_middle(results, name) for name in ("late_p99", "clock_p99", "missed"))
    return f"{late:.1f} ms (clock {still:.1f} ms)" + (f", {missed:.1%} over 20 ms" if missed else "")


def _label(count: int) -> str:
    return f"{count} voice stream{'s' if count > 1 else ''}"


def _middle(results: list[Result], name: str) -> float:
    return float(statistics.median(getattr(result, name) for result in results))


def _missing(kind: str) -> str:
    """Return why a kind cannot be measured here; "" when it can."""
    if kind != "dca" and which("ffmpeg") is None:
        return "ffmpeg is not installed"
    # Loads it where it is to be found; nothing else in discord.py's public names does.
    if kind == "pcm" and not discord.opus._load_default():  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
        return "libopus is not installed"
    return ""


def _files(directory: Path) -> list[Path]:
    """Make the song as a media file, and as what is stored of it."""
    file = make("webm_opus", directory, _SONG_SECONDS, sound="noise")
    stored = directory / track().file_path
    stored.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as source, stored.open("wb") as out:
        encode_dca(source, out, origin=Origin(), options=EncodeOptions(), on_frames=lambda _: None)
    return [directory, file]


def _measure(kind: str, count: int, seconds: float, files: list[Path]) -> Result:
    command = [sys.executable, "-m", "bench.streams", kind, str(count), str(seconds), *map(str, files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


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
