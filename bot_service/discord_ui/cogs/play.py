"""Requesting songs: play, search."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Interactions, check_not_blank
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Interaction, Reply
from bot_service.discord_ui.replies.embeds import search_embed
from bot_service.discord_ui.replies.escape import label, plain
from bot_service.discord_ui.replies.formatting import length
from bot_service.discord_ui.replies.limits import choices_within
from bot_service.discord_ui.replies.locales import localised
from bot_service.discord_ui.views import search_view
from bot_service.requests.query import choice_of
from common.errors import Locale
from common.observability.tracing import span

_MAX_SONG = 500
_SHOWN = 10


class PlayCommands(commands.Cog):
    """Commands that find songs."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    @app_commands.command(
        name="play",
        description=localised("Poné un tema o una lista: nombre o enlace.", "Play a song or a playlist: name or link."),
    )
    @app_commands.rename(song="input", first="next")
    @app_commands.describe(
        song=localised(
            "Nombre del tema, o enlace de un tema o de una lista", "A song's name, or link to song or playlist"
        ),
        first=localised("Que suene enseguida después del actual", "Play it right after the current song"),
    )
    async def play(
        self,
        interaction: Interaction,
        song: app_commands.Range[str, 1, _MAX_SONG],
        first: bool = False,  # noqa: FBT001, FBT002 - how discord.py names an option
    ) -> None:
        """Play a song or playlist."""
        with span("command play", "server"):
            await self._interactions.play(interaction, song, front=first)

    @play.autocomplete("song")
    async def complete(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Suggest songs of the library."""
        del interaction
        found = await self._interactions.services.songs.suggest(typed)
        offered = choices_within([(label(f"{one.title} · {length(one.duration_ms)}"), choice_of(one)) for one in found])
        return [app_commands.Choice(name=name, value=value) for name, value in offered]

    @app_commands.command(
        name="search",
        description=localised("Buscá y elegí de una lista.", "Search, and pick from a menu."),
    )
    @app_commands.rename(words="input")
    @app_commands.describe(words=localised("Qué buscar", "What to look for"))
    async def search(self, interaction: Interaction, words: app_commands.Range[str, 2, _MAX_SONG]) -> None:
        """Show search results and a menu."""

        async def work(member: Member, locale: Locale) -> Reply:
            del member
            check_not_blank(words)
            found = await self._interactions.services.songs.search(words, _SHOWN)
            if not found:
                return Reply(texts.SEARCH_NOTHING.to(locale).format(words=plain(words)), private=True)
            return Reply(embed=search_embed(words, found, locale), view=search_view(found, locale))

        await self._interactions.respond(interaction, "search", work)
