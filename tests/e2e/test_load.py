"""A burst: more requests than songs, all at once. Memory is sampled while it is worked off.

`FULL=1` makes it 1,000 requests for 300 songs. The server that stands in for SQS and DynamoDB serves one request after
the other, so that a usual run asks it for less.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from audio_service.settings import AudioSettings
from tests.reporting import Table
from tests.servers.aws_system import aws_settings
from tests.servers.clustered import KEYS, copies, open_clustered
from tests.servers.emulators import Emulator
from tests.servers.kafka import Kafka
from tests.servers.media_site import MediaSite
from tests.servers.mongo import Mongo
from tests.servers.ports import free_port
from tests.servers.system import Client, ServiceProcess, open_audio_process, open_client

FULL = os.environ.get("FULL") == "1"
SAMPLES = 60
# What Python's allocator, caches and the driver's pools may still take once they are warm.
MAY_GROW_MB = 25.0
MB = 1024 * 1024


class Extent(NamedTuple):
    """How large a burst is."""

    songs: int
    requests: int


USUAL = Extent(300, 1000) if FULL else Extent(60, 200)
FEW = Extent(300, 1000) if FULL else Extent(12, 40)


async def sampled(audio: ServiceProcess, client: Client, requests: int) -> list[tuple[float, float]]:
    """Return MB of the service and of its largest child, whenever another share of the answers has come."""
    service = psutil.Process(audio.process.pid)
    taken: list[tuple[float, float]] = []
    for number in range(1, SAMPLES + 1):
        due = requests * number // SAMPLES
        async with client.heard:
            await client.heard.wait_for(lambda due=due: len(client.statuses) >= due)
        taken.append((resident(service), max(map(resident, service.children()), default=0.0)))
    return taken


def resident(process: psutil.Process) -> float:
    """Return MB; a child that is being replaced has none."""
    try:
        return process.memory_info().rss / MB
    except psutil.NoSuchProcess:
        return 0.0


def grown(megabytes: list[float]) -> float:
    """Return how much more is taken at the end than after the first third, each as a median of a few samples."""
    third = len(megabytes) // 3
    return statistics.median(megabytes[-5:]) - statistics.median(megabytes[third : third + 5])


async def test_a_burst_is_one_download_a_song_and_one_status_a_request_with_flat_memory(
    tmp_path: Path, site: MediaSite, kafka: Kafka, mongo: Mongo, tables: list[Table]
) -> None:
    async with open_clustered(tmp_path, site, kafka, mongo) as (cluster, client):
        settings = cluster.settings(num_workers=4, lease_seconds=15.0, broker_lease_seconds=6.0)
        memory = await burst("Kafka and MongoDB", settings, client, site, tables, USUAL)
    assert grown([service for service, _ in memory]) < MAY_GROW_MB
    assert grown([child for _, child in memory]) < MAY_GROW_MB


async def test_a_burst_on_aws_is_one_download_a_song_and_one_status_a_request(
    tmp_path: Path, site: MediaSite, ministack: Emulator, seaweedfs: Emulator, tables: list[Table]
) -> None:
    # Nothing is taken away from a worker for want of time: the emulator is what is slow here.
    leases: dict[str, Any] = {"lease_seconds": 60.0, "broker_lease_seconds": 60.0}
    async with (
        aws_settings(tmp_path, site, ministack, seaweedfs, http_port=free_port(), num_workers=4, **leases) as settings,
        open_client(settings) as client,
    ):
        await burst("SQS, DynamoDB and S3", settings, client, site, tables, FEW)


async def burst(  # noqa: PLR0913, PLR0917 - a system's parts
    where: str, settings: AudioSettings, client: Client, site: MediaSite, tables: list[Table], extent: Extent
) -> list[tuple[float, float]]:
    """Ask a system for everything at once, and return its memory as `sampled`."""
    songs = copies(site, extent.songs)
    asked = [number % extent.songs for number in range(extent.requests)]
    random.Random(1).shuffle(asked)
    async with open_audio_process(settings) as audio:
        began = time.monotonic()
        requests = await asyncio.gather(
            *(client.ask(site.page(site.file(songs[song])), key=KEYS[song % len(KEYS)]) for song in asked)
        )
        memory = await sampled(audio, client, extent.requests)
        ids = [request.request_id for request in requests]
        statuses = await client.all_of(ids)
        await client.drained()
        seconds = time.monotonic() - began
        assert await client.broker.lag(settings.topic_download_requests, "audio-workers") == 0
        assert await audio.terminate() == 0
    assert all(status.success for status in statuses)
    assert client.answers() == dict.fromkeys(ids, 1)
    assert [site.gets[site.file_path(song)] for song in songs] == [1] * extent.songs
    service, children = ([sample[column] for sample in memory] for column in (0, 1))
    tables.append(
        Table(
            f"{extent.requests} requests for {extent.songs} songs in one burst, {where}",
            ("downloads", "statuses", "lag", "seconds", "process", "MB after a third", "MB at the end", "peak MB"),
            [
                (
                    *(str(extent.songs), str(len(statuses)), "0", f"{seconds:.1f}", name),
                    *(f"{figure:.0f}" for figure in (taken[len(taken) // 3], taken[-1], max(taken))),
                )
                for name, taken in (("service", service), ("largest child", children))
            ],
        )
    )
    return memory
