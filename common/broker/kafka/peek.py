"""Looking at a topic's retained messages without joining a group."""

from __future__ import annotations

import asyncio

from common.broker.base import Message
from common.broker.kafka.cluster import Cluster
from common.broker.kafka.deliveries import to_message
from common.broker.kafka.failures import said
from common.broker.kafka.library import Consumer, Record, TopicPartition, kafka_errors, new_consumer
from common.errors import BrokerUnavailable

_POLL_MS = 200


async def peek(cluster: Cluster, topic: str, limit: int) -> list[Message]:
    """Return up to `limit` messages, oldest first by the time the brokers wrote them down.

    Raises:
        BrokerUnavailable: out of reach, or not read in time.
    """
    partitions = await cluster.partitions(topic)
    if not partitions or limit < 1:
        return []
    begins = await cluster.offsets(topic, partitions, latest=False)
    ends = await cluster.offsets(topic, partitions, latest=True)
    left = {number: min(ends[number], begins[number] + limit) for number in partitions if ends[number] > begins[number]}
    if not left:
        return []
    consumer = new_consumer(cluster.options, None)
    try:
        async with asyncio.timeout(cluster.timeout_seconds):
            await consumer.start()
            records = await _read(consumer, topic, begins, left)
    except (kafka_errors.KafkaError, TimeoutError) as exc:
        raise BrokerUnavailable(f"looking at {topic}: {said(exc)}") from exc
    finally:
        await consumer.stop()
    records.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
    return [to_message(topic, record) for record in records[:limit]]


async def _read(consumer: Consumer, topic: str, begins: dict[int, int], left: dict[int, int]) -> list[Record]:
    """Read each partition up to (not including) the offset in `left`."""
    places = {TopicPartition(topic, number): end for number, end in left.items()}
    consumer.assign(list(places))
    for place in places:
        consumer.seek(place, begins[place.partition])
    found: list[Record] = []
    while places:
        for place, records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=500)).items():
            end = places.get(place, 0)
            found += [record for record in records if record.offset < end]
            if records and records[-1].offset >= end - 1:
                places.pop(place, None)
                consumer.pause(place)
    return found
