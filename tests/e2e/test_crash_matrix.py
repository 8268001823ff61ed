"""The service on Kafka and MongoDB while what it stands on dies in the middle of a burst: the rows of the crash matrix
beside the workers' (test_crashes.py).

When a case strikes, one song is answered, two are in hand and the rest waits, most of them asked for three times. The
downloads end in the outage, and nothing is mended before the service has noticed (where it has to).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from audio_service.pipelines.download import DOWNLOADS
from audio_service.settings import AudioSettings
from common.broker import open_broker
from tests.e2e.crash_matrix import Case, Expected
from tests.reporting import Table
from tests.servers.clustered import Clustered, copies
from tests.servers.kafka import Kafka, open_kafka
from tests.servers.media_site import MediaSite
from tests.servers.mongo import Mongo, fresh_database, open_mongo
from tests.servers.network import Forwarder, open_forwarder
from tests.servers.ports import free_port
from tests.servers.system import Client, open_audio_process, open_client
from tests.waiting import until

SONGS = 5
TIMES = 3
GATES = ("first", "second")
QUERIES: tuple[dict[str, str | int], ...] = ({}, *({"hold": 1000, "gate": gate} for gate in GATES))
PATIENCE_SECONDS = 2.0
"""Of the service with Kafka, where an outage is to outlast it."""

_HANDED_BACK = re.compile(
    r'^butakero_deliveries_handed_back_total\{pipeline="download",'
    r'reason="(broker_unavailable|db_connection_failed)"\} [1-9]',
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def detour_port() -> int:
    """The port of the forwarders in front of Kafka, which the broker has to know from its start."""
    return free_port()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_kafka(detour_port: int) -> AsyncGenerator[Kafka]:
    async with open_kafka(forwarder=f"127.0.0.1:{detour_port}") as running:
        yield running


@pytest.fixture
async def mortal(own_kafka: Kafka) -> Kafka:
    """A broker that these tests have for themselves."""
    await own_kafka.revive()
    return own_kafka


@dataclass(frozen=True, slots=True)
class Scene:
    """What every case has: files of its own, a site, and the table."""

    directory: Path
    site: MediaSite
    tables: list[Table]

    def system(self, kafka: Kafka, mongo: Mongo, database: str) -> Clustered:
        """Name a system."""
        return Clustered(self.directory, self.site, kafka, mongo, database)


@pytest.fixture
def scene(tmp_path: Path, site: MediaSite, tables: list[Table]) -> Scene:
    """A place for one case."""
    return Scene(tmp_path, site, tables)


def settings_of(system: Clustered, **overrides: Any) -> AudioSettings:  # noqa: ANN401 - any setting
    """Two jobs at a time; leases that outlive the outage, as a lost one is another worker's right to begin anew."""
    return system.settings(num_workers=len(GATES), lease_seconds=6.0, **{"kafka_timeout_seconds": 30.0, **overrides})


@dataclass(frozen=True, slots=True)
class Burst:
    """A burst of requests on a running service, about to lose something that it stands on."""

    service: AudioSettings
    site: MediaSite

    async def struck(self, strike: Awaitable[object]) -> None:
        """Break something while two downloads run, and let them end in the outage."""
        await strike
        for gate in GATES:
            self.site.gate(gate).release()

    async def noticed(self) -> None:
        """Wait until the service says that it is not ready."""
        await self._shown("/readyz", lambda answer: answer.is_server_error)

    async def given_up(self) -> None:
        """Wait until the outage has outlasted the service's patience: work was handed back because of it."""
        await self._shown("/metrics", lambda answer: bool(_HANDED_BACK.search(answer.text)))

    async def _shown(self, path: str, wanted: Callable[[httpx.Response], bool]) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as http:

            async def seen() -> bool:
                return wanted(await http.get(path))

            await until(seen)

    @property
    def _url(self) -> str:
        return f"http://{self.service.http_host}:{self.service.http_port}"

    async def finished(self) -> None:
        """Wait until the service has nothing left to do."""
        async with open_broker(self.service) as broker:

            async def done() -> bool:
                return not await broker.lag(self.service.topic_download_requests, DOWNLOADS.group)

            await until(done)


@asynccontextmanager
async def open_burst(struck: str, service: AudioSettings, asker: AudioSettings, scene: Scene) -> AsyncGenerator[Burst]:
    """Ask `service` for songs over `asker`'s connections; leaving waits for every answer and looks at what is left."""
    songs = copies(scene.site, SONGS)
    async with open_client(asker) as client, open_audio_process(service) as audio:
        ids = await ask_for(songs, client, scene.site)
        began = time.monotonic()
        yield Burst(service, scene.site)
        statuses = await client.all_of(ids)
        seconds = time.monotonic() - began
        assert all(status.success for status in statuses), statuses
        await client.drained()
        assert await audio.terminate() == 0
        await Case(struck, asker, scene.site, songs, ids).judge(
            client, scene.tables, expected=Expected(), seconds=seconds
        )


