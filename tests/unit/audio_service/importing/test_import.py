"""`butakero import` from a real MongoDB with files in a folder, and from DynamoDB with files in a bucket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audio_service.importing.files import Folder, OriginalFiles, open_bucket
from audio_service.importing.importer import Importer, Outcome, Result
from audio_service.importing.libraries import OriginalLibrary, library_at
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import MediaRepository
from audio_service.settings import AudioSettings
from audio_service.workspace import open_workspace
from common.aws import open_dynamodb, open_s3
from common.blobs import open_blobs
from common.blobs.base import BlobStore
from common.databases.dynamodb.values import to_wire
from common.dca import DcaMetadata, DcaWriter
from tests.servers.emulators import Emulator
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.system import settings_for

PACKET = bytes([0xFC, 0xFF, 0xFE])  # 20 ms of silence, stereo
PACKET_60_MS = bytes([0x1C, 0xFF, 0xFE])
CREATED = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def song(path: Path, *, frames: int = 500, packet: bytes = PACKET, cut: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = DcaWriter(file, DcaMetadata())
        for _ in range(frames):
            writer.write(packet)
        writer.flush()
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])


def record(media_id: str, file_path: str, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    return {
        "_id": media_id,
        "status": "success",
        "metadata": {"title": f"Song {media_id}", "duration_ms": 10_000, "url": "u", "platform": "YouTube"},
        "file_data": {"file_path": file_path, "file_size": "1MB", "file_type": "audio/dca"},
        "message": "ok",
        "attempts": 1,
        "failures": 0,
        "play_count": 9,
        "processing_date": CREATED,
        "created_at": CREATED,
        "updated_at": CREATED,
        **changed,
    }


RECORDS = [
    record("whole", "/app/audio/whole.dca"),
    record("short-by-one", "/app/audio/short.dca"),
    record("other", "/app/audio/other.dca"),
    record("cut", "/app/audio/cut.dca"),
    record("long-packets", "/app/audio/long.dca"),
    record("gone", "/app/audio/gone.dca"),
    record("failed", "", status="error"),
    record("html", "/app/audio/html.dca"),
]
EXPECTED = {
    "whole": Outcome.IMPORTED,
    "short-by-one": Outcome.IMPORTED,
    "other": Outcome.OTHER_DURATION,
    "cut": Outcome.FILE_DAMAGED,
    "long-packets": Outcome.FILE_DAMAGED,
    "gone": Outcome.FILE_MISSING,
    "failed": Outcome.UNFINISHED,
    "html": Outcome.FILE_DAMAGED,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    audio = tmp_path / "original" / "audio"
    song(audio / "whole.dca")
    song(audio / "short.dca", frames=450)
    song(audio / "other.dca", frames=900)
    song(audio / "cut.dca", cut=2)
    song(audio / "long.dca", frames=167, packet=PACKET_60_MS)
    (audio / "html.dca").write_bytes(b"<html>error</html>")
    return audio.parent


@pytest.fixture
def settings(tmp_path: Path) -> AudioSettings:
    return settings_for(tmp_path / "ours")


@pytest.fixture
async def repository(settings: AudioSettings) -> AsyncGenerator[MediaRepository]:
    async with open_repository(settings) as opened:
        yield opened


@pytest.fixture
async def blobs(settings: AudioSettings) -> AsyncGenerator[BlobStore]:
    async with open_blobs(settings) as opened:
        yield opened


Import = Callable[..., Awaitable[dict[str, Result]]]


@pytest.fixture
def moved(repository: MediaRepository, blobs: BlobStore, settings: AudioSettings) -> Import:
    async def move(library: OriginalLibrary, files: OriginalFiles, *, dry_run: bool = False) -> dict[str, Result]:
        with open_workspace(settings.temp_path) as workspace:
            importer = Importer(files, repository, blobs, workspace, dry_run)
            results = [await importer.take(document) async for document in library.records()]
        return {result.media_id: result for result in results}

    return move


def outcomes(results: dict[str, Result]) -> dict[str, Outcome]:
    return {media_id: result.outcome for media_id, result in results.items()}


async def test_a_library_of_mongodb_moves_in(
    mongo: Mongo, folder: Path, repository: MediaRepository, blobs: BlobStore, moved: Import
) -> None:
    async with fresh_database(mongo) as database, mongo.admin() as admin:
        songs = admin[database]["Songs"]
        await songs.insert_many([dict(document) for document in RECORDS])
        library = library_at(f"mongodb://{mongo.hosts}/{database}/Songs", AudioSettings())
        assert await library.count() == len(RECORDS)

        assert outcomes(await moved(library, Folder(folder), dry_run=True)) == EXPECTED
        assert (await repository.list()).items == ()

        results = await moved(library, Folder(folder))
        assert outcomes(results) == EXPECTED
        assert results["other"].detail == "/app/audio/other.dca: 18000 ms, 10000 ms recorded"
        media = await repository.get("whole")
        assert media is not None
        assert (media.play_count, media.created_at, media.metadata.title) == (9, CREATED, "Song whole")
        original = (folder / "audio" / "whole.dca").read_bytes()
        assert b"".join([chunk async for chunk in blobs.read("audio/whole.dca")]) == original
        assert media.size_bytes == len(original)

        again = outcomes(await moved(library, Folder(folder)))
        assert again == EXPECTED | {"whole": Outcome.PRESENT, "short-by-one": Outcome.PRESENT}
        assert await songs.count_documents({}) == len(RECORDS)


async def test_a_library_of_dynamodb_moves_in(
    ministack: Emulator, seaweedfs: Emulator, folder: Path, repository: MediaRepository, moved: Import
) -> None:
    settings = AudioSettings(aws_endpoint_url=ministack.url, aws_endpoint_url_s3=seaweedfs.url)
    names = [{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")]
    keys = [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}]
    async with open_dynamodb(settings) as dynamodb, open_s3(settings) as s3:
        client: Any = dynamodb
        await client.create_table(
            TableName="originals", AttributeDefinitions=names, KeySchema=keys, BillingMode="PAY_PER_REQUEST"
        )
        await s3.create_bucket(Bucket="original-songs")
        for path in (folder / "audio").iterdir():
            await s3.put_object(Bucket="original-songs", Key=f"/app/audio/{path.name}", Body=path.read_bytes())
        for document in RECORDS:
            kept = {name: str(value) if isinstance(value, datetime) else value for name, value in document.items()}
            item = {**kept, "PK": f"VIDEO#{kept.pop('_id')}", "SK": "METADATA", "GSI1PK": "SONG"}
            await client.put_item(TableName="originals", Item=to_wire({k: v for k, v in item.items() if k != "_id"}))
        await client.put_item(TableName="originals", Item=to_wire({"PK": "OPERATION#1", "SK": "METADATA"}))

        async with open_bucket("original-songs", settings) as files:
            assert outcomes(await moved(library_at("dynamodb:originals", settings), files)) == EXPECTED
    media = await repository.get("whole")
    assert media is not None
    assert (media.play_count, media.created_at) == (9, CREATED)
