from __future__ import annotations

import asyncio

import pytest

from audio_service.api.middleware import MAX_HEADER_BYTES
from common.http.protocol import MAX_HEAD_BYTES
from tests.unit.audio_service.api.library import Api, served


@pytest.mark.parametrize("start", [b"GET /", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: "], ids=["path", "header"])
async def test_a_head_without_end_is_refused(api: Api, start: bytes) -> None:
    async with served(api.app) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(start)
        sent = 0
        try:
            while sent < 100 * MAX_HEAD_BYTES:
                writer.write(b"a" * 8192)
                sent += 8192
                await writer.drain()
            pytest.fail("the server takes a head of any size")
        except ConnectionError:
            pass
        writer.close()
        assert sent < 100 * MAX_HEAD_BYTES
        del reader


async def test_a_large_head_below_the_limit_is_served_and_limits_are_per_request(api: Api) -> None:
    async with served(api.app) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        for _ in range(3):
            request = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + long_headers(MAX_HEAD_BYTES - 1000) + b"\r\n"
            for start in range(0, len(request), 5000):
                writer.write(request[start : start + 5000])
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(len(b'{"alive":true}'))
        writer.close()
        await writer.wait_closed()


def long_headers(size: int) -> bytes:
    """Header lines of `size` bytes in all, each value within the limit."""
    line = b"X-Long: " + b"a" * MAX_HEADER_BYTES + b"\r\n"
    return line * (size // len(line))


async def test_an_upgrade_to_websockets_is_ignored(api: Api) -> None:
    request = (
        b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with served(api.app) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request)
        assert not (await reader.readline()).startswith(b"HTTP/1.1 101")
        writer.close()
        await writer.wait_closed()
