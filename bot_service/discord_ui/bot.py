"""The Discord client: intents, command registration, gateway state, events passed on. No logic of its own.

It uses no privileged intents: it reads neither messages nor the member list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands

from bot_service.discord_ui.cogs import root_command
from bot_service.discord_ui.components import component_actions
from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.replies.answer import NO_MENTIONS, Reply, locale_of, send
from bot_service.discord_ui.replies.errors import explain
from bot_service.discord_ui.replies.locales import DescriptionTranslator
from bot_service.discord_ui.views import dynamic_items
from bot_service.settings import BotSettings
from common.observability.telemetry import get_logger

log = get_logger(__name__)

# Guilds count as complete after this long without a further one.
_GUILDS_SECONDS = 1.0

VoiceStateChanged = Callable[[discord.Member, discord.VoiceState, discord.VoiceState], None]
GuildRemoved = Callable[[int], Awaitable[None]]


class _Tree(app_commands.CommandTree["MusicBot"]):
    async def on_error(
        self, interaction: discord.Interaction[MusicBot], error: app_commands.AppCommandError, /
    ) -> None:
        """Answer errors raised before a command runs, such as options that do not convert, and defects."""
        log.error("command.crashed", exc_info=error)
        locale = locale_of(interaction, interaction.client.settings.locale)
        await send(interaction, Reply(f"❌ {explain(error, locale)}", private=True), locale)


class MusicBot(discord.Client):
    """The bot's client. The three attributes are set before it logs in: what they need is built on the client."""

    interactions: Interactions
    voice_state_changed: VoiceStateChanged
    guild_removed: GuildRemoved

    def __init__(self, settings: BotSettings) -> None:
        intents = discord.Intents.none()
        intents.guilds = True
        intents.voice_states = True
        super().__init__(
            intents=intents,
            proxy=settings.discord_proxy or None,
            allowed_mentions=NO_MENTIONS,
            max_messages=None,
            chunk_guilds_at_startup=False,
            guild_ready_timeout=_GUILDS_SECONDS,
            member_cache_flags=discord.MemberCacheFlags.from_intents(intents),
        )
        self.settings = settings
        self.online = False
        self.first_ready = asyncio.Event()
        self.tree = _Tree(self)

    @property
    def is_serving(self) -> bool:
        """Whether commands are accepted: connected, and saved players are restored."""
        return self.online and self.interactions.ready.is_set()

    @property
    def session_id(self) -> str:
        """The id of the gateway session, "" without one."""
        return getattr(self.ws, "session_id", None) or ""

    def counts(self) -> tuple[int, int]:
        """Return the number of guilds and of voice connections."""
        return len(self.guilds), len(self.voice_clients)

    def queued(self) -> int:
        """Return the number of entries in all queues."""
        return sum(len(player.snapshot.entries) for player in self.interactions.players.all())

    async def setup_hook(self) -> None:
        """Register the commands: globally, or only in DISCORD_GUILDS, where registration takes effect at once."""
        await self.tree.set_translator(DescriptionTranslator())
        self.add_dynamic_items(*dynamic_items(component_actions(self.interactions)))
        guilds = [discord.Object(guild_id) for guild_id in self.settings.guild_ids]
        root = root_command(self.interactions)
        self.tree.add_command(root, guilds=guilds or discord.utils.MISSING, override=True)
        for guild in guilds or [None]:
            try:
                synced = await self.tree.sync(guild=guild)
            except discord.Forbidden:
                log.warning("commands.not_registered", guild_id=guild.id if guild is not None else None)
            else:
                log.info("commands.registered", commands=[command.name for command in synced])

    async def on_connect(self) -> None:
        """Handle a new gateway session."""
        self.online = True

    async def on_resumed(self) -> None:
        """Handle a resumed gateway session."""
        self.online = True

    async def on_disconnect(self) -> None:
        """Handle a lost gateway connection; the library reconnects."""
        self.online = False

    async def on_ready(self) -> None:
        """Handle the end of the guild list."""
        self.online = True
        log.info("discord.ready", guilds=len(self.guilds), session_id=self.session_id)
        self.first_ready.set()

    async def on_voice_state_update(
        self, member: discord.Member, before: discord.VoiceState, after: discord.VoiceState
    ) -> None:
        """Pass on that a member joined, left or moved between voice channels."""
        self.voice_state_changed(member, before, after)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Pass on that the bot was removed from a guild."""
        await self.guild_removed(guild.id)

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the library's
        """Log a defect in an event handler."""
        del args, kwargs
        log.error("discord.handler_crashed", handler=event_method, exc_info=True)  # noqa: LOG014 - the library calls this inside its handler
