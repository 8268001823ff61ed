"""The audio service on Kafka: the same songs, the same promises, with the work dealt out by the brokers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from audio_service.settings import AudioSettings
from tests.servers.kafka import Kafka
from tests.servers.media_site import MediaSite
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, open_client, settings_for

MakeSettings = Callable[..., AudioSettings]


@pytest.fixture
def on_kafka(kafka: Kafka, tmp_path: Path, site: MediaSite) -> MakeSettings:
    """Make settings of one system: its own topics, files and port."""
    system = uuid.uuid4().hex[:8]

    def make(**overrides: object) -> AudioSettings:
        return settings_for(
            tmp_path,
            site.address,
            http_port=free_port(),
            messaging_backend="kafka",
            kafka_brokers=kafka.bootstrap,
            kafka_partitions=4,
            topic_download_requests=f"{system}.requests",
            topic_download_status=f"{system}.status",
            topic_download_progress=f"{system}.progress",
            **overrides,
        )

    return make


def song_of(site: MediaSite) -> Path:
    return next(site.directory.glob("*opus*"))


async def test_a_song_goes_through_kafka_and_health_names_the_brokers(
    on_kafka: MakeSettings, site: MediaSite, kafka: Kafka
) -> None:
    settings = on_kafka()
    async with open_client(settings) as client, open_audio_process(settings) as audio, httpx.AsyncClient() as http:
        status = await client.status(await client.ask(site.page(site.file(song_of(site)))))
        assert status.success, status
        record = (await http.get(f"{audio.url}/api/v1/media/", params={"video_id": status.video_id})).json()
        assert record["data"]["status"] == "success"
        health = (await http.get(f"{audio.url}/api/v1/health")).json()
        assert health["services"]["kafka"] == {
            "metadata": {"kafka": {"brokers": [{"address": kafka.bootstrap, "is_leader": True}]}},
            "status": "saludable",
        }
        await client.drained()
        assert await audio.terminate() == 0


async def test_a_hundred_requests_for_one_new_song_are_one_download_on_two_worker_processes(
    on_kafka: MakeSettings, site: MediaSite
) -> None:
    one, two = on_kafka(), on_kafka()
    page = site.page(site.file(song_of(site)))
    async with open_client(one) as here, open_client(two) as there, open_audio_process(one), open_audio_process(two):
        ids = [(await (here, there)[number % 2].ask(page)).request_id for number in range(100)]
        statuses = await here.all_of(ids)
        await there.all_of(ids)
        await here.drained()
        assert all(status.success for status in statuses)
        assert here.answers() == there.answers() == dict.fromkeys(ids, 1)
    assert site.gets[site.file_path(song_of(site))] == 1


async def test_a_killed_workers_requests_finish_on_the_other(on_kafka: MakeSettings, site: MediaSite) -> None:
    one, two = on_kafka(), on_kafka()
    async with open_client(one) as client, open_audio_process(one) as doomed:
        request = await client.ask(site.page(site.file(song_of(site), hold=1000)))
        await site.gate().reached.wait()
        async with open_audio_process(two):
            doomed.kill()
            await doomed.process.wait()
            site.gate().release()
            assert (await client.status(request)).success
            await client.drained()
        assert client.answers() == {request.request_id: 1}
