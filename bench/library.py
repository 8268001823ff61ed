"""The library under load: look-ups by id and searches of titles in MongoDB, next to SQLite, while songs are added.

Both hold the same records. Readers ask one question after the other, each for itself; writers bring songs in as workers
do (claim, record, settle) all the while. What is measured is one question's time as its caller sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from audio_service.media.repository import open_repository
from audio_service.media.repository.base import MediaRepository, Owned, Waiter
from bench.records import Titles, filled_mongodb, filled_sqlite, made, media_id
from bench.table import Row, compared
from common.errors import DatabaseUnavailable

READERS, WRITERS = 4, 2
LOOK_UPS, SEARCHES = 4, 1

_LEASE = timedelta(minutes=1)

Question = Callable[[MediaRepository, random.Random], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of it: records, rounds, and questions a round (a look-up counts as a quarter of one)."""

    records: int
    rounds: int
    questions: int


QUICK, FULL = Extent(10_000, 2, 60), Extent(1_000_000, 5, 300)


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Fill both libraries, then ask both the same, in turns. Ratio: SQLite's p95 over MongoDB's."""
    extent = FULL if full else QUICK
    for name, (mongodb, sqlite) in asyncio.run(_measured(directory, extent)).items():
        yield compared(
            f"{extent.records:,} records: {name}, p95 while songs are added, MongoDB / SQLite",
            "ms",
            mongodb,
            sqlite,
            better="less",
        )


async def _measured(directory: Path, extent: Extent) -> dict[str, tuple[list[float], list[float]]]:
    """Return the p95 of each round in MongoDB and in SQLite, question by question."""
    titles = Titles(extent.records)
    asked = _questions(titles)
    measured: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in asked}
    async with _libraries(directory, titles) as libraries:
        for number in range(extent.rounds + 1):
            for name, (weight, question) in asked.items():
                for repository, results in zip(libraries, measured[name], strict=True):
                    took = await _asked(repository, question, weight * extent.questions, seed=number)
                    if number:  # the first round warms up
                        results.append(p95(took))
    return measured


def _questions(titles: Titles) -> dict[str, tuple[int, Question]]:
    return {
        "look-up by id": (LOOK_UPS, lambda repo, source: repo.get(media_id(source.randrange(titles.count)))),
        "search, two words of a title": (SEARCHES, lambda repo, source: repo.search(titles.phrase(source))),
        "search, a common word": (SEARCHES, lambda repo, source: repo.search(source.choice(titles.words[:50]))),
        "search, common parts that no title has together": (
            SEARCHES,
            lambda repo, source: repo.search(f"official video {source.choice(titles.words[:50])}"),
        ),
    }


@asynccontextmanager
async def _libraries(directory: Path, titles: Titles) -> AsyncGenerator[tuple[MediaRepository, MediaRepository]]:
    async with AsyncExitStack() as stack:
        filled = [await stack.enter_async_context(filled_mongodb(titles))]
        filled.append(await stack.enter_async_context(filled_sqlite(directory, titles)))
        mongodb, sqlite = [await stack.enter_async_context(open_repository(settings)) for settings in filled]
        yield mongodb, sqlite


async def _asked(repository: MediaRepository, question: Question, times: int, *, seed: int) -> list[float]:
    """Return how many milliseconds each question took, with writers at work."""
    milliseconds: list[float] = []

    async def read(number: int) -> None:
        source = random.Random(seed * READERS + number)  # noqa: S311 - not for secrets
        for _ in range(times // READERS):
            began = time.perf_counter()
            with contextlib.suppress(DatabaseUnavailable):  # too slow an answer is none, and counts with its time
                await question(repository, source)
            milliseconds.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as tasks:
        writers = [tasks.create_task(_write(repository)) for _ in range(WRITERS)]
        async with asyncio.TaskGroup() as readers:
            for number in range(READERS):
                readers.create_task(read(number))
        for writer in writers:
            writer.cancel()
    return milliseconds


_added = itertools.count()


async def _write(repository: MediaRepository) -> None:
    while True:
        number = next(_added)
        song, request = f"added-{number}", f"request-{number}"
        finished = made(song, f"Added song {number}")
        with contextlib.suppress(DatabaseUnavailable):
            claimed = await repository.claim(song, Waiter(request, "u"), finished.metadata, _LEASE)
            if isinstance(claimed, Owned):
                await repository.mark_success(song, claimed.fence, finished)
                await repository.settle(song, claimed.fence, [request], keep=_LEASE)


def p95(milliseconds: Sequence[float]) -> float:
    """Return what 95 of 100 questions took at most."""
    return sorted(milliseconds)[len(milliseconds) * 95 // 100]
