"""Settings of whole systems on Kafka and MongoDB, each with separate topics, database, files and ports."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audio_service.settings import AudioSettings
from tests.servers.kafka import Kafka
from tests.servers.media_site import MediaSite
from tests.servers.mongo import Mongo, fresh_database
from tests.servers.ports import free_port
from tests.servers.system import Client, open_client, settings_for

KEYS = ("a", "d", "c", "f")
"""Keys of messages, one for each of four partitions: Kafka's own way to choose one (murmur2) is fixed."""


@dataclass(frozen=True, slots=True)
class Clustered:
    """One system: what its processes have in common."""

    directory: Path
    site: MediaSite
    kafka: Kafka
    mongo: Mongo
    database: str
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def settings(self, **overrides: Any) -> AudioSettings:  # noqa: ANN401 - any setting
        """Return the settings of one process, with its own port."""
        database = self.mongo.settings(self.database)
        values: dict[str, Any] = {
            **{key: getattr(database, key) for key in database.model_fields_set},
            "http_port": free_port(),
            "messaging_backend": "kafka",
            "kafka_brokers": self.kafka.bootstrap,
            "kafka_partitions": len(KEYS),
            "topic_download_requests": f"{self.name}.requests",
            "topic_download_status": f"{self.name}.status",
            "topic_download_progress": f"{self.name}.progress",
            **overrides,
        }
        return settings_for(self.directory, self.site.address, **values)


@asynccontextmanager
async def open_clustered(
    directory: Path, site: MediaSite, kafka: Kafka, mongo: Mongo
) -> AsyncGenerator[tuple[Clustered, Client]]:
    """Name a new system and join it as its client. Starts none of its processes."""
    async with fresh_database(mongo) as database:
        system = Clustered(directory, site, kafka, mongo, database)
        async with open_client(system.settings()) as client:
            yield system, client


def copies(site: MediaSite, count: int) -> list[Path]:
    """Add `count` songs to the site that differ only in name."""
    original = next(site.directory.glob("*opus*"))
    songs = [site.directory / f"song-{number}.webm" for number in range(count)]
    for song in songs:
        song.hardlink_to(original)
    return songs


def spread(positions: Iterable[str]) -> dict[int, int]:
    """Count messages by partition, from positions as `Message.position` has them."""
    numbers = [int(position.partition(":")[0]) for position in positions]
    return {number: numbers.count(number) for number in sorted(set(numbers))}
