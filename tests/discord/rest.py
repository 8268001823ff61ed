"""Discord's REST API as far as a music bot uses it. An unknown route answers 404 and is remembered as a problem."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.discord.bell import Bell
from tests.discord.core import Json, RestError, listed, object_of
from tests.discord.interactions import AUTOCOMPLETE
from tests.discord.limits import check_choices, check_message
from tests.discord.messages import Message
from tests.discord.model import Guild, World
from tests.discord.places import Channel
from tests.discord.rest_faults import Call, Fault, RestFaults

_VERSION = re.compile(r"^/api(/v\d+)?")
_MISSING_ACCESS, _MISSING_PERMISSIONS = 50001, 50013

# Takes the ids of the path and the body; None is answered by 204, everything else is JSON with status 200.
_Handler = Callable[[list[str], Any], Any]


class Rest:
    """The REST side.

    Attributes:
        faults: what goes wrong with the next calls.
        calls: every call with a valid token or an interaction's token, in order.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.faults = RestFaults(world.core.bell)
        self.calls: list[Call] = []
        self._routes = [(method, re.compile(f"^{path}$"), handler) for method, path, handler in self._table()]

    def matching(self, pattern: str, method: str = "*") -> list[Call]:
        """Return the calls whose path matches."""
        return [call for call in self.calls if method in {"*", call.method} and re.search(pattern, call.path)]

    async def called(self, pattern: str, *, times: int = 1, method: str = "*") -> list[Call]:
        """Wait until calls whose path matches were made so often."""
        bell: Bell = self._world.core.bell

        def look() -> list[Call] | None:
            found = self.matching(pattern, method)
            return found if len(found) >= times else None

        return await bell.until(look, lambda: f"{times} calls of {pattern}: {[call.path for call in self.calls]}")

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one call."""
        path = _VERSION.sub("", request.path)
        body = await _body(request)
        fault = self.faults.of(request.method, path)
        if fault is not None:
            response = await self._misbehave(fault)
            if response is not None:
                return response
        try:
            self._authorise(request, path)
            answer = self.call(request.method, path, body, dict(request.query))
        except RestError as exc:
            return _json({"code": exc.code, "message": exc.message}, exc.status)
        finally:
            self._world.core.bell.ring()
        return web.Response(status=204) if answer is None else _json(answer, 200)

    async def _misbehave(self, fault: Fault) -> web.Response | None:
        if fault.hang is not None:
            await fault.hang.wait()
            return None
        return _json(fault.body, fault.status, fault.headers)

    def _authorise(self, request: web.Request, path: str) -> None:
        by_token_in_path = path.startswith(("/interactions/", "/webhooks/"))
        if not by_token_in_path and request.headers.get("Authorization") != f"Bot {self._world.core.token}":
            raise RestError(401, 0, "401: Unauthorized")

    def call(self, method: str, path: str, body: Any, query: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
        """Answer an authorised call without its HTTP. None is an empty answer. Raises RestError."""
        self.calls.append(Call(method, path, query, body, time.monotonic()))
        for known, pattern, handler in self._routes:
            found = pattern.match(path)
            if found and known == method:
                return handler([str(one) for one in found.groups()], body)
        self._world.core.problem(f"REST does not know {method} {path}")
        raise RestError(404, 0, "404: Not Found")

    def _table(self) -> list[tuple[str, str, _Handler]]:
        some = "([^/]+)"
        commands = f"/applications/{some}/commands"
        of_guild = f"/applications/{some}/guilds/{some}/commands"
        known = self._world.commands
        return [
            ("GET", "/users/@me", lambda _ids, _body: self._world.core.bot),
            ("GET", f"/users/{some}", lambda ids, _body: self._user(ids[0])),
            ("GET", "/oauth2/applications/@me", lambda _ids, _body: self._application()),
            ("GET", "/applications/@me", lambda _ids, _body: self._application()),
            ("GET", "/gateway/bot", lambda _ids, _body: self._gateway_bot()),
            ("GET", commands, lambda _ids, _body: known.everywhere),
            ("PUT", commands, lambda _ids, body: known.replace(body, None)),
            ("GET", of_guild, lambda ids, _body: known.in_guild.get(ids[1], [])),
            ("PUT", of_guild, lambda ids, body: known.replace(body, ids[1])),
            ("POST", f"/interactions/{some}/{some}/callback", lambda ids, body: self._callback(ids[1], body)),
            *self._answers(f"/webhooks/{some}/{some}", some),
            *self._of_channels(f"/channels/{some}", some),
            ("GET", f"/guilds/{some}", lambda ids, _body: self._guild(ids[0]).payload()),
            ("GET", f"/guilds/{some}/channels", lambda ids, _body: self._channels(ids[0])),
            ("PATCH", f"/guilds/{some}/voice-states/@me", lambda ids, body: self._own_voice_state(ids[0], body)),
            ("GET", f"/guilds/{some}/members/{some}", lambda ids, _body: self._member(*ids)),
        ]

    def _answers(self, hook: str, some: str) -> list[tuple[str, str, _Handler]]:
        find = self._world.interactions.of
        one = f"{hook}/messages/{some}"
        return [
            ("POST", hook, lambda ids, body: self._follow_up(ids[1], body)),
            ("GET", one, lambda ids, _body: find(ids[1]).find(ids[2]).payload()),
            ("PATCH", one, lambda ids, body: self._edit_answer(ids[1], ids[2], body)),
            ("DELETE", one, lambda ids, _body: find(ids[1]).delete(ids[2])),
        ]

    def _of_channels(self, channel: str, some: str) -> list[tuple[str, str, _Handler]]:
        messages = f"{channel}/messages"
        one = f"{messages}/{some}"
        return [
            ("GET", channel, lambda ids, _body: self._channel(ids[0]).payload()),
            ("POST", f"{channel}/typing", lambda ids, _body: self._nothing(ids[0])),
            ("PUT", f"{channel}/voice-status", lambda ids, body: self._voice_status(ids[0], body)),
            ("POST", messages, lambda ids, body: self._send(ids[0], body)),
            ("GET", messages, lambda ids, _body: self._history(ids[0])),
            ("POST", f"{messages}/bulk-delete", lambda ids, body: self._bulk_delete(ids[0], body)),
            ("GET", one, lambda ids, _body: self._message(*ids).payload()),
            ("PATCH", one, lambda ids, body: self._edit(ids[0], ids[1], body)),
            ("DELETE", one, lambda ids, _body: self._message(*ids).delete()),
            ("PUT", f"{one}/reactions/{some}/@me", lambda ids, _body: self._nothing(ids[0])),
            ("PUT", f"{channel}/pins/{some}", lambda ids, _body: self._nothing(ids[0])),
        ]

    # Accounts and guilds.

    def _user(self, user_id: str) -> Json:
        if user_id not in self._world.users:
            raise RestError(404, 10013, "Unknown User")
        return self._world.users[user_id]

    def _application(self) -> Json:
        core = self._world.core
        owner = {"id": "1", "username": "owner", "discriminator": "0", "avatar": None}
        return {
            "id": core.application_id,
            "name": core.bot["username"],
            "description": "",
            "icon": None,
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "",
            "owner": owner,
            "flags": 0,
            "approximate_guild_count": len(self._world.guilds),
        }

    def _gateway_bot(self) -> Json:
        limits = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        return {"url": "wss://gateway.discord.gg", "shards": 1, "session_start_limit": limits}

    def _guild(self, guild_id: str) -> Guild:
        if guild_id not in self._world.guilds:
            raise RestError(404, 10004, "Unknown Guild")
        return self._world.guilds[guild_id]

    def _channels(self, guild_id: str) -> list[Json]:
        return [channel.payload() for channel in self._guild(guild_id).channels.values()]

    def _member(self, guild_id: str, user_id: str) -> Json:
        members = self._guild(guild_id).members
        if user_id not in members:
            raise RestError(404, 10007, "Unknown Member")
        return members[user_id].payload()

    def _own_voice_state(self, guild_id: str, body: Json) -> None:
        """Let the bot speak on a stage, or ask to, as Discord's page "Voice Resource" says."""
        me = self._guild(guild_id).me
        channel = me.voice_channel
        if channel is None or channel.id != str(body.get("channel_id")):
            raise RestError(400, 50024, "Cannot execute action on this channel type")
        invited = not me.voice_flags.get("suppress") and me.voice_flags.get("request_to_speak_timestamp")
        if body.get("suppress") is False and not (invited or me.may("mute_members", channel)):
            raise RestError(403, _MISSING_PERMISSIONS, "Missing Permissions")
        if body.get("request_to_speak_timestamp") and not me.may("request_to_speak", channel):
            raise RestError(403, _MISSING_PERMISSIONS, "Missing Permissions")
        fields = ("suppress", "request_to_speak_timestamp")
        me.moderate(**{field: body[field] for field in fields if field in body})

    # Interactions.

    def _callback(self, token: str, body: Json) -> Json:
        interaction = self._world.interactions.of(token)
        data: Json = object_of(body, "data")
        if body["type"] in {4, 7}:
            self._check(data, new=body["type"] == 4)
        if interaction.type == AUTOCOMPLETE:
            self._checked(lambda: check_choices(listed(data, "choices")))
        message = interaction.answer(body["type"], data)
        made = {"id": interaction.id, "type": interaction.type}
        if message is None:
            return {"interaction": made, "resource": {"type": body["type"]}}
        made |= {"response_message_id": message.id, "response_message_loading": message.loading}
        made |= {"response_message_ephemeral": message.ephemeral}
        return {"interaction": made, "resource": {"type": body["type"], "message": message.payload()}}

    def _follow_up(self, token: str, body: Json) -> Json:
        self._check(body, new=True)
        return self._world.interactions.of(token).follow_up(body).payload()

    def _edit_answer(self, token: str, message_id: str, body: Json) -> Json:
        self._check(body, new=False)
        return self._world.interactions.of(token).edit(message_id, body).payload()

    # Channels and messages.

    def _channel(self, channel_id: str) -> Channel:
        channel = self._world.channel(channel_id)
        if channel is None:
            raise RestError(404, 10003, "Unknown Channel")
        if not channel.guild.me.may("view_channel", channel):
            raise RestError(403, _MISSING_ACCESS, "Missing Access")
        return channel

    def _message(self, channel_id: str, message_id: str) -> Message:
        for message in self._channel(channel_id).messages:
            if message.id == message_id and not message.deleted:
                return message
        raise RestError(404, 10008, "Unknown Message")

    def _send(self, channel_id: str, body: Json) -> Json:
        channel = self._channel(channel_id)
        if not channel.guild.me.may("send_messages", channel):
            raise RestError(403, _MISSING_PERMISSIONS, "Missing Permissions")
        self._check(body, new=True)
        message = Message(self._world.core, channel.id, self._world.core.bot, dict(body), guild_id=channel.guild.id)
        channel.show(message)
        return message.payload()

    def _edit(self, channel_id: str, message_id: str, body: Json) -> Json:
        message = self._message(channel_id, message_id)
        self._check(body, new=False)
        message.change(body)
        return message.payload()

    def _history(self, channel_id: str) -> list[Json]:
        return [message.payload() for message in reversed(self._channel(channel_id).now)]

    def _bulk_delete(self, channel_id: str, body: Json) -> None:
        for message_id in body["messages"]:
            self._message(channel_id, message_id).delete()

    def _nothing(self, channel_id: str) -> None:
        """Accept what leaves no trace here: typing, reactions, pins."""
        self._channel(channel_id)

    def _voice_status(self, channel_id: str, body: Json) -> None:
        self._channel(channel_id).status = body.get("status") or ""

    def _check(self, body: Json, *, new: bool) -> None:
        self._checked(lambda: check_message(body, new=new))

    def _checked(self, check: Callable[[], None]) -> None:
        try:
            check()
        except RestError as exc:
            self._world.core.problem(f"REST refuses a message: {exc.message}")
            raise


async def _body(request: web.Request) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of a call; with files it stands in the field `payload_json`."""
    if request.content_type == "multipart/form-data":
        form = await request.post()
        text = form.get("payload_json", "{}")
        return json.loads(text) if isinstance(text, str) else {}
    data = await request.read()
    return json.loads(data) if data else {}


def _json(body: Any, status: int, headers: dict[str, str] | None = None) -> web.Response:  # noqa: ANN401 - JSON
    # The type must stand alone: with a charset behind it the bot's library takes the body for text.
    return web.Response(
        body=json.dumps(body).encode(), status=status, headers={**(headers or {}), "Content-Type": "application/json"}
    )
