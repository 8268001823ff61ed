"""A chat's changes over WebSocket and server-sent events: a real server, and clients that are not ours."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.types import Message
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from audio_service.access.key_file import change_keys
from audio_service.access.keys import KeyList, new_key
from audio_service.access.scopes import Scope
from audio_service.api.deps import ApiDeps
from audio_service.api.events import Chat, EventStream
from audio_service.api.tickets import new_ticket, redeem
from audio_service.assets.hub import MAX_WAITING, Hub
from audio_service.assets.model import Asset, AssetState, Made, Output, Upload
from audio_service.assets.repository import open_assets
from audio_service.assets.repository.base import Claimed, Quota
from audio_service.assets.views import status_event
from audio_service.serving import open_listeners, serve_http
from common.errors import RateLimited, Unauthorized
from common.http.protocol import CONNECTION
from common.messages.base import utc_now, wire_time
from tests.unit.audio_service.api.library import open_deps
from tests.waiting import until

LEASE = timedelta(minutes=10)
HANDSHAKE = (
    "GET /ws/chats/c1 HTTP/1.1\r\nHost: HOST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENT = httpx.Timeout(None)
NOW = datetime(2026, 5, 16, 23, 6, 17, tzinfo=UTC)
MADE = Made((Output("audio", "audio/mp4", 9),), tuple(range(100)), 12_340)


@dataclass(frozen=True)
class Replica:
    """One process's API, served at `host`, and what it stands on."""

    deps: ApiDeps
    host: str
    stop: asyncio.Event

    @asynccontextmanager
    async def socket(self, chat: str = "c1", query: str = "", **options: Any) -> AsyncGenerator[ClientConnection]:  # noqa: ANN401 - what the client takes
        async with connect(
            f"ws://{self.host}/ws/chats/{chat}{query}",
            proxy=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=None,
            **options,
        ) as opened:
            yield opened

    async def tell(self, asset: Asset) -> None:
        event = status_event(asset, "")
        await self.deps.broker.publish(self.deps.settings.topic_asset_status, asset.asset_id, event.to_bytes(), {})


@asynccontextmanager
async def replica(root: Path, name: str = "one", **changes: object) -> AsyncGenerator[Replica]:
    settings = {"uploads": True, "http_port": 0, "instance_id": name, **changes}
    async with open_deps(root, **settings) as bare, open_assets(bare.settings) as assets:
        deps = replace(bare, assets=assets)
        stop = asyncio.Event()
        with open_listeners(deps.settings) as listeners:
            port = listeners.api.getsockname()[1]
            serving = asyncio.ensure_future(serve_http(deps, listeners, stop))
            try:
                yield Replica(deps, f"127.0.0.1:{port}", stop)
            finally:
                stop.set()
                await serving


async def upload(at: Replica, name: str, chat: str = "c1") -> Asset:
    """Create an asset whose file is there."""
    assets = at.deps.assets
    assert assets is not None
    asset = Asset(
        asset_id=str(uuid.uuid4()),
        kind="audio_message",
        state=AssetState.QUEUED,
        owner_id="o1",
        chat_id=chat,
        upload=Upload(name, 9, "audio/mp4", "00" * 32, NOW),
        created_at=utc_now(),
        updated_at=utc_now(),
    )
    await assets.create(asset, Quota(100, 100))
    return await assets.complete(asset.asset_id, "etag")


async def claim(at: Replica, asset: Asset) -> Claimed:
    assert at.deps.assets is not None
    claimed = await at.deps.assets.claim(asset.asset_id, LEASE)
    assert isinstance(claimed, Claimed)
    await at.tell(claimed.asset)
    return claimed


async def finish(at: Replica, claimed: Claimed) -> None:
    assert at.deps.assets is not None
    await at.tell(await at.deps.assets.mark_done(claimed.asset.asset_id, claimed.fence, MADE, message="Listo"))


