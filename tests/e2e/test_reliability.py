"""What a request may count on: one download a song, one status a request, whatever is delivered twice or dies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Joined, Owned, Waiter
from common.messages.base import CORRELATION_ID
from common.messages.downloads import PlatformMetadata
from tests.servers.media_site import MediaSite
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, open_client, open_worker, settings_for
from tests.waiting import until


def add_song(site: MediaSite, name: str) -> Path:
    song = site.directory / f"{name}.webm"
    song.write_bytes(next(site.directory.glob("*opus*")).read_bytes())
    return song


async def test_a_hundred_requests_for_one_new_song_are_one_download_and_a_hundred_statuses(
    tmp_path: Path, site: MediaSite
) -> None:
    settings = settings_for(tmp_path, site.address, num_workers=2, http_port=free_port())
    song = add_song(site, "wanted")
    async with open_client(settings) as here, open_client(settings) as there:
        # Two processes of workers, and two groups of users who each hear every status.
        async with open_audio_process(settings), open_worker(settings):
            pages = [site.page(site.file(song)), site.page(site.file(song)) + "#fragment"]
            asked = [await (here, there)[n % 2].ask(pages[n % 2]) for n in range(100)]
            ids = [request.request_id for request in asked]
            statuses = await here.all_of(ids)
            await there.all_of(ids)
            await here.drained()
        assert all(status.success for status in statuses)
        assert here.answers() == dict.fromkeys(ids, 1)
    assert site.gets[site.file_path(song)] == 1


async def test_a_killed_process_leaves_no_child_behind_and_another_finishes_its_work(
    tmp_path: Path, site: MediaSite
) -> None:
    settings = settings_for(tmp_path, site.address, http_port=free_port())
    song = add_song(site, "orphan")
    async with open_client(settings) as client:
        async with open_audio_process(settings) as audio:
            request = await client.ask(site.page(site.file(song, hold=1000)))
            await site.gate().reached.wait()
            audio.kill()
            await audio.process.wait()
        site.gate().release()
        async with open_worker(settings):
            assert (await client.status(request)).success


async def test_those_who_joined_a_request_that_kills_workers_hear_of_its_end(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    topic = settings.topic_download_requests
    deadly, joined = "web-deadly", Waiter("joined-1", "43")
    async with open_client(settings) as client:
        request = await client.ask("words that no search will find again")
        async with client.broker.consume(topic, "audio-workers") as deliveries:
            for _ in range(settings.service_max_attempts):
                await (await anext(deliveries)).retry(timedelta(0))
        async with open_repository(settings) as repository:
            lease = timedelta(milliseconds=1)
            owner = Waiter(request.request_id, request.user_id)
            assert isinstance(await repository.claim(deadly, owner, PlatformMetadata(title="Deadly"), lease), Owned)
            assert isinstance(
                await repository.claim(deadly, joined, PlatformMetadata(title="Deadly"), lease), Owned | Joined
            )
        async with open_worker(settings):
            statuses = await client.all_of([request.request_id, joined.request_id])
    assert [status.error_code for status in statuses] == ["processing_crashed"] * 2
    assert [status.video_id for status in statuses] == [deadly] * 2


async def test_a_song_whose_file_was_removed_is_made_again(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    page = site.page(site.file(add_song(site, "removed")))
    async with open_client(settings) as client, open_worker(settings) as services:
        first = await client.status(await client.ask(page))
        await services.blobs.delete(first.file_data.file_path)
        second = await client.status(await client.ask(page))
        assert second.success
        assert (await services.blobs.stat(second.file_data.file_path)).size > 0
        assert second.file_data == first.file_data


async def test_a_song_in_the_library_is_answered_without_the_network(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    song = add_song(site, "known")
    async with open_client(settings) as client, open_worker(settings):
        first = await client.status(await client.ask(site.page(site.file(song))))
        before = len(site.requests)
        second = await client.status(await client.ask(site.page(site.file(song))))
        assert len(site.requests) == before
    assert second.model_copy(update={"request_id": first.request_id}) == first


async def test_two_queries_for_the_same_song_end_in_one_record(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    song = add_song(site, "same")
    direct = site.file(song)
    async with open_client(settings) as client, open_worker(settings):
        one = await client.status(await client.ask(direct))
        other = await client.status(await client.ask(site.redirect(direct)))
        assert one.success
        assert one.video_id == other.video_id


async def test_a_malformed_message_is_a_dead_letter_and_its_sender_hears_of_it(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    topic = settings.topic_download_requests
    async with open_client(settings) as client, open_worker(settings) as services:
        await client.publish(b"{", "waiting-1")
        await client.publish(b'{"request_id": "waiting-2", "user_id": "7"}', "waiting-2")
        await client.publish(b"x" * 20_000, "waiting-3")
        good = await client.ask(site.page(site.file(add_song(site, "good"))))
        statuses = await client.all_of(["waiting-1", "waiting-2", "waiting-3", good.request_id])
        assert [status.error_code for status in statuses] == ["invalid_message"] * 3 + [None]
        await client.drained()
        letters = await services.broker.peek(f"{topic}.dlq")
    assert {letter.headers[CORRELATION_ID] for letter in letters} == {"waiting-1", "waiting-2", "waiting-3"}
    for letter in letters:
        assert letter.headers["error_code"] == "invalid_message"
        assert letter.headers["origin_topic"] == topic
        assert letter.headers["attempt"] == "1"


async def test_progress_reaches_the_topic_while_a_song_is_made(tmp_path: Path, site: MediaSite) -> None:
    settings = settings_for(tmp_path, site.address)
    song = site.file(add_song(site, "watched"), hold=1000)
    async with open_client(settings) as client, open_worker(settings):
        request = await client.ask(site.page(song))
        await site.gate().reached.wait()
        async with client.heard:
            await client.heard.wait_for(lambda: any(event.stage == "downloading" for event in client.progress))
        site.gate().release()
        status = await client.status(request)
    assert {event.request_id for event in client.progress} == {request.request_id}
    assert client.progress[0].stage == "resolving"
    assert client.progress[-1].video_id == status.video_id


async def test_a_library_that_is_locked_for_long_costs_a_request_time_and_no_attempt(
    tmp_path: Path, site: MediaSite
) -> None:
    settings = settings_for(tmp_path, site.address, service_max_attempts=1)
    async with open_client(settings) as client, open_worker(settings) as services:
        with closing(sqlite3.connect(settings.sqlite_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            request = await client.ask(site.page(site.file(add_song(site, "patient"))))
            handed_back = services.metrics.handed_back.labels("download", "db_connection_failed")

            async def counted() -> bool:
                return bool(next(iter(handed_back.collect())).samples[0].value)

            await until(counted)
            assert not client.statuses
            other.execute("ROLLBACK")
        assert (await client.status(request)).success
