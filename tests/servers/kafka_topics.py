"""What an operator does to topics, by aiokafka's admin client: the adapter under test has no such operations."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

# Unchecked for one reason: the library has no type stubs.
from aiokafka import AIOKafkaClient, AIOKafkaProducer  # pyright: ignore[reportMissingTypeStubs] - see above
from aiokafka.admin import (  # pyright: ignore[reportMissingTypeStubs] - see above
    AIOKafkaAdminClient,
    NewPartitions,
    NewTopic,
)
from aiokafka.admin.config_resource import (  # pyright: ignore[reportMissingTypeStubs] - see above
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import KafkaError  # pyright: ignore[reportMissingTypeStubs] - see above


async def takes_work(bootstrap: str) -> bool:
    """Whether the broker names itself to clients, as it does only while its controller knows that it is alive."""
    client: Any = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except KafkaError:
        return False
    finally:
        await client.close()


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncGenerator[Any]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create_topic(bootstrap: str, topic: str, **configs: str) -> None:
    """Create a topic with one partition."""
    async with _admin(bootstrap) as admin:
        await admin.create_topics(
            [NewTopic(topic, 1, 1, topic_configs={k.replace("_", "."): v for k, v in configs.items()})]
        )


async def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete a topic."""
    async with _admin(bootstrap) as admin:
        await admin.delete_topics([topic])


async def add_partitions(bootstrap: str, topic: str, total: int) -> None:
    """Raise the number of the topic's partitions to `total`."""
    async with _admin(bootstrap) as admin:
        await admin.create_partitions({topic: NewPartitions(total)})


async def partitions_of(bootstrap: str, topic: str) -> int:
    """Return how many partitions the topic has."""
    async with _admin(bootstrap) as admin:
        (described,) = await admin.describe_topics([topic])
        return len(described["partitions"])


async def config_of(bootstrap: str, topic: str) -> dict[str, str]:
    """Return the topic's configuration."""
    async with _admin(bootstrap) as admin:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((_, _, _, _, entries),) = answer.resources
        return {entry[0]: entry[1] for entry in entries}


async def publish_raw(
    bootstrap: str, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, Any]]
) -> None:
    """Publish without the checks of the adapter's publisher."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key, headers=headers)
    finally:
        await producer.stop()
