"""A user's favourites, the same in every guild: favorites add, list, play, remove."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Interaction, Reply
from bot_service.discord_ui.replies.embeds import favourites_embed
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.locales import localised
from bot_service.discord_ui.replies.outcomes import describe_enqueued, describe_favourite
from bot_service.store.base import MAX_FAVOURITES, Track
from common.errors import Locale

Number = app_commands.Range[int, 1, MAX_FAVOURITES]


class FavouriteCommands(commands.Cog):
    """Commands about favourites."""

    favorites = app_commands.Group(
        name="favorites", description=localised("Tus temas favoritos.", "Your favourite songs.")
    )

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    @favorites.command(name="add", description=localised("Guardá el tema que suena.", "Keep the song that is playing."))
    async def add(self, interaction: Interaction) -> None:
        """Add the current song."""

        async def work(member: Member, locale: Locale) -> Reply:
            added = await self._interactions.commands.add_favourite(member)
            return Reply(describe_favourite(added.title, locale, is_new=added.is_new), private=True)

        await self._interactions.respond(interaction, "favorites add", work)

    @favorites.command(name="list", description=localised("Mostrá tus favoritas.", "Show your favourites."))
    async def list_all(self, interaction: Interaction) -> None:
        """Show the list."""

        async def work(member: Member, locale: Locale) -> Reply:
            tracks = await self._interactions.services.store.favourites(member.id)
            return Reply(embed=favourites_embed(tracks, self._interactions.prefix, locale), private=True)

        await self._interactions.respond(interaction, "favorites list", work)

    @favorites.command(
        name="play", description=localised("Poné una favorita, o todas.", "Play a favourite, or all of them.")
    )
    @app_commands.describe(number=localised("Número en la lista; vacío: todas", "Number in the list; empty: all"))
    async def play(self, interaction: Interaction, number: Number | None = None) -> None:
        """Queue one or all."""

        async def work(member: Member, locale: Locale) -> Reply:
            requester = self._interactions.requester(interaction, member, locale)
            tracks = await self._chosen(member, number)
            outcome = await self._interactions.play_requests.play_tracks(tracks, requester)
            if len(tracks) == 1:
                return Reply(describe_enqueued(tracks[0].title, outcome, locale))
            words = texts.FAVOURITES_QUEUED.to(locale).format(count=len(outcome.added))
            left_out = texts.LEFT_OUT.to(locale).format(count=len(outcome.left_out))
            return Reply(f"{words}\n{left_out}" if outcome.left_out else words)

        await self._interactions.respond(interaction, "favorites play", work)

    @favorites.command(name="remove", description=localised("Sacá una favorita.", "Remove a favourite."))
    @app_commands.describe(number=localised("Número en la lista", "Number in the list"))
    async def remove(self, interaction: Interaction, number: Number) -> None:
        """Remove one."""

        async def work(member: Member, locale: Locale) -> Reply:
            track = (await self._chosen(member, number))[0]
            await self._interactions.services.store.remove_favourite(member.id, track.video_id)
            return Reply(texts.FAVOURITE_REMOVED.to(locale).format(title=plain(track.title)), private=True)

        await self._interactions.respond(interaction, "favorites remove", work)

    async def _chosen(self, member: Member, number: int | None) -> list[Track]:
        """Return the favourite of that number, or all. Raises BotRefusal: no_favourites, no_such_favourite."""
        tracks = await self._interactions.services.store.favourites(member.id)
        if not tracks:
            raise BotRefusal(BotRefusalCode.NO_FAVOURITES)
        chosen = tracks if number is None else tracks[number - 1 : number]
        if not chosen:
            raise BotRefusal(BotRefusalCode.NO_SUCH_FAVOURITE)
        return chosen
