"""The janitor over real stores: what goes, what stays, what a crash leaves behind."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audio_service import retention
from audio_service.bootstrap import open_services
from audio_service.media.model import Encoding, MediaStatus, audio_key
from audio_service.media.repository.base import Finished, LeaseHeld, MediaRepository, Owned, StoredMedia, Waiter
from audio_service.retention import keep_within_limit, sweep
from audio_service.services import Services
from common.errors import BlobNotFound, StorageUnavailable
from common.messages.downloads import FileData, PlatformMetadata
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.system import settings_for
from tests.waiting import patience, until

LEASE = timedelta(minutes=1)
SIZE = 100_000
LIMIT = 3 * SIZE


@pytest.fixture(params=["sqlite", "mongodb"])
def server(request: pytest.FixtureRequest) -> Mongo | None:
    """The database server; SQLite needs none."""
    return request.getfixturevalue("mongo") if request.param == "mongodb" else None


@pytest.fixture
async def services(server: Mongo | None, tmp_path: Path) -> AsyncGenerator[Services]:
    settings: dict[str, Any] = {"max_stored_bytes": LIMIT, "retention_grace_seconds": 0, "num_workers": 1}
    if server is None:
        async with open_services(settings_for(tmp_path, **settings)) as opened:
            yield opened
        return
    async with fresh_database(server) as database:
        settings |= server.settings(database).model_dump(
            include={"database_backend", "mongo_host", "mongo_database", "mongo_replica_set_name", "mongo_user"}
        )
        settings["mongo_password"] = server.password
        async with open_services(settings_for(tmp_path, **settings)) as opened:
            yield opened


async def own(services: Services, song: str) -> tuple[str, int]:
    """Claim a song for a new request; returns the request's id and the fence."""
    request = uuid.uuid4().hex
    claimed = await services.repository.claim(song, Waiter(request, "u"), PlatformMetadata(title=song), LEASE)
    assert isinstance(claimed, Owned)
    return request, claimed.fence


async def make(services: Services, song: str, *, settled: bool = True) -> None:
    """Put a song of SIZE bytes into the library."""
    request, fence = await own(services, song)
    upload = services.settings.temp_path / f"{song}.part"
    await asyncio.to_thread(upload.write_bytes, song.encode()[:1] * SIZE)
    await services.blobs.put(audio_key(song), upload)
    encoding = Encoding("passthrough", "x", 1, "00")
    done = StoredMedia(PlatformMetadata(title=song), FileData(file_path=audio_key(song)), SIZE, encoding, "ok")
    await services.repository.mark_success(song, fence, done)
    if settled:
        await services.repository.settle(song, fence, [request], keep=LEASE)
    await tick(services)


async def tick(services: Services) -> None:
    """Wait for the database's clock to move on."""
    await services.repository.acquire("tick", "a", timedelta(milliseconds=2))
    while await services.repository.acquire("tick", "b", timedelta(0)) is not None:
        pass


async def stored(services: Services, *songs: str) -> list[str]:
    """Return which of these songs have a file."""

    async def has_file(song: str) -> bool:
        try:
            await services.blobs.stat(audio_key(song))
        except BlobNotFound:
            return False
        return True

    return [song for song in songs if await has_file(song)]


def metric(services: Services, name: str) -> float:
    value = services.registry.get_sample_value(name)
    assert value is not None
    return value


async def test_the_least_recently_used_go_until_the_limit_is_kept(services: Services) -> None:
    songs = ["one", "two", "three", "four", "five"]
    for song in songs:
        await make(services, song)
    await services.repository.count_play("one")
    assert await sweep(services) == 2
    assert await stored(services, *songs) == ["one", "four", "five"]
    assert metric(services, "butakero_stored_bytes") == LIMIT
    assert metric(services, "butakero_evictions_total") == 2
    assert metric(services, "butakero_evicted_bytes_total") == 2 * SIZE
    assert await sweep(services) == 0, "at the limit is not above it"

    found = await services.repository.search("two")
    assert found.items == ()
    media = await services.repository.get("two")
    assert media is not None
    assert media.status is MediaStatus.PROCESSING
    await make(services, "two")
    assert await stored(services, "two") == ["two"]


async def test_without_a_limit_the_bytes_are_counted_and_nothing_goes(services: Services) -> None:
    for number in range(5):
        await make(services, f"song-{number}")
    settings = services.settings.model_copy(update={"max_stored_bytes": 0})
    assert await sweep(replace(services, settings=settings)) == 0
    assert metric(services, "butakero_stored_bytes") == 5 * SIZE


async def test_what_was_used_within_the_grace_stays_whatever_the_limit(services: Services) -> None:
    for number in range(5):
        await make(services, f"song-{number}")
    settings = services.settings.model_copy(update={"retention_grace_seconds": 600})
    assert await sweep(replace(services, settings=settings)) == 0


