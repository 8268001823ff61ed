from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest
from prometheus_client import CollectorRegistry

from audio_service.api.middleware import MAX_HEADER_BYTES
from common.http.connections import MAX_CONNECTIONS, Connections
from common.http.protocol import MAX_HEAD_BYTES
from tests.unit.audio_service.api.library import Api, served
from tests.waiting import patience, until


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


async def test_a_silent_or_slow_connection_ends_and_is_counted(api: Api) -> None:
    """No byte, half a head, and a body that does not come: each costs a descriptor until it is closed."""
    registry = CollectorRegistry()
    connections = Connections(registry)
    async with served(api.app, connections, head_seconds=0.2) as (host, port):
        for sent in (b"", b"\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\n", _WITHOUT_ITS_BODY):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            async with asyncio.timeout(patience()):
                with contextlib.suppress(ConnectionError):
                    await reader.read()
            writer.close()
        await until(lambda: registry.get_sample_value("butakero_http_connections") == 0)
    closed = {"reason": "head_timeout"}
    assert registry.get_sample_value("butakero_http_connections_closed_total", closed) == 4


_WITHOUT_ITS_BODY = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


async def test_silent_connections_beyond_the_limit_make_room_for_requests(api: Api) -> None:
    registry = CollectorRegistry()
    connections = Connections(registry, limit=4)
    async with served(api.app, connections) as (host, port), contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            _, writer = await asyncio.open_connection(host, port)
            stack.callback(writer.close)
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://{host}:{port}/livez")).status_code == 200
        open_ones = registry.get_sample_value("butakero_http_connections")
        assert open_ones is not None
        assert open_ones <= 4
        closed = {"reason": "limit"}
        await until(lambda: registry.get_sample_value("butakero_http_connections_closed_total", closed) == 17)


def test_the_limit_leaves_descriptors_for_songs(monkeypatch: pytest.MonkeyPatch) -> None:
    for descriptors, limit in ((256, 85), (1024, 341), (10, 8), (1 << 20, MAX_CONNECTIONS)):

        def limits(_: int, soft: int = descriptors) -> tuple[int, int]:
            return soft, soft

        monkeypatch.setattr("resource.getrlimit", limits)
        assert Connections().limit == limit


def test_where_all_are_answered_a_further_one_is_refused() -> None:
    connections = Connections(limit=2)
    busy, idle, more = _Counted(idle=False), _Counted(idle=True), _Counted(idle=False)
    assert connections.admit(busy)
    assert connections.admit(idle)
    assert connections.admit(more)
    assert (busy.closed, idle.closed) == (False, True)
    assert not connections.admit(_Counted(idle=True))
    connections.remove(busy)
    assert connections.admit(_Counted(idle=True))


class _Counted:
    """A connection without a socket."""

    def __init__(self, *, idle: bool) -> None:
        self.is_idle = idle
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nhost: a\r\n"])
async def test_a_request_names_exactly_one_host(api: Api, hosts: bytes) -> None:
    async with served(api.app) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /livez HTTP/1.1\r\n" + hosts + b"Content-Length: 2\r\n\r\nxx")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert b"HTTP/1.1" not in await reader.read()
        writer.close()
        old_reader, old_writer = await asyncio.open_connection(host, port)
        old_writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
        assert (await old_reader.readline()).endswith(b"200 OK\r\n")
        old_writer.close()