async def ask_for(songs: list[Path], client: Client, site: MediaSite) -> list[str]:
    """Ask for each song, again and again; return when one is answered, two are in hand and the rest waits behind them.

    Nothing is between its status and the record of it then, where a failure would cost a second status.
    """
    answered, *held = [site.page(site.file(song, **query)) for song, query in zip(songs, QUERIES, strict=False)]
    ids = [(await client.ask(answered)).request_id for _ in range(TIMES)]
    await client.all_of(ids)
    await client.drained()
    for page, gate in zip(held, GATES, strict=True):
        ids.append((await client.ask(page)).request_id)
        await site.gate(gate).reached.wait()
    again = [*held * (TIMES - 1), *(site.page(site.file(song)) for song in songs[len(QUERIES) :])]
    ids += [(await client.ask(page)).request_id for page in again]
    return ids


async def test_the_broker_dies_and_comes_back(mortal: Kafka, mongo: Mongo, scene: Scene) -> None:
    async with fresh_database(mongo) as database:
        settings = settings_of(scene.system(mortal, mongo, database))
        async with open_burst("Kafka's broker (and started again)", settings, settings, scene) as burst:
            await burst.struck(mortal.kill())
            await burst.noticed()
            await mortal.start()


async def test_mongodbs_primary_dies(kafka: Kafka, scene: Scene) -> None:
    async with open_mongo(members=3) as mongo:
        settings = settings_of(scene.system(kafka, mongo, "library"))
        async with open_burst("MongoDB's primary (of three members)", settings, settings, scene) as burst:
            await burst.struck(mongo.kill_primary())


@dataclass(frozen=True, slots=True)
class Wire:
    """The service's network to one of its servers, in a forwarder's hands; the client's is whole.

    Attributes:
        way: settings that lead through the forwarder.
        impatience: what else makes the service give up soon, where it is more patient than MongoDB's steps.
    """

    server: str
    forwarder: Forwarder
    system: Clustered
    way: dict[str, Any]
    impatience: dict[str, Any]


@pytest.fixture(params=["Kafka", "MongoDB"])
async def wire(  # noqa: PLR0913, PLR0917 - the servers are fixtures of the session, one a parameter
    request: pytest.FixtureRequest, mortal: Kafka, detour_port: int, kafka: Kafka, mongo: Mongo, scene: Scene
) -> AsyncGenerator[Wire]:
    async with fresh_database(mongo) as database:
        if request.param == "Kafka":
            async with open_forwarder(mortal.detour, detour_port) as forwarder:
                impatience = {"kafka_timeout_seconds": PATIENCE_SECONDS}
                system = scene.system(mortal, mongo, database)
                yield Wire("Kafka", forwarder, system, {"kafka_brokers": forwarder.address}, impatience)
            return
        primary = await mongo.primary()
        async with open_forwarder(primary.host, free_port()) as forwarder:
            way = {"mongo_host": forwarder.address, "mongo_direct_connection": True}
            yield Wire("MongoDB", forwarder, scene.system(kafka, mongo, database), way, {})


async def test_the_services_network_is_cut_for_longer_than_it_waits(wire: Wire, scene: Scene) -> None:
    service, asker = settings_of(wire.system, **wire.way, **wire.impatience), settings_of(wire.system)
    async with open_burst(f"service's network to {wire.server}, cut", service, asker, scene) as burst:
        await burst.struck(wire.forwarder.cut())
        await burst.noticed()
        await burst.given_up()
        await wire.forwarder.restore()


async def test_the_services_network_is_silent_for_a_while(wire: Wire, scene: Scene) -> None:
    service, asker = settings_of(wire.system, **wire.way), settings_of(wire.system)
    async with open_burst(f"service's network to {wire.server}, silent", service, asker, scene) as burst:
        await burst.struck(wire.forwarder.hang())
        await burst.noticed()
        await wire.forwarder.restore()


async def test_the_bots_network_is_cut_until_all_is_done(
    mortal: Kafka, detour_port: int, mongo: Mongo, scene: Scene
) -> None:
    async with fresh_database(mongo) as database, open_forwarder(mortal.detour, detour_port) as forwarder:
        system = scene.system(mortal, mongo, database)
        bot = settings_of(system, kafka_brokers=forwarder.address)
        async with open_burst("bot's network to Kafka, cut", settings_of(system), bot, scene) as burst:
            await burst.struck(forwarder.cut())
            await burst.finished()
            await forwarder.restore()
