"""Made-up records, the same in each run: their titles, and a SQLite file and a mongod that hold so many of them."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from audio_service.media.model import Encoding, audio_key, search_text
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import StoredMedia
from audio_service.media.repository.mongodb.documents import all_grams, made_fields
from audio_service.settings import AudioSettings
from common.messages.downloads import FileData, PlatformMetadata
from tests.servers.mongo import open_mongo

_BATCH = 5_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODING = Encoding("passthrough", "20 ms stereo packets", 11_250, "00ff" * 16)
_DATABASE = "bench"


class Titles:
    """Titles of so many records, whose words are as unevenly common as those of a language."""

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


def media_id(number: int) -> str:
    """Return the id of a record."""
    return f"song-{number:08}"


def made(song: str, title: str) -> StoredMedia:
    """Return what a worker would record of a song of four minutes."""
    return StoredMedia(
        metadata=PlatformMetadata(
            title=title, duration_ms=225_000, url=f"https://example.org/watch?v={song}", platform="YouTube"
        ),
        file=FileData(file_path=audio_key(song), file_size="2.70MB", file_type="audio/dca"),
        size_bytes=2_831_155,
        encoding=_ENCODING,
        message="listo",
    )


@asynccontextmanager
async def filled_sqlite(directory: Path, titles: Titles) -> AsyncGenerator[AudioSettings]:
    """Yield the settings that lead to a library of these records in a SQLite file."""
    settings = AudioSettings(database_backend="sqlite", sqlite_path=directory / "library.db")
    async with open_repository(settings):
        pass  # makes the tables
    with closing(sqlite3.connect(settings.sqlite_path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for number in range(titles.count):
            _insert_row(db, number, titles.title(number))
        db.execute("COMMIT")
    yield settings


@asynccontextmanager
async def filled_mongodb(titles: Titles) -> AsyncGenerator[AudioSettings]:
    """Yield the settings that lead to the same library in a mongod that runs for so long."""
    async with open_mongo(cache_gb=1.0) as mongo:
        settings = mongo.settings(_DATABASE)
        async with mongo.admin() as admin:
            songs = admin[_DATABASE][settings.mongo_collection_songs]
            for first in range(0, titles.count, _BATCH):
                numbers = range(first, min(first + _BATCH, titles.count))
                await songs.insert_many([_document(number, titles.title(number)) for number in numbers], ordered=False)
        async with open_repository(settings):
            pass  # makes the indexes
        yield settings


def _document(number: int, title: str) -> dict[str, Any]:
    moment = _START + timedelta(milliseconds=number)
    text = search_text(title)
    return {
        "_id": media_id(number),
        "status": "success",
        **made_fields(made(media_id(number), title)),
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
    song = made(media_id(number), title)
    moment = _milliseconds(_START + timedelta(milliseconds=number))
    values = {
        "video_id": media_id(number),
        "status": "success",
        "metadata": song.metadata.model_dump_json(),
        "file": song.file.model_dump_json(),
        "size_bytes": song.size_bytes,
        "encoding": _json(asdict(_ENCODING)),
        "message": song.message,
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


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
