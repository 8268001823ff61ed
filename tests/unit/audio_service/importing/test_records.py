"""Records of the original system, as MongoDB and DynamoDB hold them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audio_service.importing.files import Folder
from audio_service.importing.libraries import library_at
from audio_service.importing.records import UnreadableRecord, read_record
from audio_service.settings import AudioSettings
from common.errors import BlobNotFound, InvalidInput

FIELDS: dict[str, Any] = {
    "status": "success",
    "metadata": {"title": "New Rules", "duration_ms": 225_000, "url": "u", "thumbnail_url": "t", "platform": "YouTube"},
    "file_data": {"file_path": "audio/new rules.dca"},
    "message": "ok",
    "attempts": 1,
    "failures": 0,
    "play_count": 7,
    "processing_date": "2025-05-16T23:06:17.533999Z",
    "created_at": "2025-05-16T20:06:17.5-03:00",
    "updated_at": "2025-05-16T23:07:00Z",
}


@pytest.mark.parametrize("key", [{"_id": "k2qgadSvNyU"}, {"PK": "VIDEO#k2qgadSvNyU", "SK": "METADATA"}])
def test_a_record_of_either_database_is_the_same(key: dict[str, str]) -> None:
    record = read_record({**key, **FIELDS})
    assert (record.media_id, record.finished, record.file_path) == ("k2qgadSvNyU", True, "audio/new rules.dca")
    assert (record.metadata.title, record.metadata.duration_ms, record.play_count) == ("New Rules", 225_000, 7)
    assert record.created_at == datetime(2025, 5, 16, 23, 6, 17, 500_000, tzinfo=UTC)
    assert record.processing_date == datetime(2025, 5, 16, 23, 6, 17, 533_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "damage",
    [
        {"metadata": None, "file_data": 3, "play_count": "many", "created_at": "yesterday"},
        {"metadata": {"duration_ms": float("inf"), "title": None}, "attempts": -3, "updated_at": datetime(1, 1, 1)},  # noqa: DTZ001 - Go's zero time
        {"processing_date": None, "created_at": None, "updated_at": None},
    ],
)
def test_what_is_odd_in_a_record_is_nothing(damage: dict[str, Any]) -> None:
    record = read_record({"_id": "k2qgadSvNyU", **FIELDS, **damage})
    assert record.attempts >= 0
    assert record.play_count in {0, 7}
    assert record.created_at.tzinfo is UTC
    assert record.updated_at.year >= 2025


@pytest.mark.parametrize("key", [{}, {"_id": 5.5}, {"_id": "../../etc"}, {"_id": ""}, {"PK": "USER#1"}])
def test_what_has_no_id_of_a_song_is_no_record(key: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecord):
        read_record({**FIELDS, **key})


@pytest.mark.parametrize(
    "address",
    ["", "mongodb://host", "mongodb://host/db", "mongodb://host/db/coll/more", "dynamodb:", "dynamodb:a b", "/x/y"],
)
def test_an_address_that_leads_nowhere_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="--from"):
        library_at(address, AudioSettings())


class TestFolder:
    async def copied(self, folder: Folder, file_path: str) -> bytes:
        target = folder.root.parent / "copy"
        await folder.copy(file_path, target)
        return target.read_bytes()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Folder:
        root = tmp_path / "songs"
        (root / "audio").mkdir(parents=True)
        (root / "audio" / "a b ñ.dca").write_bytes(b"one")
        (tmp_path / "secret").write_bytes(b"no")
        return Folder(root, "/data/", "audio/")

    @pytest.mark.parametrize(
        "file_path",
        ["audio/a b ñ.dca", "/app/storage/audio/a b ñ.dca", "/data/a b ñ.dca", "C:\\music\\audio\\a b ñ.dca"],
    )
    async def test_a_file_is_found_by_the_paths_of_another_machine(self, folder: Folder, file_path: str) -> None:
        assert await self.copied(folder, file_path) == b"one"

    @pytest.mark.parametrize("file_path", ["../secret", "/secret", "", "audio", "audio/none.dca", "audio/../../secret"])
    async def test_no_path_leads_out_of_the_folder(self, folder: Folder, file_path: str) -> None:
        with pytest.raises(BlobNotFound):
            await self.copied(folder, file_path)
