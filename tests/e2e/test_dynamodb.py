"""The whole service on DynamoDB, which does not answer for a while as songs are asked for."""

from __future__ import annotations

from pathlib import Path

from tests.servers.emulators import Emulator, library_on
from tests.servers.media_site import MediaSite
from tests.servers.system import open_client, open_worker, settings_for
from tests.waiting import until


async def test_an_outage_loses_no_request_and_doubles_none(
    tmp_path: Path, site: MediaSite, ministack: Emulator
) -> None:
    original = next(site.directory.glob("*opus*")).read_bytes()
    songs = [site.directory / f"song-{number}.webm" for number in range(6)]
    for song in songs:
        song.write_bytes(original)
    library = library_on(ministack)
    settings = settings_for(
        tmp_path,
        site.address,
        database_backend="dynamodb",
        dynamodb_table_songs=library.dynamodb_table_songs,
        aws_endpoint_url=library.aws_endpoint_url,
        lease_seconds=60.0,
        num_workers=2,
    )
    async with open_client(settings) as client, open_worker(settings) as services:
        asked = [await client.ask(site.page(site.file(song))) for song in songs for _ in range(3)]
        await client.status(asked[0])

        async def unhealthy() -> bool:
            return not (await services.repository.health()).ok

        with ministack.frozen():
            await until(unhealthy)
        ids = [request.request_id for request in asked]
        statuses = await client.all_of(ids)
        await client.drained()
        assert all(status.success for status in statuses), statuses
        assert client.answers() == dict.fromkeys(ids, 1)
        assert len((await services.repository.list(limit=100)).items) == len(songs)
        assert [await services.repository.waits_for(request_id) for request_id in ids] == [None] * len(ids)
    assert [site.gets[site.file_path(song)] for song in songs] == [1] * len(songs)
