"""More workers, more songs: up to the number of partitions. And what a dead worker held goes on with the others.

The source takes a fixed time for each song, far above what a song costs in computing: it is the waiting that workers
share. `FULL=1` asks for 200 songs.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from audio_service.settings import AudioSettings
from common.messages.downloads import DownloadRequest
from tests.reporting import Table
from tests.servers.clustered import KEYS, Clustered, copies, open_clustered, spread
from tests.servers.kafka import Kafka
from tests.servers.media_site import MediaSite
from tests.servers.mongo import Mongo
from tests.servers.system import Client, open_audio_process

SONGS = 200 if os.environ.get("FULL") == "1" else 24
SOURCE_SECONDS = 1.5
# Twice the workers are twice the songs a second, but for what one machine's cores are worth to four processes.
AT_LEAST = 1.2
SESSION_SECONDS = 2.0

System = tuple[Clustered, Client]


@pytest.fixture
async def system(tmp_path: Path, site: MediaSite, kafka: Kafka, mongo: Mongo) -> AsyncGenerator[System]:
    async with open_clustered(tmp_path, site, kafka, mongo) as opened:
        yield opened


async def songs_a_second(system: System, songs: list[Path], workers: int) -> float:
    """Let so many processes of one worker each work off new songs, spread evenly over the partitions."""
    cluster, client = system
    site = cluster.site
    # One song for each, so that nobody is still starting when the clock does.
    first, songs = songs[: len(KEYS)], songs[len(KEYS) :]
    async with AsyncExitStack() as running:
        for _ in range(workers):
            settings = cluster.settings(num_workers=1, lease_seconds=15.0, broker_lease_seconds=6.0)
            await running.enter_async_context(open_audio_process(settings))
        await answered(client, [await ask(client, site, song, number) for number, song in enumerate(first)])
        began = time.monotonic()
        requests = [await ask(client, site, song, number) for number, song in enumerate(songs)]
        await answered(client, requests)
        seconds = time.monotonic() - began
    return len(songs) / seconds


async def ask(client: Client, site: MediaSite, song: Path, number: int) -> DownloadRequest:
    url = site.page(site.file(song, delay=int(SOURCE_SECONDS * 1000)))
    return await client.ask(url, key=KEYS[number % len(KEYS)])


async def answered(client: Client, requests: list[DownloadRequest]) -> None:
    statuses = await client.all_of(request.request_id for request in requests)
    assert all(status.success for status in statuses), statuses
    await client.drained()


@pytest.mark.timeout(900)
async def test_throughput_grows_with_workers_up_to_the_partitions(system: System, tables: list[Table]) -> None:
    cluster, client = system
    songs = copies(cluster.site, 2 * (SONGS + len(KEYS)))
    half = len(songs) // 2
    two = await songs_a_second(system, songs[:half], workers=2)
    four = await songs_a_second(system, songs[half:], workers=4)
    tables.append(
        Table(
            f"{SONGS} songs that take their source {SOURCE_SECONDS:g} s each, {len(KEYS)} partitions",
            ("worker processes", "songs a second", "against two"),
            [("2", f"{two:.2f}", "1.00x"), ("4", f"{four:.2f}", f"{four / two:.2f}x")],
        )
    )
    messages = await client.broker.peek(client.settings.topic_download_requests, limit=len(songs))
    assert spread(message.position for message in messages) == dict.fromkeys(range(len(KEYS)), len(songs) // len(KEYS))
    assert set(client.answers().values()) == {1}
    assert [cluster.site.gets[cluster.site.file_path(song)] for song in songs] == [1] * len(songs)
    assert four / two > AT_LEAST


async def test_a_killed_workers_requests_finish_on_the_others(system: System, tables: list[Table]) -> None:
    cluster, client = system
    site = cluster.site
    held, *waiting = copies(site, 1 + 3 * len(KEYS))

    def settings(**overrides: float) -> AudioSettings:
        return cluster.settings(
            num_workers=1, broker_lease_seconds=SESSION_SECONDS, lease_seconds=SESSION_SECONDS, **overrides
        )

    async with AsyncExitStack() as others:
        async with open_audio_process(settings()) as doomed:
            requests = [await client.ask(site.page(site.file(held, hold=1000)), key=KEYS[0])]
            await site.gate().reached.wait()
            for _ in range(2):
                await others.enter_async_context(open_audio_process(settings()))
            requests += [
                await client.ask(site.page(site.file(song)), key=KEYS[number % len(KEYS)])
                for number, song in enumerate(waiting)
            ]
            doomed.kill()
            began = time.monotonic()
            await doomed.process.wait()
        site.gate().release()
        first = await client.status(requests[0])
        taken_over = time.monotonic() - began
        await answered(client, requests)
        everything = time.monotonic() - began
    assert first.success
    assert client.answers() == {request.request_id: 1 for request in requests}
    tables.append(
        Table(
            f"one of three workers killed, session time-out {SESSION_SECONDS:g} s",
            ("requests", "the one in its hands after", "all after"),
            [(str(len(requests)), f"{taken_over:.1f} s", f"{everything:.1f} s")],
        )
    )
