"""The library under load: look-ups by id and searches of titles in MongoDB, next to SQLite, while songs are added.

Both hold the same records. Readers ask one question after the other, each for itself; writers bring songs in as workers
do (claim, record, settle) all the while. What is measured is one question's time as its caller sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from audio_service.media.model import Encoding, audio_key, search_text
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Made, MediaRepository, Owned, Waiter
from audio_service.media.repository.mongodb_documents import all_grams, made_fields
from audio_service.settings import AudioSettings
from bench.table import Row
from common.errors import DatabaseUnavailable
from common.messages import FileData, PlatformMetadata
from tests.servers.mongo import open_mongo

RECORDS, RECORDS_FULL = 100_000, 1_000_000
READERS, WRITERS = 4, 2
LOOK_UPS, SEARCHES = 4_000, 1_200

_BATCH = 5_000
_LEASE = timedelta(minutes=1)
_START = datetime(2026, 1, 1, tzinfo=UTC)
_ENCODING = Encoding("passthrough", "20 ms stereo packets", 11_250, "00ff" * 16)
_DATABASE = "bench"

Question = Callable[[MediaRepository, random.Random], Awaitable[object]]


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Fill both libraries, then ask both the same. Ratio: SQLite's p95 over MongoDB's."""
    count = RECORDS_FULL if full else RECORDS
    titles = Titles(count)
    measured = [asyncio.run(_measure(opened, titles)) for opened in (_sqlite(directory, titles), _mongodb(titles))]
    for name in measured[0]:
        sqlite_ms, mongodb_ms = (p95(results[name]) for results in measured)
        yield Row(
            name=f"{count:,} records: {name}, p95 while songs are added, MongoDB / SQLite",
            ours=f"{mongodb_ms:.1f} ms",
            other=f"{sqlite_ms:.1f} ms",
            ratio=f"{sqlite_ms / mongodb_ms:.2f}x",
        )


class Titles:
    """Made-up titles whose words are as unevenly common as those of a language, the same in each run."""

    def __init__(self, count: int) -> None:
        self.count = count
        source = random.Random(1)  # noqa: S311 - not for secrets
        syllables = ["".join(parts) for parts in itertools.product("bcdfglmnprst", "aeiou", ["", "n", "r", "s"])]
        self.words = ["".join(source.choices(syllables, k=source.choice([1, 2, 2, 3]))) for _ in range(20_000)]
        self._weights = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(self.words))))

    def title(self, number: int) -> str:
        """Return the title of a record."""
        source = random.Random(number)  # noqa: S311 - as above
        words = source.choices(self.words, cum_weights=self._weights, k=source.choice([3, 4, 5, 6, 8]))
        return " ".join(words).title() + (" (Official Video)" if number % 3 == 0 else "")

    def phrase(self, source: random.Random) -> str:
        """Return two words that stand together in some title."""
        words = self.title(source.randrange(self.count)).split()
        at = source.randrange(len(words) - 1)
        return " ".join(words[at : at + 2])


async def _measure(opened: AbstractAsyncContextManager[MediaRepository], titles: Titles) -> dict[str, list[float]]:
    questions: dict[str, tuple[int, Question]] = {
        "look-up by id": (LOOK_UPS, lambda repo, source: repo.get(_media_id(source.randrange(titles.count)))),
        "search, two words of a title": (SEARCHES, lambda repo, source: repo.search(titles.phrase(source))),
        "search, a common word": (SEARCHES, lambda repo, source: repo.search(source.choice(titles.words[:50]))),
        "search, common parts that no title has together": (
            SEARCHES,
            lambda repo, source: repo.search(f"official video {source.choice(titles.words[:50])}"),
        ),
    }
    async with opened as repository:
        return {name: await _asked(repository, question, times) for name, (times, question) in questions.items()}