async def lines_of(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def messages_of(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    async for text in socket:
        yield json.loads(text)


async def seen(messages: AsyncIterator[dict[str, Any]], asset_id: str, status: str) -> dict[str, Any]:
    """Read until an asset has this status."""
    async for message in messages:
        if (message["asset_id"], message["status"]) == (asset_id, status):
            return message
    raise AssertionError(f"ended before {status}")


async def test_two_replicas_tell_of_the_present_state_and_of_every_change(tmp_path: Path) -> None:
    async with (
        replica(tmp_path) as one,
        replica(tmp_path, "two") as two,
        httpx.AsyncClient(timeout=PATIENT) as http,
    ):
        before, other = await upload(one, "antes.m4a"), await upload(one, "otro.m4a", chat="c2")
        await finish(one, await claim(one, before))
        async with (
            one.socket() as socket,
            http.stream("GET", f"http://{two.host}/api/v1/chats/c1/events") as answer,
        ):
            assert answer.headers["content-type"] == "text/event-stream"
            sockets, lines = messages_of(socket), lines_of(answer)
            for messages, host in ((sockets, one.host), (lines, two.host)):
                assert await seen(messages, before.asset_id, "done") == {
                    "type": "chat_message_update",
                    "asset_id": before.asset_id,
                    "name": "antes.m4a",
                    "status": "done",
                    "url": f"http://{host}/api/v1/assets/{before.asset_id}/audio.m4a",
                    "waveform": list(range(100)),
                    "duration": 12.34,
                    "error_code": None,
                    "message": "Listo",
                    "created_at": wire_time(before.created_at),
                }
            # Neither is among the connections that may be given up for others.
            for at in (one, two):
                assert at.deps.registry.get_sample_value("butakero_http_connections") == 0

            new = await upload(two, "nueva.m4a")
            claimed = await claim(two, new)
            for messages in (sockets, lines):
                assert (await seen(messages, new.asset_id, "processing"))["url"] is None
            await claim(one, other)
            await finish(two, claimed)
            for messages in (sockets, lines):
                assert (await seen(messages, new.asset_id, "done"))["waveform"] == list(range(100))


async def test_the_process_ends_with_its_listeners(tmp_path: Path) -> None:
    async with (
        replica(tmp_path) as one,
        httpx.AsyncClient(timeout=PATIENT) as http,
        one.socket() as socket,
        http.stream("GET", f"http://{one.host}/api/v1/chats/c1/events") as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        one.stop.set()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert [line async for line in lines if line not in {"", ": ping"}] == []


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [("http://{host}", True), ("https://page.example", True), ("https://evil.example", False), ("null", False)],
)
async def test_pages_of_other_origins_are_refused(tmp_path: Path, origin: str, admitted: bool) -> None:  # noqa: FBT001 - a table's column
    async with replica(tmp_path, cors_origins="https://page.example") as one:
        headers = {"Origin": origin.format(host=one.host)}
        if admitted:
            async with one.socket(additional_headers=headers) as socket:
                await socket.send("is ignored")
                await (await socket.ping())
                await socket.send("is ignored")
            # Closed by both sides: the server reads on.
            assert socket.close_code == 1000
            return
        with pytest.raises(InvalidStatus) as refused:
            async with one.socket(additional_headers=headers):
                pass
        assert refused.value.response.status_code == 403


async def test_where_access_is_controlled_a_ticket_is_good_once_at_all_replicas(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key, other = (key_for(keys, scope) for scope in ("assets:read", "media:read"))
    async with (
        replica(tmp_path, api_keys_file=keys) as one,
        replica(tmp_path, "two", api_keys_file=keys) as two,
        httpx.AsyncClient(timeout=PATIENT) as http,
    ):
        tickets, events = f"http://{one.host}/api/v1/tickets", f"http://{two.host}/api/v1/chats/c1/events"
        assert (await http.post(tickets)).status_code == 401
        assert (await http.post(tickets, headers={"X-API-Key": other})).status_code == 403
        issued = await http.post(tickets, headers={"X-API-Key": key})
        assert (issued.status_code, len(issued.json()["ticket"])) == (201, 43)
        # These live longer, for a busy machine.
        first, second = [await new_ticket(one.deps.repository, life=LEASE) for _ in range(2)]

        for query in ("", "?ticket=unknown"):
            assert (await http.get(f"{events}{query}")).status_code == 401
            assert await refusal(two, query) == 401
        async with two.socket(query=f"?ticket={first}"):
            assert await refusal(one, f"?ticket={first}") == 401
        async with http.stream("GET", f"{events}?ticket={second}") as answer:
            assert answer.status_code == 200
            assert await refusal(one, f"?ticket={second}") == 401
        async with one.socket(additional_headers={"X-API-Key": key}):
            pass
        with pytest.raises(Unauthorized):
            await redeem(one.deps.repository, await new_ticket(one.deps.repository, life=timedelta(0)))


def key_for(path: Path, scope: str) -> str:
    made = new_key("test", [cast("Scope", scope)], now=datetime.now(UTC), expires_at=None)
    change_keys(path, lambda kept: KeyList(keys=(*kept.keys, made.kept)))
    return made.text


async def refusal(at: Replica, query: str) -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with at.socket(query=query):
            pass
    return refused.value.response.status_code


async def test_an_address_that_is_no_chats_is_refused(tmp_path: Path) -> None:
    async with replica(tmp_path) as one:
        with pytest.raises(InvalidStatus) as refused:
            async with one.socket(chat="a%20b"):
                pass
        assert refused.value.response.status_code == 400


class Stuck:
    """A connection whose client does not read: sending waits until it is closed."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.lent = self.closed = False

    def lend(self) -> None:
        self.lent = True

    def close(self) -> None:
        self.closed = True

    async def receive(self) -> Message:
        return await asyncio.get_running_loop().create_future()

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        await self.reads.wait()


async def test_a_reader_that_is_too_slow_is_cut_and_the_others_are_not(tmp_path: Path) -> None:
    async with replica(tmp_path) as one:
        hub, stuck = Hub(), Stuck()
        scope = {"type": "http", CONNECTION: stuck}
        response = EventStream(Chat(one.deps, hub, "c1", ""))
        asset = await upload(one, "nota.m4a")
        with hub.listen("c1") as reader:
            sending = asyncio.ensure_future(response(scope, stuck.receive, stuck.send))
            await until(lambda: len(stuck.sent) == 3)
            stuck.reads.clear()
            for _ in range(MAX_WAITING + 2):
                hub.publish(asset)
                await reader.take()
            hub.publish(asset)
            await sending
            assert (stuck.lent, stuck.closed, len(hub)) == (True, True, 1)
            assert (len(await reader.take()), reader.ended) == (1, False)
        assert len(hub) == 0


async def test_a_socket_that_is_not_read_is_closed(tmp_path: Path) -> None:
    async with replica(tmp_path) as one:
        loop, address = asyncio.get_running_loop(), one.host.split(":")
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.setblocking(False)  # noqa: FBT003 - the socket's own
            await loop.sock_connect(silent, (address[0], int(address[1])))
            await loop.sock_sendall(silent, HANDSHAKE.replace("HOST", one.host).encode())
            assert (await loop.sock_recv(silent, 12)) == b"HTTP/1.1 101"

            claimed = await claim(one, await upload(one, "nota.m4a"))
            assert one.deps.assets is not None
            words = "x" * 200_000
            failed = await one.deps.assets.mark_failed(
                claimed.asset.asset_id, claimed.fence, error_code="file_corrupt", message=words
            )
            for _ in range(100):
                await one.tell(failed)
            last = await upload(one, "otra.m4a", chat="c2")
            async with one.socket(chat="c2") as reader:
                await claim(one, last)
                await seen(messages_of(reader), last.asset_id, "processing")

            received = 0
            with suppress(ConnectionError):
                while part := await loop.sock_recv(silent, 1 << 20):
                    received += len(part)
            assert received < 100 * len(words)


async def test_listeners_are_bounded_and_none_is_admitted_at_the_end() -> None:
    hub = Hub(limit=1)
    with hub.listen("c1") as listener:
        with pytest.raises(RateLimited), hub.listen("c2"):
            pass
        hub.close()
        assert await listener.take() == []
    with pytest.raises(RateLimited), hub.listen("c1"):
        pass
