"""The whole service on a MongoDB replica set whose primary dies while songs are asked for."""

from __future__ import annotations

from pathlib import Path

from tests.servers.media_site import MediaSite
from tests.servers.mongo import open_mongo
from tests.servers.system import open_client, open_worker, settings_for


async def test_the_death_of_the_primary_loses_no_request_and_doubles_none(tmp_path: Path, site: MediaSite) -> None:
    original = next(site.directory.glob("*opus*")).read_bytes()
    songs = [site.directory / f"song-{number}.webm" for number in range(12)]
    for song in songs:
        song.write_bytes(original)
    async with open_mongo(members=3) as mongo:
        settings = settings_for(
            tmp_path,
            site.address,
            database_backend="mongodb",
            mongo_host=mongo.hosts,
            mongo_database="library",
            lease_seconds=6.0,
            num_workers=2,
        )
        async with open_client(settings) as client, open_worker(settings) as services:
            asked = [await client.ask(site.page(site.file(song))) for song in songs for _ in range(3)]
            await client.status(asked[0])
            await mongo.kill_primary()
            ids = [request.request_id for request in asked]
            statuses = await client.all_of(ids)
            await client.drained()
            assert all(status.success for status in statuses), statuses
            assert client.answers() == dict.fromkeys(ids, 1)
            records = (await services.repository.list(limit=100)).items
            assert len(records) == len(songs)
            assert [await services.repository.waits_for(request_id) for request_id in ids] == [None] * len(ids)
    assert [site.gets[site.file_path(song)] for song in songs] == [1] * len(songs)
