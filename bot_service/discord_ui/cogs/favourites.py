"""A person's favourites, the same in every server: favorites add, list, play, remove."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Asking, Desk
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Reply
from bot_service.discord_ui.replies.embeds import favourites_embed
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.locales import told
from bot_service.discord_ui.replies.outcomes import tell_enqueued
from bot_service.store.base import MAX_FAVOURITES, Track
from common.errors import Locale

Number = app_commands.Range[int, 1, MAX_FAVOURITES]


class FavouriteCommands(commands.Cog):
    """Commands about favourites."""

    favorites = app_commands.Group(name="favorites", description=told("Tus temas favoritos.", "Your favourite songs."))

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @favorites.command(name="add", description=told("Guardá el tema que suena.", "Keep the song that is playing."))
    async def add(self, interaction: Asking) -> None:
        """Keep the current song."""
        await self._desk.answer(interaction, "favorites add", self._desk.keep_favourite)

    @favorites.command(name="list", description=told("Mostrá tus favoritas.", "Show your favourites."))
    async def list_all(self, interaction: Asking) -> None:
        """Show them."""

        async def work(member: Member, locale: Locale) -> Reply:
            tracks = await self._desk.services.store.favourites(member.id)
            return Reply(embed=favourites_embed(tracks, self._desk.prefix, locale), private=True)

        await self._desk.answer(interaction, "favorites list", work)

    @favorites.command(
        name="play", description=told("Poné una favorita, o todas.", "Play a favourite, or all of them.")
    )
    @app_commands.describe(number=told("Número en la lista; vacío: todas", "Number in the list; empty: all"))
    async def play(self, interaction: Asking, number: Number | None = None) -> None:
        """Queue them."""

        async def work(member: Member, locale: Locale) -> Reply:
            asker = self._desk.asker(interaction, member, locale)
            tracks = await self._chosen(member, number)
            outcome = await self._desk.orders.play_tracks(tracks, asker)
            if len(tracks) == 1:
                return Reply(tell_enqueued(tracks[0].title, outcome, locale))
            words = texts.FAVOURITES_QUEUED.to(locale).format(count=len(outcome.added))
            left_out = texts.LEFT_OUT.to(locale).format(count=len(outcome.left_out))
            return Reply(f"{words}\n{left_out}" if outcome.left_out else words)

        await self._desk.answer(interaction, "favorites play", work)

    @favorites.command(name="remove", description=told("Sacá una favorita.", "Remove a favourite."))
    @app_commands.describe(number=told("Número en la lista", "Number in the list"))
    async def remove(self, interaction: Asking, number: Number) -> None:
        """Remove one."""

        async def work(member: Member, locale: Locale) -> Reply:
            track = (await self._chosen(member, number))[0]
            await self._desk.services.store.remove_favourite(member.id, track.video_id)
            return Reply(texts.FAVOURITE_REMOVED.to(locale).format(title=plain(track.title)), private=True)

        await self._desk.answer(interaction, "favorites remove", work)

    async def _chosen(self, member: Member, number: int | None) -> list[Track]:
        """Return the favourite of that number, or all. Raises BotRefusal when there is none."""
        tracks = await self._desk.services.store.favourites(member.id)
        if not tracks:
            raise BotRefusal(BotRefusalCode.NO_FAVOURITES)
        chosen = tracks if number is None else tracks[number - 1 : number]
        if not chosen:
            raise BotRefusal(BotRefusalCode.NO_SUCH_FAVOURITE)
        return chosen
