"""A start that is cancelled while it waits for the cluster's metadata leaves no connection open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from common.broker.kafka.connection import connection_options
from common.broker.kafka.library import connect, new_client, new_consumer, new_producer
from common.settings import SharedSettings

_API_VERSIONS = 18


class SilentBroker:
    """Says which requests it knows, and answers no other. `asked` and `left` are set when they are."""

    def __init__(self) -> None:
        self.port = 0
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while size := await reader.read(4):
            request = await reader.readexactly(int.from_bytes(size, "big"))
            if int.from_bytes(request[:2], "big") != _API_VERSIONS:
                self.asked.set()
                continue
            # Correlation id, no error, and versions 0 to 1 of the requests 0 to 49.
            answer = request[4:8] + bytes(2) + (50).to_bytes(4, "big")
            answer += b"".join(key.to_bytes(2, "big") + bytes(3) + b"\x01" for key in range(50))
            writer.write(len(answer).to_bytes(4, "big") + answer)
        writer.close()
        self.left.set()


@asynccontextmanager
async def open_silent_broker() -> AsyncGenerator[SilentBroker]:
    broker = SilentBroker()
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        broker.port = server.sockets[0].getsockname()[1]
        yield broker


async def start_client(options: dict[str, Any]) -> None:
    client = new_client(options)
    try:
        await connect(client.bootstrap())
    finally:
        await client.close()


async def start_producer(options: dict[str, Any]) -> None:
    producer = new_producer(options, max_request_bytes=1000)
    try:
        await connect(producer.start())
    finally:
        await producer.stop()


async def start_consumer(options: dict[str, Any]) -> None:
    consumer = new_consumer(options, "group")
    try:
        await connect(consumer.start())
    finally:
        await consumer.stop()


@pytest.mark.parametrize("start", [start_client, start_producer, start_consumer])
async def test_a_cancelled_start_leaves_no_connection_open(
    start: Callable[[dict[str, Any]], Coroutine[Any, Any, None]],
) -> None:
    async with open_silent_broker() as broker:
        settings = SharedSettings(kafka_brokers=f"127.0.0.1:{broker.port}", kafka_timeout_seconds=300)
        starting = asyncio.create_task(start(connection_options(settings)))
        await broker.asked.wait()
        starting.cancel()
        await broker.left.wait()
        await asyncio.wait({starting})
        assert starting.cancelled()
