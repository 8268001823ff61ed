"""One stream without a connection: what it does when the connection goes between two looks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from bot_service.player.voice.dca_source import DcaSource
from bot_service.player.voice.paced import Stream
from tests.unit.bot_service.player import songs


class Speaking:
    """A voice WebSocket."""

    async def speak(self, _state: object) -> None: ...


@dataclass
class Connection:
    """What a stream uses of discord.py's client. Without a key it fails as discord.py does between two servers."""

    loop: asyncio.AbstractEventLoop
    key: bytes | None = b"key"
    ws: Speaking = field(default_factory=Speaking)
    stays_connected: bool = False
    sent: list[bytes] = field(default_factory=list[bytes])

    def is_connected(self) -> bool:
        return self.stays_connected or self.key is not None

    def send_audio_packet(self, data: bytes, *, encode: bool) -> None:
        assert not encode
        bytes(cast("Any", self.key))
        self.sent.append(data)


class LosesConnection(DcaSource):
    """The connection goes while the third frame is read."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.feed(songs.frames(5))
        self.finish()
        self.connection = connection

    def read(self) -> bytes:
        if self.sent == 2:
            self.connection.key = None
        return super().read()


async def test_a_connection_that_goes_while_a_frame_is_read_costs_that_frame_and_no_more() -> None:
    connection, errors = Connection(asyncio.get_running_loop()), list[Exception | None]()
    stream = Stream(cast("Any", connection), LosesConnection(connection), errors.append)
    for _ in range(5):
        assert stream.step()
    assert connection.sent == songs.frames(5)[:2]
    connection.key = b"another"
    while stream.step():
        pass
    assert connection.sent[:4] == [*songs.frames(5)[:2], *songs.frames(5)[3:]]
    assert errors == [None]


async def test_a_failure_of_a_connection_that_stands_ends_the_stream() -> None:
    connection = Connection(asyncio.get_running_loop(), stays_connected=True)
    errors: list[Exception | None] = []
    stream = Stream(cast("Any", connection), LosesConnection(connection), errors.append)
    assert stream.step()
    assert stream.step()
    assert not stream.step()
    [error] = errors
    with pytest.raises(TypeError):
        raise cast("Exception", error)
