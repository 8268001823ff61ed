"""The one way in for commands, buttons and menus: who asks, permissions, the work, the reply, the metric.

Every interaction is answered within Discord's time limit and counted, whatever the work does.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import discord

from bot_service.discord_ui.commands import MemberCommands
from bot_service.discord_ui.latest_messages import LatestMessages
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.replies.answer import Interaction, Reply, answer, locale_of
from bot_service.discord_ui.replies.outcomes import describe, describe_play
from bot_service.player.guild_player import GuildPlayer
from bot_service.player.players import Players
from bot_service.player.rules.events import Command, Previous, Skip
from bot_service.requests.entries import Failure
from bot_service.requests.play import PlayRequests
from bot_service.requests.songs import Requester
from bot_service.services import Services
from common.errors import InvalidInput, Locale
from common.tasks import time_limit

Work = Callable[[discord.Member, Locale], Awaitable[Reply | None]]

# Discord allows 3 s for the first response.
_STARTUP_SECONDS = 1.8


class Interactions:
    """One per process. `ready` is set while commands are accepted: saved players are restored first.

    `failures` has each guild's last failed song, for `status`.
    """

    def __init__(  # noqa: PLR0913 - the parts that cogs reach through it
        self,
        services: Services,
        players: Players,
        *,
        commands: MemberCommands,
        play_requests: PlayRequests,
        latest_messages: LatestMessages,
        failures: Mapping[int, Failure],
    ) -> None:
        self.services = services
        self.players = players
        self.commands = commands
        self.play_requests = play_requests
        self.failures = failures
        self.ready = asyncio.Event()
        self._latest_messages = latest_messages
        self._being_ended: dict[int, str] = {}

    @property
    def prefix(self) -> str:
        """The name of the root command."""
        return self.services.settings.command_prefix

    def player(self, member: discord.Member) -> GuildPlayer:
        """Return the player of the member's guild."""
        return self.players.of(member.guild.id)

    def locale(self, interaction: Interaction) -> Locale:
        """Return the user's language."""
        return locale_of(interaction, self.services.settings.locale)

    async def respond(self, interaction: Interaction, name: str, work: Work, *, defers_itself: bool = False) -> None:
        """Run the work for the member, answer with its reply or refusal, and count it.

        Args:
            interaction: the command or component.
            name: the metric's label, from a closed set.
            work: returns the reply; None acknowledges silently.
            defers_itself: as `answer`.
        """
        locale = self.locale(interaction)

        async def checked() -> Reply | None:
            return await work(await self._member(interaction), locale)

        outcome = await answer(interaction, locale, checked(), defers_itself=defers_itself)
        self.services.metrics.commands.labels(name, outcome).inc()
        self._latest_messages.note_interaction(interaction)
        if interaction.channel_id is not None:
            newest = getattr(interaction.channel, "last_message_id", None) or 0
            self._latest_messages.note(interaction.channel_id, max(newest, interaction.id))

    async def command(self, interaction: Interaction, name: str, command: Command) -> None:
        """Perform a command of the player and reply with its outcome."""
        with self.about_seen_song(interaction, command) as meant:

            async def work(member: discord.Member, locale: Locale) -> Reply:
                return Reply(describe(meant, await self.commands.perform(member, meant), locale))

            await self.respond(interaction, name, work)

    @contextmanager
    def about_seen_song(self, interaction: Interaction, command: Command) -> Generator[Command]:
        """Bind a command that ends the current song to the song that its user saw. Use it around the whole answer.

        While the reply to another such command is under way, that is still the song which that one ends: two users who
        skip at the same moment skip one song.
        """
        guild_id = interaction.guild_id
        if guild_id is None or not isinstance(command, Skip | Previous) or command.entry_id:
            yield command
            return
        player = self.players.get(guild_id)
        current = player.snapshot.current if player is not None else None
        seen = self._being_ended.get(guild_id) or (current.entry_id if current is not None else "")
        is_first = guild_id not in self._being_ended
        self._being_ended.setdefault(guild_id, seen)
        try:
            yield replace(command, entry_id=seen)
        finally:
            if is_first:
                del self._being_ended[guild_id]

    async def play(self, interaction: Interaction, song: str, *, front: bool = False, title: str = "") -> None:
        """Play a typed text, or a menu's value with its `title`.

        If the song must be downloaded, `RequestReplies` edits the reply later.
        """
        asked_at = time.monotonic()

        async def work(member: discord.Member, locale: Locale) -> Reply:
            # Before the public "thinking…", so that a refusal is private.
            check_not_blank(song)
            with self.commands.claimed_channel(member) as channel_id:
                # The reply must exist before the request is published: its status may arrive first.
                deferred = await interaction.response.defer(thinking=True)
                requester = replace(_requester(interaction, member, channel_id, locale, deferred), asked_at=asked_at)
                result = await self.play_requests.play(song.strip(), requester, front=front, title=title)
            return Reply(describe_play(result, locale))

        await self.respond(interaction, "play", work, defers_itself=True)

    def requester(self, interaction: Interaction, member: discord.Member, locale: Locale) -> Requester:
        """Return the requester of songs that need no download.

        Raises:
            BotRefusal, PlayerRefusal: as `MemberCommands.channel_to_play_in`.
        """
        return _requester(interaction, member, self.commands.channel_to_play_in(member), locale, None)

    async def _member(self, interaction: Interaction) -> discord.Member:
        if not isinstance(interaction.user, discord.Member):
            raise BotRefusal(BotRefusalCode.NOT_IN_GUILD)
        try:
            async with time_limit(_STARTUP_SECONDS):
                await self.ready.wait()
        except TimeoutError as exc:
            raise BotRefusal(BotRefusalCode.STARTING) from exc
        # Not the guild's cached member: without the members intent its roles are stale.
        return interaction.user


def check_not_blank(text: str) -> None:
    """Refuse a text without a visible character. Raises InvalidInput."""
    if all(unicodedata.category(character)[0] in "CZ" for character in text):
        raise InvalidInput("nothing but blanks")


def _requester(
    interaction: Interaction,
    member: discord.Member,
    channel_id: int,
    locale: Locale,
    deferred: discord.InteractionCallbackResponse[Any] | None,
) -> Requester:
    return Requester(
        guild_id=member.guild.id,
        user_id=member.id,
        text_channel_id=interaction.channel_id or 0,
        voice_channel_id=channel_id,
        locale=locale,
        interaction_token=interaction.token,
        application_id=interaction.application_id,
        message_id=deferred.message_id if deferred is not None else None,
    )
