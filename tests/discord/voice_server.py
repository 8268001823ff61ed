"""The voice servers: the WebSocket (version 8) and the UDP socket, one of each for all guilds.

Without end-to-end encryption: `dave_protocol_version` is 0, so the frames are encrypted to the server alone. What the
bot offers is kept in `VoiceConnection.identify`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.discord.core import Json
from tests.discord.line import Line, open_line
from tests.discord.model import Guild, World
from tests.discord.rtp import MODE, Packet, decrypt, discovery_answer, read_header
from tests.discord.voice import CLIENTS_CONNECT, VoiceCapture, VoiceConnection

VOICE_DOMAIN = ".discord.media"

_IDENTIFY, _SELECT_PROTOCOL, _READY, _HEARTBEAT, _SESSION_DESCRIPTION, _SPEAKING = 0, 1, 2, 3, 4, 5
_HEARTBEAT_ACK, _RESUME, _HELLO, _RESUMED = 6, 7, 8, 9
_DAVE = range(21, 32)
_NOT_AUTHENTICATED, _ALREADY_AUTHENTICATED, _INVALID_SESSION, _UNKNOWN_OP = 4003, 4005, 4006, 4001
_UNKNOWN_PROTOCOL, _UNKNOWN_MODE = 4012, 4016
_RECEIVE_BUFFER = 4 * 1024 * 1024
# The library's reader thread sleeps up to 30 s on a socket, even on one that was replaced meanwhile: a datagram as soon
# as IP discovery is over sends it to rest, and one now and then wakes it where a connection is lost.
_JUNK_SECONDS = 0.2
# The library listens for the answer of IP discovery only after it has asked: an answer without any way to go would be
# lost when its reader thread is faster. Discord's never is.
_ROUND_TRIP_SECONDS = 0.01
_REPEAT_SECONDS = 0.5
_JUNK = b"\x00" * 8


class VoiceServer(asyncio.DatagramProtocol):
    """Serves the voice connections of every guild. Opened by `open_voice_server`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_ssrc: dict[int, tuple[VoiceCapture, VoiceConnection]] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self.heartbeat_ms = 13_750

    # WebSocket.

    async def serve(self, request: web.Request) -> None:
        """Be the server of one connection."""
        line = await open_line(request)
        line.send({"op": _HELLO, "d": {"v": 8, "heartbeat_interval": self.heartbeat_ms}})
        found: list[tuple[Guild, VoiceConnection]] = []

        def receive(message: Json) -> None:
            if not found:
                logged_in = self._log_in(line, message)
                found.extend([logged_in] if logged_in else [])
            else:
                self._receive(*found[0], message)
            self._world.core.bell.ring()

        await line.serve(receive)
        self._world.core.bell.ring()

    def _log_in(self, line: Line, message: Json) -> tuple[Guild, VoiceConnection] | None:
        op, data = message["op"], message["d"]
        if op == _HEARTBEAT:
            line.send({"op": _HEARTBEAT_ACK, "d": {"t": data["t"]}})
            return None
        guild = self._world.guilds.get(str(data.get("server_id"))) if op in {_IDENTIFY, _RESUME} else None
        if guild is None:
            line.close(_NOT_AUTHENTICATED)
            return None
        connection = self._resume(guild, line, data) if op == _RESUME else self._identify(guild, line, data)
        if connection is None:
            line.close(_INVALID_SESSION)
            return None
        return guild, connection

    def _identify(self, guild: Guild, line: Line, data: Json) -> VoiceConnection | None:
        voice, me = guild.voice, guild.me
        right_server = voice.endpoint.removesuffix(":443") == line.host.removesuffix(":443")
        if data["token"] != voice.token or data["session_id"] != me.voice_session or not right_server:
            return None
        ssrc = len(self._by_ssrc) + 1000
        connection = VoiceConnection(len(voice.connections) + 1, ssrc, voice.token, data["session_id"], data, line)
        voice.connections.append(connection)
        self._by_ssrc[ssrc] = (voice, connection)
        ready = {"ssrc": ssrc, "ip": "127.0.0.1", "port": self._port(), "modes": [MODE], "experiments": []}
        line.send({"op": _READY, "d": ready})
        return connection

    def _resume(self, guild: Guild, line: Line, data: Json) -> VoiceConnection | None:
        for connection in guild.voice.connections:
            if connection.token and (connection.token, connection.session_id) == (data["token"], data["session_id"]):
                connection.line = line
                connection.resumes += 1
                for message in connection.sent[max(0, data.get("seq_ack", -1)) :]:
                    line.send(message)
                line.send({"op": _RESUMED, "d": None})
                return connection
        return None

    def _receive(self, guild: Guild, connection: VoiceConnection, message: Json) -> None:
        op, data = message["op"], message["d"]
        if op == _HEARTBEAT:
            connection.heartbeats += 1
            connection.seq_ack = data["seq_ack"]
            connection.line.send({"op": _HEARTBEAT_ACK, "d": {"t": data["t"]}})
        elif op == _SELECT_PROTOCOL:
            self._select(guild, connection, data)
        elif op == _SPEAKING:
            connection.speaking = int(data["speaking"])
            guild.voice.speaking_changes.append((time.monotonic(), bool(connection.speaking)))
        elif op == _IDENTIFY:
            connection.line.close(_ALREADY_AUTHENTICATED)
        elif op not in _DAVE:
            self._world.core.problem(f"the voice server does not know op {op}")
            connection.line.close(_UNKNOWN_OP)

    def _select(self, guild: Guild, connection: VoiceConnection, data: Json) -> None:
        if data["protocol"] != "udp":
            connection.line.close(_UNKNOWN_PROTOCOL)
        elif data["data"]["mode"] != MODE:
            connection.line.close(_UNKNOWN_MODE)
        else:
            description: dict[str, Any] = {"mode": MODE, "secret_key": list(connection.key), "dave_protocol_version": 0}
            self._send_junk_to(connection)
            connection.tell(_SESSION_DESCRIPTION, description)
            connection.ready = True
            others = [member.id for member in guild.members.values() if member is not guild.me]
            channel = guild.me.voice_channel
            here = [member.id for member in channel.people if member.id in others] if channel else []
            if here:
                connection.tell(CLIENTS_CONNECT, {"user_ids": here})

    # UDP.

    def listen(self, transport: asyncio.DatagramTransport) -> None:
        """Take the socket, which is this protocol's own."""
        self._udp = transport
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if (answer := discovery_answer(data, addr)) is not None:
            self._discover(answer[0], answer[1], addr)
        elif (header := read_header(data)) is not None:
            voice, connection = self._by_ssrc.get(header.ssrc, (None, None))
            if voice is None or connection is None or not connection.ready:
                self._world.core.problem(f"a voice packet of the unknown ssrc {header.ssrc}")
                return
            if voice.only_counts:
                voice.count += 1
                return
            try:
                payload, nonce = decrypt(data, header, connection.key)
            except ValueError as exc:
                self._world.core.problem(f"voice packet {header.sequence}: {exc}")
                return
            speaking = bool(connection.speaking)
            at = time.monotonic()
            voice.take(
                Packet(payload, header.sequence, header.timestamp, nonce, header.ssrc, at, speaking, connection.number)
            )

    def _discover(self, ssrc: int, answer: bytes, address: tuple[str | Any, int]) -> None:
        voice, connection = self._by_ssrc.get(ssrc, (None, None))
        if voice is None or connection is None or voice.drops() or self._udp is None:
            return
        connection.address = address
        asyncio.get_running_loop().call_later(_ROUND_TRIP_SECONDS, self._answer_discovery, connection, answer)

    def _answer_discovery(self, connection: VoiceConnection, answer: bytes) -> None:
        """Answer, and again until the bot has gone on: its library may throw the first answer away (see above)."""
        if self._udp is None or self._udp.is_closing() or connection.address is None or not connection.line.open:
            return
        if not connection.ready:
            self._udp.sendto(answer, connection.address)
            loop = asyncio.get_running_loop()
            loop.call_later(_REPEAT_SECONDS, self._answer_discovery, connection, answer)

    async def send_junk(self) -> None:
        """Send a datagram of no meaning to every connection, for ever."""
        while True:
            await asyncio.sleep(_JUNK_SECONDS)  # not a wait: the pace of what a stranger sends
            for voice, connection in list(self._by_ssrc.values()):
                if voice.only_counts:
                    continue  # hundreds of reader threads of the bot would wake up for each
                if connection.line.open or connection is voice.connections[-1]:
                    self._send_junk_to(connection)

    def _send_junk_to(self, connection: VoiceConnection) -> None:
        if connection.address is not None and self._udp is not None:
            self._udp.sendto(_JUNK, connection.address)

    def error_received(self, exc: Exception) -> None:
        """Pass over what the system reports when a bot's socket has gone."""

    def _port(self) -> int:
        assert self._udp is not None, "the socket is opened first"
        return int(self._udp.get_extra_info("sockname")[1])


@asynccontextmanager
async def open_voice_server(world: World) -> AsyncGenerator[VoiceServer]:
    """Open the UDP socket and serve until the end."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: VoiceServer(world), local_addr=("127.0.0.1", 0))
    server.listen(transport)
    try:
        async with asyncio.TaskGroup() as tasks:
            junk = tasks.create_task(server.send_junk())
            yield server
            junk.cancel()
    finally:
        transport.close()
