"""Where commands, buttons and menus come in: who asks and from where, the work, the reply. Cogs and views call this.

Every interaction is answered in time and counted, whatever becomes of its work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import discord

from bot_service.discord_ui.commands import Orders
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.player_message import Panels
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Reply, answer, locale_of
from bot_service.discord_ui.replies.embeds import queue_embed
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.outcomes import tell, tell_play
from bot_service.discord_ui.request_replies import Arrivals
from bot_service.discord_ui.views import queue_view
from bot_service.player.guild_player import GuildPlayer
from bot_service.player.players import Players
from bot_service.player.rules.events import Command, Pause, Previous, Resume, SetLoop, Shuffle, Skip, Stop
from bot_service.player.rules.model import LoopMode, Phase
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from bot_service.requests.songs import Asker
from bot_service.services import Services
from bot_service.store.base import FavouritesFull
from common.errors import Locale

Asking = discord.Interaction[Any]
Work = Callable[[discord.Member, Locale], Awaitable[Reply | None]]

# Of the 3 s that Discord gives for the first answer.
_OPENING_SECONDS = 1.8
_NEXT_LOOP = {LoopMode.OFF: LoopMode.QUEUE, LoopMode.QUEUE: LoopMode.TRACK, LoopMode.TRACK: LoopMode.OFF}


class Desk:
    """One for the process. `open` is set once the players of before a restart are back."""

    def __init__(
        self, services: Services, players: Players, orders: Orders, arrivals: Arrivals, panels: Panels
    ) -> None:
        self.services = services
        self.players = players
        self.orders = orders
        self.arrivals = arrivals
        self.panels = panels
        self.open = asyncio.Event()

    @property
    def prefix(self) -> str:
        """The name of the root command."""
        return self.services.settings.command_prefix

    def player(self, member: discord.Member) -> GuildPlayer:
        """Return the player of the member's guild."""
        return self.players.of(member.guild.id)

    def locale(self, interaction: Asking) -> Locale:
        """Return the person's language."""
        return locale_of(interaction, self.services.settings.locale)

    async def answer(self, interaction: Asking, name: str, work: Work, *, defers_itself: bool = False) -> None:
        """Do the work for whoever asks, answer, count. `name` is the command's, from a closed set."""
        locale = self.locale(interaction)

        async def checked() -> Reply | None:
            return await work(await self._member(interaction), locale)

        outcome = await answer(interaction, locale, checked(), defers_itself=defers_itself)
        self.services.metrics.commands.labels(name, outcome).inc()
        if interaction.channel_id is not None:
            newest = getattr(interaction.channel, "last_message_id", None) or 0
            self.panels.saw(interaction.channel_id, max(newest, interaction.id))

    async def command(self, interaction: Asking, name: str, command: Command) -> None:
        """Carry out a command of the player and say what came of it."""

        async def work(member: discord.Member, locale: Locale) -> Reply:
            return Reply(tell(command, await self.orders.command(member, command), locale))

        await self.answer(interaction, name, work)

    async def play(self, interaction: Asking, song: str, *, front: bool = False, title: str = "") -> None:
        """Play what was typed, or chosen under a `title`.

        The reply goes on to be edited by `Arrivals` when the song must be fetched.
        """
        asked_at = time.monotonic()

        async def work(member: discord.Member, locale: Locale) -> Reply:
            # Checked before anything is promised, so that a no is seen by the person alone.
            channel_id = self.orders.check_can_play(member)
            # The reply must exist before the request is published: its answer may be the faster one.
            thinking = await interaction.response.defer(thinking=True)
            asker = replace(self._asker(interaction, member, channel_id, locale, thinking), asked_at=asked_at)
            return Reply(tell_play(await self.orders.play(song.strip(), asker, front=front, title=title), locale))

        await self.answer(interaction, "play", work, defers_itself=True)

    async def press(self, interaction: Asking, action: str) -> None:
        """A button of the player message: done silently, refused privately."""

        async def work(member: discord.Member, locale: Locale) -> Reply | None:
            if action == "favourite":
                return await self.keep_favourite(member, locale)
            command = self._command_of(action, member)
            if command is None:
                return None
            outcome = await self.orders.command(member, command)
            words = tell(command, outcome, locale)
            return Reply(words, private=True) if isinstance(command, Skip) else None

        await self.answer(interaction, "button", work)

    async def turn(self, interaction: Asking, page: int) -> None:
        """Show another page of the queue in the same message."""
        locale = self.locale(interaction)
        if interaction.guild_id is None:
            return
        snapshot = self.players.of(interaction.guild_id).snapshot
        embed = queue_embed(snapshot, page, self.prefix, locale)
        await interaction.response.edit_message(embed=embed, view=queue_view(snapshot, page))

    async def keep_favourite(self, member: discord.Member, locale: Locale) -> Reply:
        """Keep the current song among the member's favourites.

        Raises:
            BotRefusal: favourites_full.
            PlayerRefusal: nothing_playing.
        """
        current = self.player(member).snapshot.current
        if current is None or current.track is None:
            raise PlayerRefusal(RefusalCode.NOTHING_PLAYING)
        try:
            # Whoever likes a song before it is whole wants the song: it can be asked for again if it comes to nothing.
            is_new = await self.services.store.add_favourite(member.id, replace(current.track, unfinished=False))
        except FavouritesFull as exc:
            raise BotRefusal(BotRefusalCode.FAVOURITES_FULL) from exc
        text = texts.FAVOURITE_ADDED if is_new else texts.FAVOURITE_KNOWN
        return Reply(text.to(locale).format(title=plain(current.title)), private=True)

    def asker(self, interaction: Asking, member: discord.Member, locale: Locale) -> Asker:
        """Return who asks, for songs that are at hand.

        Raises:
            BotRefusal: there is no voice channel to play in.
        """
        return self._asker(interaction, member, self.orders.check_can_play(member), locale, None)

    def _asker(
        self,
        interaction: Asking,
        member: discord.Member,
        channel_id: int,
        locale: Locale,
        thinking: discord.InteractionCallbackResponse[Any] | None,
    ) -> Asker:
        return Asker(
            guild_id=member.guild.id,
            user_id=member.id,
            text_channel_id=interaction.channel_id or 0,
            voice_channel_id=channel_id,
            locale=locale,
            interaction_token=interaction.token,
            application_id=interaction.application_id,
            message_id=thinking.message_id if thinking is not None else None,
        )

    async def _member(self, interaction: Asking) -> discord.Member:
        if not isinstance(interaction.user, discord.Member):
            raise BotRefusal(BotRefusalCode.NOT_IN_GUILD)
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                await self.open.wait()
        except TimeoutError as exc:
            raise BotRefusal(BotRefusalCode.STARTING) from exc
        # Not the guild's member: its roles are those of the last voice change, roles are not told otherwise.
        return interaction.user

    def _command_of(self, action: str, member: discord.Member) -> Command | None:
        snapshot = self.player(member).snapshot
        match action:
            case "pause":
                return Resume() if snapshot.phase is Phase.PAUSED else Pause()
            case "loop":
                return SetLoop(_NEXT_LOOP[snapshot.loop])
            case "skip":
                return Skip(member.id)
            case _:
                return {"previous": Previous(), "stop": Stop(), "shuffle": Shuffle()}.get(action)