async def _asked(repository: MediaRepository, question: Question, times: int) -> list[float]:
    """Return how many milliseconds each question took, with writers at work."""
    milliseconds: list[float] = []

    async def read(number: int) -> None:
        source = random.Random(number)  # noqa: S311 - as above
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
        made = _made(song, f"Added song {number}")
        with contextlib.suppress(DatabaseUnavailable):
            claimed = await repository.claim(song, Waiter(request, "u"), made.metadata, _LEASE)
            if isinstance(claimed, Owned):
                await repository.mark_success(song, claimed.fence, made)
                await repository.settle(song, claimed.fence, [request], keep=_LEASE)


@asynccontextmanager
async def _sqlite(directory: Path, titles: Titles) -> AsyncGenerator[MediaRepository]:
    settings = AudioSettings(database_backend="sqlite", sqlite_path=directory / "library.db")
    async with open_repository(settings):
        pass
    with closing(sqlite3.connect(settings.sqlite_path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for number in range(titles.count):
            _insert_row(db, number, titles.title(number))
        db.execute("COMMIT")
    async with open_repository(settings) as repository:
        yield repository


@asynccontextmanager
async def _mongodb(titles: Titles) -> AsyncGenerator[MediaRepository]:
    async with open_mongo(cache_gb=1.0) as mongo:
        settings = mongo.settings(_DATABASE)
        async with mongo.admin() as admin:
            songs = admin[_DATABASE][settings.mongo_collection_songs]
            for first in range(0, titles.count, _BATCH):
                numbers = range(first, min(first + _BATCH, titles.count))
                await songs.insert_many([_document(number, titles.title(number)) for number in numbers], ordered=False)
        async with open_repository(settings) as repository:
            yield repository


def _document(number: int, title: str) -> dict[str, Any]:
    moment = _START + timedelta(milliseconds=number)
    text = search_text(title)
    return {
        "_id": _media_id(number),
        "status": "success",
        **made_fields(_made(_media_id(number), title)),
        "search_text": text,
        "grams": all_grams(text),
        "seq": _milliseconds(moment) << 20,
        **dict.fromkeys(("processing_date", "created_at", "updated_at", "used_at"), moment),
        "attempts": 1,
        "failures": 0,
        "play_count": 0,
        "last_played_at": None,
        "error_code": None,
        "fence": 1,
        "lease_until": None,
        "holder": "",
        "claim_id": "",
        "waiters": [],
        "settled": [],
    }


def _insert_row(db: sqlite3.Connection, number: int, title: str) -> None:
    made = _made(_media_id(number), title)
    moment = _milliseconds(_START + timedelta(milliseconds=number))
    values = {
        "video_id": _media_id(number),
        "status": "success",
        "metadata": made.metadata.model_dump_json(),
        "file": made.file.model_dump_json(),
        "size_bytes": made.size_bytes,
        "encoding": _json(asdict(_ENCODING)),
        "message": made.message,
        "search_text": search_text(title),
        "fence": 1,
        "lease_until": 0,
        "holder": "",
        **dict.fromkeys(("processing_date", "created_at", "updated_at", "used_at"), moment),
        "attempts": 1,
        "failures": 0,
        "play_count": 0,
    }
    names = ", ".join(values)
    places = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO media ({names}) VALUES ({places})", tuple(values.values()))  # noqa: S608 - our own names


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _made(media_id: str, title: str) -> Made:
    return Made(
        metadata=PlatformMetadata(
            title=title, duration_ms=225_000, url=f"https://example.org/watch?v={media_id}", platform="YouTube"
        ),
        file=FileData(file_path=audio_key(media_id), file_size="2.70MB", file_type="audio/dca"),
        size_bytes=2_831_155,
        encoding=_ENCODING,
        message="listo",
    )


def _media_id(number: int) -> str:
    return f"song-{number:08}"


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def p95(milliseconds: Sequence[float]) -> float:
    """Return what 95 of 100 questions took at most."""
    return sorted(milliseconds)[len(milliseconds) * 95 // 100]
