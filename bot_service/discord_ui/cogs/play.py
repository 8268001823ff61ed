"""Asking for songs: play, search."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Asking, Desk
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Reply
from bot_service.discord_ui.replies.embeds import found_embed
from bot_service.discord_ui.replies.escape import label, plain
from bot_service.discord_ui.replies.locales import told
from bot_service.discord_ui.replies.shape import length
from bot_service.discord_ui.views import found_view
from common.errors import Locale
from common.observability.tracing import span

_MAX_SONG = 500
_SHOWN = 10


class PlayCommands(commands.Cog):
    """Commands that find songs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @app_commands.command(
        name="play",
        description=told("Poné un tema o una lista: nombre o enlace.", "Play a song or a playlist: name or link."),
    )
    @app_commands.rename(song="input", first="next")
    @app_commands.describe(
        song=told("Nombre del tema, o enlace de un tema o de una lista", "A song's name, or link to song or playlist"),
        first=told("Que suene enseguida después del actual", "Play it right after the current song"),
    )
    async def play(
        self,
        interaction: Asking,
        song: app_commands.Range[str, 1, _MAX_SONG],
        first: bool = False,  # noqa: FBT001, FBT002 - how discord.py names an option
    ) -> None:
        """Play what is typed."""
        with span("command play", "server"):
            await self._desk.play(interaction, song, front=first)

    @play.autocomplete("song")
    async def complete(self, interaction: Asking, typed: str) -> list[app_commands.Choice[str]]:
        """Offer songs of the library."""
        del interaction
        found = await self._desk.services.songs.suggest(typed)
        return [
            app_commands.Choice(name=label(f"{track.title} · {length(track.duration_ms)}"), value=track.video_id)
            for track in found
        ]

    @app_commands.command(
        name="search",
        description=told("Buscá y elegí de una lista.", "Search, and pick from a menu."),
    )
    @app_commands.rename(words="input")
    @app_commands.describe(words=told("Qué buscar", "What to look for"))
    async def search(self, interaction: Asking, words: app_commands.Range[str, 2, _MAX_SONG]) -> None:
        """Show what there is for the words."""

        async def work(member: Member, locale: Locale) -> Reply:
            del member
            found = await self._desk.services.songs.search(words, _SHOWN)
            if not found:
                return Reply(texts.SEARCH_NOTHING.to(locale).format(words=plain(words)), private=True)
            return Reply(embed=found_embed(words, found, locale), view=found_view(found, locale))

        await self._desk.answer(interaction, "search", work)
