"""The audio service on Kafka and MongoDB, for whoever measures it on embedded backends, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.songs import Songs
from bench.ways import DEFAULT_LEASES, Ours
from tests.servers.clustered import open_clustered
from tests.servers.kafka import Kafka, open_shared_kafka
from tests.servers.missing import ProgramMissing
from tests.servers.mongo import Mongo, open_shared_mongo
from tests.servers.system import open_audio_process


class NotHereError(Exception):
    """One of the servers cannot be had on this machine; `str()` says what is missing."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One broker and one database, which serve many services, one after the other."""

    kafka: Kafka
    mongo: Mongo

    @asynccontextmanager
    async def open_ours(self, directory: Path, songs: Songs, **overrides: object) -> AsyncGenerator[Ours]:
        """As `ways.open_ours`, with topics and a database of its own."""
        await asyncio.to_thread(directory.mkdir)
        async with (
            open_clustered(directory, songs.site, self.kafka, self.mongo) as (system, client),
            open_audio_process(system.settings(**{**DEFAULT_LEASES, **overrides})) as service,
        ):
            yield Ours(service.process.pid, client, service.url)


@asynccontextmanager
async def open_cluster() -> AsyncGenerator[Cluster]:
    """Start the servers, or take those that the environment names. Raises NotHereError."""
    try:
        async with open_shared_kafka() as kafka, open_shared_mongo() as mongo:
            yield Cluster(kafka, mongo)
    except (ProgramMissing, FileNotFoundError) as exc:
        raise NotHereError(str(exc)) from exc
