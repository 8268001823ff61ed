"""What the bot sends into a guild's voice channel, and what can go wrong on the way."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.discord.core import Core, Json
from tests.discord.line import Line
from tests.discord.rtp import KEY_BYTES, Packet

CLIENTS_CONNECT, CLIENT_DISCONNECT = 11, 13


@dataclass(slots=True)
class VoiceConnection:
    """One voice WebSocket session; a resume goes on with the same one.

    Attributes:
        number: which one of the guild it is, from 1.
        identify: what the bot said of itself (`max_dave_protocol_version` among it).
        ready: the key was given; packets may come.
        speaking: the bits of the last "speaking" message.
        heartbeats: how many came; `seq_ack` is what the last one had heard.
    """

    number: int
    ssrc: int
    token: str
    session_id: str
    identify: Json
    line: Line
    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES))
    address: tuple[str, int] | None = None
    ready: bool = False
    speaking: int = 0
    heartbeats: int = 0
    seq_ack: int = -1
    resumes: int = 0
    sent: list[Json] = field(default_factory=list[Json])

    @property
    def live(self) -> bool:
        """Whether it is set up and its WebSocket stands."""
        return self.ready and self.line.open

    def tell(self, op: int, data: Json) -> None:
        """Send a message with a sequence number, which a resume repeats when the bot has missed it."""
        message = {"op": op, "d": data, "seq": len(self.sent) + 1}
        self.sent.append(message)
        self.line.send(message)


class VoiceCapture:
    """The voice side of one guild.

    Attributes:
        received: every packet that arrived, in order of arrival.
        lost: the packets that `lose` took away.
        connections: every voice session so far, the newest last.
        token, endpoint: the voice server the bot was told last.
        speaking_changes: (monotonic seconds, speaking) as the bot announced it.
        only_counts: packets are counted alone, neither decrypted nor kept, in `count`: for hundreds of guilds at once.
    """

    def __init__(self, core: Core, guild_id: str) -> None:
        self._core = core
        self._guild_id = guild_id
        self._loss = 0.0
        self._chance = random.Random(0)
        self._servers = 0
        self.token = ""
        self.endpoint = ""
        self.received: list[Packet] = []
        self.lost: list[Packet] = []
        self.connections: list[VoiceConnection] = []
        self.speaking_changes: list[tuple[float, bool]] = []
        self.only_counts = False
        self.count = 0

    # Listening.

    @property
    def connection(self) -> VoiceConnection | None:
        """The connection that is up, if one is."""
        return next((one for one in reversed(self.connections) if one.live), None)

    @property
    def mark(self) -> int:
        """The place after everything received so far, for `since`."""
        return len(self.received)

    async def packets(self, count: int, *, since: int = 0) -> list[Packet]:
        """Wait for `count` packets from the place `since` on, silence included, and return exactly these."""
        await self._until(lambda: len(self.received) >= since + count, f"{count} packets")
        return self.received[since : since + count]

    async def sound(self, count: int, *, since: int = 0) -> list[Packet]:
        """Wait for `count` packets that are no silence and return all from the first to the last of them."""

        def look() -> list[Packet] | None:
            places = [place for place in range(since, self.mark) if not self.received[place].is_silence]
            return self.received[places[0] : places[count - 1] + 1] if len(places) >= count else None

        return await self._core.bell.until(look, lambda: f"{count} packets of sound; {self._story()}")

    async def silence(self, *, since: int = 0, count: int = 5) -> list[Packet]:
        """Wait until the newest `count` packets since `since` are silence: the bot has paused or ended."""

        def look() -> list[Packet] | None:
            newest = self.received[max(since, self.mark - count) :]
            return newest if len(newest) == count and all(packet.is_silence for packet in newest) else None

        return await self._core.bell.until(look, lambda: f"{count} silence frames at the end; {self._story()}")

    async def connected(self, number: int | None = None) -> VoiceConnection:
        """Wait until a connection is up: any, or the one with that number (from 1) or a later one."""

        def look() -> VoiceConnection | None:
            one = self.connection
            return one if one is not None and one.number >= (number or 1) else None

        return await self._core.bell.until(look, lambda: f"voice connection {number or ''}; {self._story()}")

    async def disconnected(self) -> None:
        """Wait until no connection is up."""
        await self._until(lambda: self.connection is None, "end of the voice connection")

    async def until(self, where: Callable[[VoiceCapture], object]) -> None:
        """Wait until something holds."""
        await self._until(lambda: bool(where(self)), "voice as wanted")

    # Faults.

    def close(self, code: int) -> None:
        """Close the voice WebSocket with a code (1000, 1001, 4006, 4009, 4014, 4015, 4017, 4021, 4022).

        After 4006, 4009, 4014, 4021 and 4022 the session cannot be resumed.
        """
        for one in self._up():
            if code in {4006, 4009, 4014, 4021, 4022}:
                one.token = ""
            one.line.close(code)

    def cut(self) -> None:
        """Break the TCP connection of the voice WebSocket."""
        for one in self._up():
            one.line.cut()

    def lose(self, share: float = 1.0) -> None:
        """Lose this share of the voice packets from now on (and, at 1, every answer over UDP); `lose(0)` ends it."""
        self._loss = share

    def new_server(self, *, close: int | None = None) -> None:
        """Give the guild another voice server: new endpoint and token; `close` ends the old WebSocket, too."""
        old = self._up()
        self._servers += 1
        self.endpoint = f"voice{self._servers}-{self._guild_id}.discord.media:443"
        self.token = secrets.token_hex(8)
        update = {"token": self.token, "guild_id": self._guild_id, "endpoint": self.endpoint}
        self._core.dispatch("VOICE_SERVER_UPDATE", update)
        for one in old:
            one.token = ""
            if close is not None:
                one.line.close(close)

    def server_lost(self) -> None:
        """Tell that the voice server has gone and that the next one is not known yet (endpoint null)."""
        update: dict[str, Any] = {"token": self.token, "guild_id": self._guild_id, "endpoint": None}
        self._core.dispatch("VOICE_SERVER_UPDATE", update)

    # What the servers tell.

    def same_server(self) -> None:
        """Tell the bot its present voice server again."""
        update = {"token": self.token, "guild_id": self._guild_id, "endpoint": self.endpoint}
        self._core.dispatch("VOICE_SERVER_UPDATE", update)

    def ended(self) -> None:
        """The bot is in no channel any more: its connection ends with 4014."""
        self.close(4014)

    def tell(self, op: int, data: Json) -> None:
        """Send a voice message to the connection that is up."""
        for one in self._up():
            one.tell(op, data)

    def drops(self) -> bool:
        """Whether the next datagram is lost."""
        return self._loss > 0 and self._chance.random() < self._loss

    def take(self, packet: Packet) -> None:
        """Keep a packet, or lose it."""
        (self.lost if self.drops() else self.received).append(packet)
        self._core.bell.ring()

    def _up(self) -> list[VoiceConnection]:
        return [one for one in self.connections if one.line.open]

    async def _until(self, look: Callable[[], bool], wanted: str) -> None:
        await self._core.bell.until(look, lambda: f"{wanted}; {self._story()}")

    def _story(self) -> str:
        silent = sum(packet.is_silence for packet in self.received)
        return (
            f"{len(self.received)} packets ({silent} of silence, {len(self.lost)} lost) by {len(self.connections)} "
            f"connections, {'one' if self.connection else 'none'} is up; problems: {self._core.problems}"
        )
