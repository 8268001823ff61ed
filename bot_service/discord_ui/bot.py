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
from bot_service.discord_ui.followups import DISCORD_FAILURES
from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import NO_MENTIONS, Reply, locale_of, send
from bot_service.discord_ui.replies.errors import explain
from bot_service.discord_ui.replies.limits import cut
from bot_service.discord_ui.replies.locales import DescriptionTranslator
from bot_service.discord_ui.views import dynamic_items, is_handled
from bot_service.settings import BotSettings
from common.observability.telemetry import get_logger

log = get_logger(__name__)

# Guilds count as complete after this long without a further one.
_GUILDS_SECONDS = 1.0
_PRESENCE = 128
# Between questions to Discord about one guild each, so that they delay no reply.
_COMMANDS_SECONDS = 0.1

VoiceStateChanged = Callable[[discord.Member, discord.VoiceState, discord.VoiceState], None]
GuildRemoved = Callable[[int], Awaitable[None]]


class _Tree(app_commands.CommandTree["MusicBot"]):
    async def on_error(
        self, interaction: discord.Interaction[MusicBot], error: app_commands.AppCommandError, /
    ) -> None:
        """Answer errors raised before a command runs, such as options that do not convert, and defects."""
        settings = interaction.client.settings
        locale = locale_of(interaction, settings.locale)
        if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
            log.info("command.stale", error=str(error))
            if interaction.type is discord.InteractionType.autocomplete:
                return
            words = texts.STALE_COMMAND.to(locale).format(prefix=settings.command_prefix)
        else:
            log.error("command.crashed", exc_info=error)
            words = f"❌ {explain(error, locale)}"
        await send(interaction, Reply(words, private=True), locale)


class MusicBot(discord.Client):
    """The bot's client. The four attributes are set before it logs in: what they need is built on the client."""

    interactions: Interactions
    voice_state_changed: VoiceStateChanged
    session_renewed: Callable[[], None]
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
        """Register the commands: globally, or only in DISCORD_GUILDS, where registration takes effect at once.

        With DISCORD_GUILDS the global ones of an earlier start are removed, or each would be offered twice.
        """
        self._set_presence()
        await self.tree.set_translator(DescriptionTranslator())
        self.add_dynamic_items(*dynamic_items(component_actions(self.interactions)))
        guilds = [discord.Object(guild_id) for guild_id in self.settings.guild_ids]
        root = root_command(self.interactions)
        self.tree.add_command(root, guilds=guilds or discord.utils.MISSING, override=True)
        for guild in (None, *guilds):
            try:
                synced = await self.tree.sync(guild=guild)
            except discord.Forbidden:
                log.warning("commands.not_registered", guild_id=guild.id if guild is not None else None)
            else:
                log.info("commands.registered", commands=[command.name for command in synced])

    def _set_presence(self) -> None:
        """Set what Discord shows as the bot's activity; it is sent with each new gateway session."""
        name = self.user.display_name if self.user is not None else ""
        text = self.settings.discord_presence.replace("{bot}", name).replace("{prefix}", self.settings.command_prefix)
        if text.strip():
            self.activity = discord.Game(cut(text.strip(), _PRESENCE))

    async def remove_stale_commands(self) -> None:
        """Remove the commands that an earlier start registered in guilds which DISCORD_GUILDS does not name now.

        Discord tells nobody where they are: each guild is asked. A failure is logged; the next start asks again.
        """
        application_id = self.application_id
        if application_id is None:
            return
        for guild in list(self.guilds):
            if guild.id in self.settings.guild_ids:
                continue
            try:
                if await self.http.get_guild_commands(application_id, guild.id):
                    await self.http.bulk_upsert_guild_commands(application_id, guild.id, [])
                    log.info("commands.removed", guild_id=guild.id)
            except DISCORD_FAILURES as exc:
                log.info("commands.not_removed", guild_id=guild.id, error=repr(exc))
            await asyncio.sleep(_COMMANDS_SECONDS)

    async def on_interaction(self, interaction: discord.Interaction[MusicBot]) -> None:
        """Answer a button or menu that no handler knows: of an older version, or of another bot with this account."""
        data = interaction.data or {}
        custom_id = str(data.get("custom_id", ""))
        if interaction.type is discord.InteractionType.component and not is_handled(custom_id):
            locale = locale_of(interaction, self.settings.locale)
            words = texts.STALE_BUTTON.to(locale).format(prefix=self.settings.command_prefix)
            await send(interaction, Reply(words, private=True), locale)

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
        if self.first_ready.is_set():
            self.session_renewed()
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
