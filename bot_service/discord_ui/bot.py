"""The Discord client: what it wants to hear, the commands it registers, what it passes on. No logic of its own.

It asks for no privileged intents: it reads no messages and no list of members.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from bot_service.discord_ui.cogs import root_command
from bot_service.discord_ui.replies.answer import NO_MENTIONS, Reply, locale_of, send
from bot_service.discord_ui.replies.errors import explain
from bot_service.discord_ui.replies.locales import Descriptions
from bot_service.discord_ui.views import DYNAMIC_ITEMS
from bot_service.settings import BotSettings
from common.observability.telemetry import get_logger

if TYPE_CHECKING:
    from bot_service.discord_ui.interactions import Desk

log = get_logger(__name__)

# How long no further guild must arrive before all are taken to be known.
_GUILDS_SECONDS = 1.0

VoiceChange = Callable[[discord.Member, discord.VoiceState, discord.VoiceState], None]
GuildGone = Callable[[int], Awaitable[None]]


class _Tree(app_commands.CommandTree["MusicBot"]):
    async def on_error(
        self, interaction: discord.Interaction[MusicBot], error: app_commands.AppCommandError, /
    ) -> None:
        """Answer for what the commands themselves did not: options that do not fit, defects."""
        log.error("command.crashed", exc_info=error)
        locale = locale_of(interaction, interaction.client.settings.locale)
        await send(interaction, Reply(f"❌ {explain(error, locale)}", private=True))


class MusicBot(discord.Client):
    """The bot's client. The three attributes are set by whoever makes it, before it logs in."""

    desk: Desk
    voice_changed: VoiceChange
    guild_gone: GuildGone

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
        """Whether commands are taken: connected, and the players of before a restart are back."""
        return self.online and self.desk.open.is_set()

    @property
    def session_id(self) -> str:
        """The gateway session's, "" without one."""
        return getattr(self.ws, "session_id", None) or ""

    def counts(self) -> tuple[int, int]:
        """Return how many guilds and voice connections there are."""
        return len(self.guilds), len(self.voice_clients)

    def queued(self) -> int:
        """Return how many songs wait in all queues."""
        return sum(len(player.snapshot.entries) for player in self.desk.players.all())

    async def setup_hook(self) -> None:
        """Register the commands: everywhere, or in DISCORD_GUILDS alone, where that is at once."""
        await self.tree.set_translator(Descriptions())
        self.add_dynamic_items(*DYNAMIC_ITEMS)
        guilds = [discord.Object(guild_id) for guild_id in self.settings.guild_ids]
        self.tree.add_command(root_command(self.desk), guilds=guilds or discord.utils.MISSING, override=True)
        for guild in guilds or [None]:
            try:
                synced = await self.tree.sync(guild=guild)
            except discord.Forbidden:
                log.warning("commands.not_registered", guild_id=guild.id if guild is not None else None)
            else:
                log.info("commands.registered", commands=[command.name for command in synced])

    async def on_connect(self) -> None:
        """A new gateway session."""
        self.online = True

    async def on_resumed(self) -> None:
        """The old gateway session goes on."""
        self.online = True

    async def on_disconnect(self) -> None:
        """The gateway connection is gone; the library makes a new one."""
        self.online = False

    async def on_ready(self) -> None:
        """The guilds are known."""
        self.online = True
        log.info("discord.ready", guilds=len(self.guilds), session_id=self.session_id)
        self.first_ready.set()

    async def on_voice_state_update(
        self, member: discord.Member, before: discord.VoiceState, after: discord.VoiceState
    ) -> None:
        """Somebody entered, left, moved or was moved."""
        self.voice_changed(member, before, after)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was sent away from a guild."""
        await self.guild_gone(guild.id)

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the library's
        """Log a defect in a handler."""
        del args, kwargs
        log.error("discord.handler_crashed", handler=event_method, exc_info=True)  # noqa: LOG014 - the library calls this inside its handler
