"""The bot's user interface with real players and a real store, in a Discord without sockets.

discord.py's client, interactions and messages are real. Its two senders are answered by the REST side of
`tests.discord`, and its gateway events come from there, both by plain calls. The voice is recorded; the audio service
does not respond.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord.http import Route
from discord.ui import View
from discord.webhook.async_ import async_context

from bot_service.bootstrap import open_services
from bot_service.discord_ui.bot import MusicBot
from bot_service.discord_ui.interactions import Interactions
from bot_service.player.guild_player import GuildPlayer
from bot_service.player.rules.events import Event
from bot_service.player.voice.link import VoiceLink
from bot_service.requests.songs import Requester
from bot_service.running import BotParts, build_bot
from bot_service.services import Services
from common.tasks import running_alongside
from tests.discord import Channel, Guild, Interaction, Member, Message
from tests.discord.bell import Bell
from tests.discord.commands import Commands
from tests.discord.core import Core, RestError
from tests.discord.model import World
from tests.discord.rest import Rest
from tests.servers.ports import free_port
from tests.unit.bot_service.audio import bot_settings
from tests.unit.bot_service.player.test_players import RecordedVoice

_PATIENCE_SECONDS = 20.0


@dataclass
class LocalDiscord:
    """The fake's world and its REST side, without servers."""

    world: World
    rest: Rest

    def attach(self, client: discord.Client, patch: pytest.MonkeyPatch) -> None:
        """Answer what the client sends, and tell it what happens, as if it were connected."""
        connection: Any = client._connection  # pyright: ignore[reportPrivateUsage] - where the library takes events in

        def dispatch(event: str, data: object) -> None:
            connection.parsers[event](_copy(data))

        async def of_bot(route: Route, **sent: Any) -> Any:  # noqa: ANN401 - as HTTPClient.request
            return self._call(route.method, route.url, sent.get("json"))

        async def of_webhook(route: Route, session: object, **sent: Any) -> Any:  # noqa: ANN401 - as AsyncWebhookAdapter.request
            del session
            return self._call(route.method, route.url, sent.get("payload"))

        self.world.core.dispatch = dispatch
        patch.setattr(client.http, "request", of_bot)
        patch.setattr(async_context.get(), "request", of_webhook)

    def guild(self, *, locale: str = "es-ES") -> Guild:
        """Add a guild that the client knows."""
        guild = Guild(self.world, "Casa", locale=locale)
        self.world.core.dispatch("GUILD_CREATE", guild.payload())
        guild.text_channel()
        self.world.told.add(guild.id)
        return guild

    def _call(self, method: str, url: str, body: object) -> object:
        path = url.removeprefix(Route.BASE)
        try:
            return _copy(self._answer(method, path, _copy(body)))
        except RestError as exc:
            kinds = {403: discord.Forbidden, 404: discord.NotFound}
            kind = kinds.get(exc.status, discord.HTTPException)
            response: Any = SimpleNamespace(status=exc.status, reason="")
            raise kind(response, {"code": exc.code, "message": exc.message}) from exc
        finally:
            self.world.core.bell.ring()

    def _answer(self, method: str, path: str, body: object) -> object:
        fault = self.rest.faults.of(method, path)
        if fault is not None:
            raise RestError(fault.status, int(fault.body["code"]), "a fault")
        return self.rest.call(method, path, body, {})


