"""Requests a second and latency of the API's questions against an empty FastAPI route of the same server.

The server is a process of its own (`bench.api_server`). Paths are asked in turns, at 1, 16 and 64 connections; what is
asked for differs from request to request. With `full` the library holds a million records, in SQLite and in MongoDB.
"""

from __future__ import annotations

import asyncio
import random
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import psutil

from audio_service.media.model import audio_key
from audio_service.settings import AudioSettings
from bench.api_server import EMPTY
from bench.load import Asked, Load, drive, warm_up
from bench.records import Titles, filled_mongodb, filled_sqlite, media_id
from bench.table import Row, compared, figure
from common.blobs import open_blobs
from tests.servers.reaper import child_environment
from tests.servers.system import environment_of
from tests.unit.audio_service.api.library import dca

CONNECTIONS = (1, 16, 64)
USUAL = 16
"""The connections at which the quick pass asks for everything; at the others it asks for records alone."""

TARGET = 0.6
FRAMES = 12_000

_API = "/api/v1/media"
_NAMES = {
    "look-up": "look-up by id",
    "another": "look-up by id, each of another song",
    "search": "search, two words of a title",
    "range": "64 KB range of a song",
}
_DIFFERENT = 500
# More than what the service remembers in encoded form: songs that nobody has asked for lately.
_ANOTHER = 5_000
_SONGS = 8
# 64 KB from the middle: the first byte would count a play.
_RANGE = "bytes=1000000-1065535"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of it. `seconds` are those of one path in one round; `everywhere`: every path at all connections."""

    records: int
    rounds: int
    seconds: int
    everywhere: bool


QUICK, FULL = Extent(10_000, 2, 1, everywhere=False), Extent(1_000_000, 5, 2, everywhere=True)


@dataclass(frozen=True, slots=True)
class Answered:
    """What one path gave in one round, and what the server's process spent on each request, in ms of CPU."""

    load: Load
    cpu_ms: float


_BESIDE: Mapping[str, Callable[[Answered], float]] = {
    "p50_ms": lambda one: one.load.p50_ms,
    "p99_ms": lambda one: one.load.p99_ms,
    "cpu_ms": lambda one: one.cpu_ms,
}


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows. Ratio: our requests per second over the empty route's of the same rounds."""
    extent = FULL if full else QUICK
    for backend in ("SQLite", "MongoDB") if full else ("SQLite",):
        for connections, measured in asyncio.run(_measured(directory, backend, extent)).items():
            where = f"{backend}, {extent.records:,} records, {connections} connection{'s' if connections > 1 else ''}"
            for path, name in _NAMES.items():
                target = TARGET if path in {"look-up", "another"} else None
                if path in measured:
                    yield _compared(f"API, {name} ({where}) / empty route", measured[path], measured[EMPTY], target)


def _compared(name: str, ours: list[Answered], empty: list[Answered], target: float | None) -> Row:
    rates = ([one.load.requests_per_second for one in answered] for answered in (ours, empty))
    row = compared(name, "requests/s", *rates, better="more", at_least=target)
    return replace(
        row,
        ours=f"{row.ours}, {_beside(ours)}",
        other=f"{row.other}, {_beside(empty)}",
        details={
            f"{side}_{figure_name}": [of(one) for one in answered]
            for side, answered in (("ours", ours), ("other", empty))
            for figure_name, of in _BESIDE.items()
        },
    )


def _beside(answered: list[Answered]) -> str:
    p99, cpu = (statistics.median(_BESIDE[name](one) for one in answered) for name in ("p99_ms", "cpu_ms"))
    return f"p99 {figure(p99)} ms, {figure(cpu)} ms of CPU"


async def _measured(directory: Path, backend: str, extent: Extent) -> dict[int, dict[str, list[Answered]]]:
    """Return what each path gave in each round, by connections."""
    titles = Titles(extent.records)
    filled = filled_mongodb(titles) if backend == "MongoDB" else filled_sqlite(directory, titles)
    async with filled as leading:
        settings = _in(directory / backend, leading)
        await _store_songs(settings)
        return await asyncio.to_thread(_driven, settings, _asked(titles), extent)


def _paths(connections: int, extent: Extent) -> list[str]:
    return [EMPTY, *_NAMES] if extent.everywhere or connections == USUAL else [EMPTY, "look-up"]


def _driven(
    settings: AudioSettings, asked: Mapping[str, Asked], extent: Extent
) -> dict[int, dict[str, list[Answered]]]:
    measured = {many: {path: list[Answered]() for path in _paths(many, extent)} for many in CONNECTIONS}
    with _serving(settings) as (port, server):
        for one in asked.values():
            warm_up(port, one)
        for _ in range(extent.rounds):
            for connections, loads in measured.items():
                for path, answered in loads.items():
                    began = _cpu_seconds(server)
                    load = drive(port, asked[path], connections, extent.seconds)
                    answered.append(Answered(load, (_cpu_seconds(server) - began) * 1000 / load.requests))
    return measured


def _cpu_seconds(server: psutil.Process) -> float:
    times = server.cpu_times()
    return times.user + times.system


def _asked(titles: Titles) -> dict[str, Asked]:
    source = random.Random(2)  # noqa: S311 - not for secrets
    ids = [media_id(source.randrange(titles.count)) for _ in range(_DIFFERENT)]
    return {
        EMPTY: Asked([f"{EMPTY}?video_id={one}" for one in ids]),
        "look-up": Asked([f"{_API}/?video_id={one}" for one in ids]),
        "another": Asked([f"{_API}/?video_id={media_id(number)}" for number in _spread(titles.count)]),
        "search": Asked([f"{_API}/search?title={quote(titles.phrase(source))}" for _ in ids]),
        "range": Asked([f"{_API}/{media_id(number)}/audio" for number in range(_SONGS)], _RANGE),
    }


def _spread(records: int) -> range:
    """Return numbers of different records, from all of the library."""
    return range(0, records, max(1, records // _ANOTHER))


def _in(directory: Path, settings: AudioSettings) -> AudioSettings:
    directory.mkdir()
    paths = {"embedded_broker_path": "broker.db", "local_storage_path": "storage", "temp_path": "tmp"}
    changes = {key: directory / name for key, name in paths.items()}
    return settings.model_copy(update={**changes, "log_level": "warning", "instance_id": "bench"})


async def _store_songs(settings: AudioSettings) -> None:
    """Give the first records the files that they say they have."""
    content = dca(FRAMES)
    async with open_blobs(settings) as blobs:
        for number in range(_SONGS):
            upload = settings.local_storage_path.parent / "upload"
            await asyncio.to_thread(upload.write_bytes, content)
            await blobs.put(audio_key(media_id(number)), upload)


@contextmanager
def _serving(settings: AudioSettings) -> Generator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "bench.api_server", str(listener.fileno())]
        # Connections queue at the listener until the child serves them: there is nothing to wait for.
        with subprocess.Popen(
            command, pass_fds=[listener.fileno()], env=child_environment(environment_of(settings))
        ) as child:
            try:
                yield listener.getsockname()[1], psutil.Process(child.pid)
            finally:
                child.terminate()
