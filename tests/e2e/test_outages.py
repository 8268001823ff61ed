"""Kafka and MongoDB away: at the start, for a while, or there and silent. The service lives on, and says what is wrong.

`FULL=1` lets an outage last a minute.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import pytest_asyncio

from audio_service.settings import AudioSettings
from common.broker import open_broker
from common.errors import BrokerUnavailable
from tests.e2e.cli_program import Place
from tests.reporting import TABLES, Table
from tests.servers.clustered import Clustered, copies, open_clustered
from tests.servers.kafka import Kafka, open_kafka
from tests.servers.media_site import open_media_site
from tests.servers.mongo import Mongo, open_mongo
from tests.servers.ports import free_port
from tests.servers.system import Client, ServiceProcess, environment_of, open_audio_process, settings_for
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

AWAY_SECONDS = 60.0 if os.environ.get("FULL") == "1" else 4.0
SOON_SECONDS = 1.5
"""How long is waited for a broker by those that are to find it gone."""
Server = Literal["kafka", "mongo_db"]
BOTH: tuple[Server, Server] = ("kafka", "mongo_db")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_kafka() -> AsyncGenerator[Kafka]:
    async with open_kafka() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_mongo() -> AsyncGenerator[Mongo]:
    async with open_mongo() as running:
        yield running


@pytest.fixture(scope="module")
def survived(pytestconfig: pytest.Config) -> Table:
    table = Table(
        f"outages of {AWAY_SECONDS:g} s and more",
        ("away", "accepted", "answered", "twice", "refused", "refused and answered", "ready again after"),
    )
    pytestconfig.stash.setdefault(TABLES, []).append(table)
    return table


@dataclass(slots=True)
class System:
    """One system whose servers can be killed."""

    cluster: Clustered
    client: Client

    async def kill(self, name: Server) -> None:
        if name == "kafka":
            await self.cluster.kafka.kill()
        else:
            await self.cluster.mongo.kill(self.cluster.mongo.members[0])

    async def start(self, name: Server) -> None:
        """Start it unless it runs."""
        member = self.cluster.mongo.members[0]
        if name == "kafka":
            await self.cluster.kafka.revive()
        elif member.process is None:
            await self.cluster.mongo.restart(member)

    def settings(self, **overrides: Any) -> AudioSettings:  # noqa: ANN401 - any setting
        return self.cluster.settings(kafka_timeout_seconds=SOON_SECONDS, **overrides)


@pytest_asyncio.fixture(loop_scope="module")
async def system(tmp_path: Path, media: Path, own_kafka: Kafka, own_mongo: Mongo) -> AsyncGenerator[System]:
    async with (
        open_media_site(media) as site,
        open_clustered(tmp_path, site, own_kafka, own_mongo) as (cluster, client),
    ):
        running = System(cluster, client)
        try:
            yield running
        finally:
            for name in BOTH:
                await running.start(name)


@dataclass(slots=True)
class Asker:
    """Asks for the same song again and again, and knows what became of each request."""

    client: Client
    song: str
    accepted: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        while True:
            request = await self.client.ask(self.song, times=0)
            try:
                await self.client.publish(request.to_bytes(), request.request_id)
            except BrokerUnavailable:
                self.refused.append(request.request_id)
            else:
                self.accepted.append(request.request_id)
            await asyncio.sleep(0.05)  # not a wait: the pace at which somebody asks, which the workers keep up with

    async def accepted_more(self) -> None:
        """Wait until one more request is accepted."""
        before = len(self.accepted)

        async def accepted() -> bool:
            return len(self.accepted) > before

        await until(accepted)


@asynccontextmanager
async def asking(settings: AudioSettings, song: str) -> AsyncGenerator[Asker]:
    """Go on asking during the block."""
    async with open_broker(settings) as broker:
        asker = Asker(Client(broker, settings, "asks and does not listen"), song)
        running = asyncio.ensure_future(asker.run())
        try:
            yield asker
        finally:
            running.cancel()
            await asyncio.wait({running})


async def probe(audio: ServiceProcess) -> tuple[int, int, dict[str, bool]]:
    """Return the status codes of /livez and /readyz, and what /readyz says of each dependency."""
    async with httpx.AsyncClient(base_url=audio.url, timeout=10) as http:
        alive = await http.get("/livez")
        ready = await http.get("/readyz")
    return alive.status_code, ready.status_code, ready.json()["services"]


def without(*missing: Server) -> tuple[int, int, dict[str, bool]]:
    """Return what the probes are to say while these are away."""
    return 200, 503 if missing else 200, {"local_storage": True, **{name: name not in missing for name in BOTH}}


def says(audio: ServiceProcess, expected: tuple[int, int, dict[str, bool]]) -> Callable[[], Awaitable[bool]]:
    async def said() -> bool:
        return await probe(audio) == expected

    return said


@pytest.mark.parametrize("away", [("kafka",), ("mongo_db",), BOTH], ids="-".join)
async def test_servers_that_are_down_at_the_start_are_waited_for(system: System, away: tuple[Server, ...]) -> None:
    site = system.cluster.site
    early, late = (site.page(site.file(song)) for song in copies(site, 2))
    request = await system.client.ask(early)
    for name in away:
        await system.kill(name)
    async with open_audio_process(system.settings(), probe="livez") as audio:
        assert await probe(audio) == without(*away)
        async with httpx.AsyncClient(base_url=audio.url, timeout=10) as http:
            shown = (await http.get("/api/v1/health")).json()["services"]
        assert {name for name, service in shown.items() if service["status"] == "no saludable"} == set(away)
        for name in away:
            await system.start(name)
        await until(says(audio, without()))
        assert (await system.client.status(request)).success
        assert (await system.client.status(await system.client.ask(late))).success
        await system.client.drained()
        assert audio.process.returncode is None
        assert await audio.terminate() == 0


@pytest.mark.parametrize("away", BOTH)
async def test_a_server_that_goes_away_for_a_while_costs_no_accepted_request(
    system: System, survived: Table, away: Server
) -> None:
    site = system.cluster.site
    first, second = copies(site, 2)
    known, slow = site.page(site.file(first)), site.page(site.file(second, hold=1000))
    client, cluster = system.client, system.cluster
    # Who asks is to hear soon that the broker has gone, and to be as patient as ever with one that is there and slow.
    asks = cluster.settings(**{"kafka_timeout_seconds": SOON_SECONDS} if away == "kafka" else {})
    async with open_audio_process(system.settings()) as audio:
        await client.status(await client.ask(known))
        in_hand = await client.ask(slow)
        await site.gate().reached.wait()
        async with asking(asks, known) as asker:
            async with client.heard:
                await client.heard.wait_for(lambda: len(client.answers()) > 5)
            began = time.monotonic()
            await system.kill(away)
            await until(says(audio, without(away)))
            site.gate().release()
            while time.monotonic() - began < AWAY_SECONDS:
                assert await probe(audio) == without(away)
            await system.start(away)
            back = time.monotonic()
            await until(says(audio, without()))
            recovered = time.monotonic() - back
            await asker.accepted_more()
        statuses = await client.all_of([in_hand.request_id, *asker.accepted])
        assert all(status.success for status in statuses)
        await client.drained()
        assert audio.process.returncode is None
        assert await audio.terminate() == 0
    answers = client.answers()
    figures = [
        len(asker.accepted),
        sum(answers[request_id] > 0 for request_id in asker.accepted),
        sum(answers[request_id] > 1 for request_id in asker.accepted),
        len(asker.refused),
        sum(answers[request_id] > 0 for request_id in asker.refused),
    ]
    survived.rows.append((away, *map(str, figures), f"{recovered:.1f} s"))
    # Kafka refuses while it is away; the library's absence is no reason to refuse anybody.
    assert bool(asker.refused) == (away == "kafka")


async def test_a_silent_broker_is_named(system: System) -> None:
    async with open_audio_process(system.settings()) as audio:
        with system.cluster.kafka.frozen():
            await until(says(audio, without("kafka")))
        await until(says(audio, without()))


async def test_asking_a_broker_that_is_away_is_one_clear_line(tmp_path: Path) -> None:
    nobody = {"messaging_backend": "kafka", "kafka_brokers": f"127.0.0.1:{free_port()}"}
    settings = settings_for(tmp_path, **nobody, kafka_timeout_seconds=SOON_SECONDS)
    place = Place(tmp_path, {**environment_of(settings), "LOCALE": "en"})
    for command in (("request", "--json", "a song"), ("dlq", "list")):
        done = await asyncio.to_thread(place.run, *command)
        assert (done.returncode, done.stdout) == (1, ""), done
        line = done.stderr.splitlines()[-1]
        assert "broker_unavailable" in line, done
        assert "KAFKA_BROKERS" in line, done
        assert len(done.stderr.splitlines()) == 1 + (command[0] == "request"), done