@dataclass
class LocalBot:
    """A guild with a text and a voice channel, and ana, who listens there; what the bot is made of."""

    discord: LocalDiscord
    client: MusicBot
    services: Services
    parts: BotParts
    voices: dict[int, RecordedVoice]
    guild: Guild
    text: Channel
    voice: Channel
    ana: Member
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def interactions(self) -> Interactions:
        return self.client.interactions

    @property
    def player(self) -> GuildPlayer:
        return self.parts.players.of(int(self.guild.id))

    def member(self, member: Member) -> discord.Member:
        """Return a person as discord.py's gateway cache has them."""
        guild = self.client.get_guild(int(self.guild.id))
        assert guild is not None
        found = guild.get_member(int(member.id))
        return found if found is not None else discord.Member(data=_member(member), guild=guild, state=_state(self))

    def friend(self, name: str, *, locale: str = "es-ES", listens: bool = True) -> Member:
        friend = self.guild.member(name, locale=locale)
        if listens:
            friend.join(self.voice)
        return friend

    async def ask(self, *path: str, by: Member | None = None, **options: object) -> Interaction:
        """Send `/music path…`."""
        return await (by or self.ana).slash("music", *path, **options)

    async def say(self, *path: str, by: Member | None = None, **options: object) -> Message:
        """Send `/music path…` and return the first answer that can be read."""
        return await (await self.ask(*path, by=by, **options)).message()

    def counted(self, metric: str, **labels: str) -> float:
        return self.services.registry.get_sample_value(f"butakero_bot_{metric}_total", labels) or 0.0

    def requester(self) -> Requester:
        """Return ana, as a use case of `requests` has her."""
        return Requester(int(self.guild.id), int(self.ana.id), int(self.text.id), int(self.voice.id), "es")

    async def send(self, view: View) -> Message:
        """Send a view to the text channel."""
        sent = await self.client.get_partial_messageable(int(self.text.id)).send("…", view=view)
        return next(message for message in self.text.now if int(message.id) == sent.id)


@asynccontextmanager
async def open_local_bot(
    root: Path,
    patch: pytest.MonkeyPatch,
    *,
    locale: str = "es-ES",
    shows: bool = False,
    before: LocalBot | None = None,
    **changes: object,
) -> AsyncGenerator[LocalBot]:
    """Run the bot; `shows`: its player messages, too. `before`: the bot that this one is a restart of; `changes` are
    settings.
    """
    (root / "storage").mkdir(exist_ok=True)
    settings = bot_settings(root, f"http://127.0.0.1:{free_port()}")
    settings = settings.model_copy(update={"local_storage_path": root / "storage", **changes})
    here = before.discord if before is not None else _discord()
    voices: dict[int, RecordedVoice] = {}

    def open_voice(guild_id: int, report: Callable[[Event], None]) -> VoiceLink:
        return voices.setdefault(guild_id, RecordedVoice(report))

    async with open_services(settings) as services:
        client = MusicBot(settings)
        here.attach(client, patch)
        parts = build_bot(services, client, open_voice)
        async with client, parts.players:
            await client.login(here.world.core.token)
            if before is not None:
                guild, voice, ana = before.guild, before.voice, before.ana
                here.world.core.dispatch("GUILD_CREATE", guild.payload())
            else:
                guild = here.guild(locale=locale)
                voice, ana = guild.voice_channel("Musica"), guild.member("ana", locale=locale)
                ana.join(voice)
            text = next(iter(guild.channels.values()))
            bot = LocalBot(here, client, services, parts, voices, guild, text, voice, ana)
            bot.interactions.ready.set()
            async with AsyncExitStack() as stack:
                pending = services.pending.run(bot.stop, parts.replies.handler)
                await stack.enter_async_context(running_alongside(pending))
                if shows:
                    await stack.enter_async_context(running_alongside(parts.messages.run(bot.stop)))
                yield bot
                bot.stop.set()
        assert not here.world.core.problems


def _discord() -> LocalDiscord:
    core = Core("token", Bell(_PATIENCE_SECONDS))
    world = World(core, Commands(core))
    return LocalDiscord(world, Rest(world))


def _member(member: Member) -> Any:  # noqa: ANN401 - a payload
    return _copy(member.payload())


def _state(bot: LocalBot) -> Any:  # noqa: ANN401 - the library's connection state
    return bot.client._connection  # pyright: ignore[reportPrivateUsage] - what its objects are made with


def _copy(data: object) -> Any:  # noqa: ANN401 - JSON
    return json.loads(json.dumps(data))
