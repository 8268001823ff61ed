"""The gateway: sessions of the bot, the events it is sent, resuming with what it missed, and what can go wrong.

Events are sent as text: the bot asks for compression, and takes either. Events are filtered by the intents of the
bot, as Discord does. A session lives on when its connection breaks, until the bot closes with 1000 or 1001 or the
fake invalidates it; so does the bot's voice state (Discord, too, lets it stand for a while).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.discord.core import Json, listed
from tests.discord.line import Line, open_line
from tests.discord.model import Guild, World

GATEWAY_HOST = "gateway.discord.gg"
RESUME_HOST = "gateway-resume.discord.gg"

_DISPATCH, _HEARTBEAT, _IDENTIFY, _PRESENCE, _VOICE_STATE, _RESUME, _RECONNECT = 0, 1, 2, 3, 4, 6, 7
_REQUEST_MEMBERS, _INVALID_SESSION, _HELLO, _HEARTBEAT_ACK = 8, 9, 10, 11
_AUTHENTICATION_FAILED = 4004
_NOT_AUTHENTICATED = 4003
_RATE_LIMITED = 4008
_INTENTS = {
    "GUILD_MEMBER_ADD": 1 << 1,
    "GUILD_MEMBER_UPDATE": 1 << 1,
    "VOICE_STATE_UPDATE": 1 << 7,
    "MESSAGE_CREATE": 1 << 9,
    "MESSAGE_UPDATE": 1 << 9,
    "MESSAGE_DELETE": 1 << 9,
}


@dataclass(slots=True)
class Session:
    """One session: what it was sent, by sequence number from 1, and the line it has at the moment."""

    id: str
    intents: int
    bot_id: str
    line: Line | None
    sent: list[Json] = field(default_factory=list[Json])
    presence: Json = field(default_factory=dict[str, Any])

    def dispatch(self, event: str, data: Json) -> None:
        """Send an event, or keep it for the resume; events outside the intents are for others.

        The bot's own voice state and messages that it does not need the intent for come always.
        """
        needed = _INTENTS.get(event, 0)
        own = event == "VOICE_STATE_UPDATE" and data["user_id"] == self.bot_id
        if needed and not self.intents & needed and not own:
            return
        message = {"op": _DISPATCH, "t": event, "s": len(self.sent) + 1, "d": data}
        self.sent.append(message)
        if self.line is not None:
            self.line.send(message)


class Gateway:
    """The gateway of the fake.

    Attributes:
        sessions: those that can be resumed.
        identifies, resumes: how often the bot did that (successfully).
        heartbeats: how many came.
        heartbeat_ms: interval given to the next connection.
        acknowledge: whether heartbeats are answered; without it the bot thinks that the connection is dead.
        limit: how many messages a connection may send in how many seconds; one more closes it with 4008, as Discord's
            documentation has it ("Gateway", rate limiting).
        withheld: guilds that a new session is not told of, until `add`: Discord sends them later, or has an outage.
        most: the most messages that a connection sent within those seconds.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._refusals: list[int] = []
        self.sessions: list[Session] = []
        self.identifies: list[Json] = []
        self.resumes = 0
        self.heartbeats = 0
        self.heartbeat_ms = 41_250
        self.acknowledge = True
        self.limit: tuple[int, float] = (120, 60.0)
        self.withheld = set[str]()
        self.most = 0
        self._lines: list[Line] = []
        world.core.dispatch = self._dispatch

    # Watching.

    @property
    def session(self) -> Session | None:
        """The session that is connected, if one is."""
        return next((one for one in self.sessions if one.line is not None and one.line.open), None)

    @property
    def lines(self) -> int:
        """How many connections were made so far."""
        return len(self._lines)

    async def identified(self, times: int = 1) -> Session:
        """Wait until the bot has identified so often, and is connected."""
        return await self._until(lambda: self.session if len(self.identifies) >= times else None, f"{times} IDENTIFY")

    async def resumed(self, times: int = 1) -> Session:
        """Wait until the bot has resumed so often, and is connected."""
        return await self._until(lambda: self.session if self.resumes >= times else None, f"{times} RESUME")

    async def disconnected(self) -> None:
        """Wait until no session is connected."""
        await self._until(lambda: self.session is None or None, "end of the gateway connection")

    # Faults.

    def cut(self) -> None:
        """Break the TCP connection."""
        for line in self._open():
            line.cut()

    def close(self, code: int = 4000) -> None:
        """Close the WebSocket with a code; 4004 and 4010 to 4014 end a bot."""
        for line in self._open():
            line.close(code)

    def reconnect(self) -> None:
        """Ask the bot to connect again and resume (RECONNECT)."""
        for line in self._open():
            line.send({"op": _RECONNECT, "d": None})

    def invalidate(self, *, resumable: bool = False) -> None:
        """Send INVALID_SESSION; unless resumable the session is forgotten and the bot must identify."""
        for line in self._open():
            line.send({"op": _INVALID_SESSION, "d": resumable})
        if not resumable:
            self.forget()

    def forget(self) -> None:
        """Forget every session: a RESUME is answered by INVALID_SESSION."""
        self.sessions.clear()
        self._world.told.clear()

    def refuse(self, *codes: int) -> None:
        """Close the next connections at IDENTIFY or RESUME, one code each."""
        self._refusals.extend(codes)

    # Serving.

    async def serve(self, request: web.Request) -> None:
        """Be the server of one connection."""
        line = await open_line(request)
        self._lines.append(line)
        line.send({"op": _HELLO, "d": {"heartbeat_interval": self.heartbeat_ms}})
        times = deque[float]()

        def receive(message: Json) -> None:
            if self._is_within_limit(times):
                self._receive(line, message)
            elif line.open:
                self._world.core.problem(
                    f"the gateway was sent more than {self.limit[0]} messages in {self.limit[1]:g} s"
                )
                line.close(_RATE_LIMITED)

        try:
            await line.serve(receive)
        finally:
            self._ended(line)

    def _is_within_limit(self, times: deque[float]) -> bool:
        most, seconds = self.limit
        now = time.monotonic()
        while times and now - times[0] >= seconds:
            times.popleft()
        times.append(now)
        self.most = max(self.most, len(times))
        return len(times) <= most

    def _ended(self, line: Line) -> None:
        for session in list(self.sessions):
            if session.line is line:
                session.line = None
                if line.close_code in {1000, 1001}:
                    self.sessions.remove(session)
                    self._leave_voice()
        self._world.core.bell.ring()

    def _leave_voice(self) -> None:
        for guild in self._world.guilds.values():
            if guild.me.voice_channel is not None:
                guild.me.leave()

    def _receive(self, line: Line, message: Json) -> None:
        op, data = message["op"], message["d"]
        if op == _HEARTBEAT:
            self.heartbeats += 1
            if self.acknowledge:
                line.send({"op": _HEARTBEAT_ACK, "d": None})
            self._world.core.bell.ring()
        elif op in {_IDENTIFY, _RESUME}:
            self._log_in(line, data, resume=op == _RESUME)
        elif (session := next((one for one in self.sessions if one.line is line), None)) is None:
            line.close(_NOT_AUTHENTICATED)
        elif op == _VOICE_STATE:
            self._voice_state(data)
        elif op == _PRESENCE:
            session.presence = data
        elif op == _REQUEST_MEMBERS:
            self._members(session, data)
        else:
            self._world.core.problem(f"the gateway does not know op {op}")

    def _log_in(self, line: Line, data: Json, *, resume: bool) -> None:
        if self._refusals:
            line.close(self._refusals.pop(0))
        elif data["token"] != self._world.core.token:
            line.close(_AUTHENTICATION_FAILED)
        elif resume:
            self._resume(line, data)
        else:
            self._identify(line, data)
        self._world.core.bell.ring()

    def _identify(self, line: Line, data: Json) -> None:
        core = self._world.core
        session = Session(f"session-{core.snowflake()}", data.get("intents", 0), core.application_id, line)
        self.sessions.append(session)
        self.identifies.append(data)
        guilds = list(self._world.guilds.values())
        ready = {
            "v": 10,
            "user": core.bot,
            "guilds": [{"id": guild.id, "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": f"wss://{RESUME_HOST}",
            "application": {"id": core.application_id, "flags": 0},
        }
        session.dispatch("READY", ready)
        for guild in guilds:
            if guild.id not in self.withheld:
                self._tell_of(session, guild)

    def add(self, guild: Guild) -> None:
        """Tell the sessions of a guild that is new to them."""
        for session in self.sessions:
            self._tell_of(session, guild)
        self._world.core.bell.ring()

    def _tell_of(self, session: Session, guild: Guild) -> None:
        session.dispatch("GUILD_CREATE", guild.payload())
        self._world.told.add(guild.id)

    def _resume(self, line: Line, data: Json) -> None:
        session = next((one for one in self.sessions if one.id == data["session_id"]), None)
        if session is None:
            line.send({"op": _INVALID_SESSION, "d": False})
            return
        session.line = line
        for message in session.sent[data["seq"] or 0 :]:
            line.send(message)
        session.dispatch("RESUMED", {})
        self.resumes += 1

    def _voice_state(self, data: Json) -> None:
        guild = self._world.guilds.get(str(data["guild_id"]))
        if guild is None:
            return
        me, flags = guild.me, {key: bool(data.get(key)) for key in ("self_mute", "self_deaf")}
        if data["channel_id"] is None:
            if me.voice_channel is not None:
                me.leave()
            return
        channel = guild.channels.get(str(data["channel_id"]))
        if channel is None or not channel.is_voice or not me.may("connect", channel):
            return
        if channel.user_limit and me not in channel.people and len(channel.people) >= channel.user_limit:
            return
        before = me.voice_channel
        me.join(channel, **flags)
        if before is None:
            guild.voice.new_server()
        elif before is not channel:
            guild.voice.new_server(close=4014)
        elif guild.voice.connection is None:
            guild.voice.same_server()

    def _members(self, session: Session, data: Json) -> None:
        guild = self._world.guilds[str(data["guild_id"])]
        ids = {str(one) for one in listed(data, "user_ids")}
        found = [member.payload() for member in guild.members.values() if not ids or member.id in ids]
        chunk = {"guild_id": guild.id, "members": found, "chunk_index": 0, "chunk_count": 1, "not_found": []}
        session.dispatch("GUILD_MEMBERS_CHUNK", {**chunk, "presences": [], "nonce": data.get("nonce")})

    def _dispatch(self, event: str, data: Json) -> None:
        for session in self.sessions:
            session.dispatch(event, data)

    def _open(self) -> list[Line]:
        return [line for line in self._lines if line.open]

    async def _until(self, look: Callable[[], Any], wanted: str) -> Any:  # noqa: ANN401 - what `look` returns
        core = self._world.core
        return await core.bell.until(
            look, lambda: f"{wanted}; {len(self.identifies)} IDENTIFY, {self.resumes} RESUME; problems: {core.problems}"
        )