async def test_what_is_made_or_settled_stays(services: Services) -> None:
    for number in range(5):
        await make(services, f"song-{number}", settled=False)
    await own(services, "in-the-making")
    assert await sweep(services) == 0


async def test_a_reader_gets_to_the_end_of_a_file_that_goes(services: Services) -> None:
    for number in range(4):
        await make(services, f"song-{number}")
    reading = services.blobs.read(audio_key("song-0"))
    begun = await anext(reading)
    assert await sweep(services) == 1
    assert await stored(services, "song-0") == []
    assert len(begun) + sum([len(chunk) async for chunk in reading]) == SIZE


async def test_one_sweeps_at_a_time(services: Services) -> None:
    for number in range(9):
        await make(services, f"song-{number}")
    assert await services.repository.acquire("retention", "another", LEASE) is None
    assert await sweep(services) == 0
    await services.repository.surrender("retention", "another")
    assert sum(await asyncio.gather(*(sweep(services) for _ in range(4)))) == 6


class Overtaken:
    """A repository whose retention lease expires after each eviction, and is then another process's."""

    def __init__(self, repository: MediaRepository) -> None:
        self._repository = repository
        self._owner = ""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - every other method is the repository's own
        return getattr(self._repository, name)

    async def acquire(self, name: str, owner: str, lease: timedelta) -> timedelta | None:
        self._owner = owner
        return await self._repository.acquire(name, owner, lease)

    async def finish_eviction(self, media_id: str, fence: int) -> None:
        await self._repository.finish_eviction(media_id, fence)
        await self._repository.surrender("retention", self._owner)
        assert await self._repository.acquire("retention", "another", LEASE) is None


async def test_a_sweeper_that_lost_its_lease_evicts_no_more(services: Services) -> None:
    for number in range(6):
        await make(services, f"song-{number}")
    overtaken: Any = Overtaken(services.repository)
    assert await sweep(replace(services, repository=overtaken)) == 1
    assert await services.repository.acquire("retention", "third", LEASE) is not None, "the other's lease still runs"


async def test_a_sweeper_that_stood_still_for_half_its_lease_removes_no_file(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await make(services, f"song-{number}")
    monkeypatch.setattr(retention, "LEASE", timedelta(0))  # every step takes longer than half of it
    assert await sweep(services) == 0
    assert await stored(services, "song-0") == ["song-0"]
    monkeypatch.undo()
    assert await sweep(services) == 1, "the next sweep takes it up"
    assert not await stored(services, "song-0")


async def test_what_a_dead_sweeper_began_is_finished_by_the_next(services: Services) -> None:
    for number in range(4):
        await make(services, f"song-{number}")
    dead = await services.repository.begin_eviction(idle=timedelta(0), lease=timedelta(0))
    assert dead is not None
    assert await stored(services, dead.media_id)
    assert await sweep(services) == 1
    assert await stored(services, *(f"song-{number}" for number in range(4))) == ["song-1", "song-2", "song-3"]


async def test_requests_wait_while_a_file_is_removed_and_get_the_song_made_again(services: Services) -> None:
    await make(services, "one")
    eviction = await services.repository.begin_eviction(idle=timedelta(0), lease=LEASE)
    assert eviction is not None
    asker = Waiter("somebody", "u")
    assert isinstance(await services.repository.claim("one", asker, PlatformMetadata(), LEASE), LeaseHeld)
    await services.repository.finish_eviction("one", eviction.fence)
    assert isinstance(await services.repository.claim("one", asker, PlatformMetadata(), LEASE), Owned)


async def test_a_store_that_is_away_is_met_again_at_the_next_look(services: Services) -> None:
    for number in range(4):
        await make(services, f"song-{number}")
    files = services.settings.local_storage_path / "audio"
    aside = files.rename(files.with_name("aside"))
    files.symlink_to(files)  # leads nowhere, for root too
    with pytest.raises(StorageUnavailable):
        await sweep(services)
    assert not isinstance(
        await services.repository.claim("song-0", Waiter("w", "u"), PlatformMetadata(), LEASE), Finished
    ), "it is not handed out while nobody knows"
    assert await services.repository.acquire("retention", "another", LEASE) is None, "the lease was given back"
    files.unlink()
    aside.rename(files)
    assert await stored(services, "song-0") == ["song-0"]


async def test_it_looks_until_it_is_told_to_stop(services: Services) -> None:
    for number in range(4):
        await make(services, f"song-{number}")
    settings = services.settings.model_copy(update={"retention_interval_seconds": 0.01})
    stop = asyncio.Event()
    async with asyncio.timeout(patience(30)), asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_within_limit(replace(services, settings=settings), stop))
        await until(lambda: metric(services, "butakero_evictions_total") >= 1)
        await make(services, "another")
        await until(lambda: metric(services, "butakero_evictions_total") >= 2)
        stop.set()
