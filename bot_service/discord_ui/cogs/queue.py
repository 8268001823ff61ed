"""The queue and the history: list, queue, remove, move, shuffle, clear, jump, history."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.replies.answer import Interaction, Reply
from bot_service.discord_ui.replies.embeds import history_embed, queue_embed
from bot_service.discord_ui.replies.locales import localised
from bot_service.discord_ui.views import queue_view
from bot_service.player.rules.events import Clear, Jump, Move, Remove, Shuffle
from common.errors import Locale

_HISTORY = 20
_PAGES = 1000
_MAX = 10_000
Position = app_commands.Range[int, 1, _MAX]


class QueueCommands(commands.Cog):
    """Commands about queue and history."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    @app_commands.command(name="list", description=localised("Mostrá la cola.", "Show the queue."))
    async def list_queue(self, interaction: Interaction) -> None:
        """Show the first page."""
        await self._show(interaction, 1)

    @app_commands.command(
        name="queue", description=localised("Mostrá la cola, por páginas.", "Show the queue, in pages.")
    )
    @app_commands.describe(page=localised("Página", "Page"))
    async def queue(self, interaction: Interaction, page: app_commands.Range[int, 1, _PAGES] = 1) -> None:
        """Show a page."""
        await self._show(interaction, page)

    @app_commands.command(
        name="remove", description=localised("Sacá un tema de la cola.", "Take a song out of the queue.")
    )
    @app_commands.describe(position=localised("Posición en la cola, desde 1", "Position in the queue, from 1"))
    async def remove(self, interaction: Interaction, position: Position) -> None:
        """Remove a song."""
        await self._interactions.command(interaction, "remove", Remove(position))

    @app_commands.command(
        name="move", description=localised("Cambiá un tema de lugar.", "Move a song to another place.")
    )
    @app_commands.rename(source="from", target="to")
    @app_commands.describe(
        source=localised("Posición del tema", "The song's position"),
        target=localised("Posición nueva", "Its new position"),
    )
    async def move(self, interaction: Interaction, source: Position, target: Position) -> None:
        """Move a song."""
        await self._interactions.command(interaction, "move", Move(source, target))

    @app_commands.command(name="shuffle", description=localised("Mezclá la cola.", "Shuffle the queue."))
    async def shuffle(self, interaction: Interaction) -> None:
        """Shuffle."""
        await self._interactions.command(interaction, "shuffle", Shuffle())

    @app_commands.command(
        name="clear", description=localised("Vaciá la cola; el tema actual sigue.", "Clear the queue only.")
    )
    async def clear(self, interaction: Interaction) -> None:
        """Clear the queue."""
        await self._interactions.command(interaction, "clear", Clear())

    @app_commands.command(
        name="jump", description=localised("Saltá a un tema de la cola.", "Jump to a song of the queue.")
    )
    @app_commands.describe(position=localised("Posición en la cola, desde 1", "Position in the queue, from 1"))
    async def jump(self, interaction: Interaction, position: Position) -> None:
        """Play a song of the queue at once."""
        await self._interactions.command(interaction, "jump", Jump(position))

    @app_commands.command(
        name="history", description=localised("Lo último que sonó acá.", "What was played here last.")
    )
    async def history(self, interaction: Interaction) -> None:
        """Show the history."""

        async def work(member: Member, locale: Locale) -> Reply:
            played = await self._interactions.services.store.history(member.guild.id, _HISTORY)
            return Reply(embed=history_embed(played, locale))

        await self._interactions.respond(interaction, "history", work)

    async def _show(self, interaction: Interaction, page: int) -> None:
        async def work(member: Member, locale: Locale) -> Reply:
            snapshot = self._interactions.player(member).snapshot
            embed = queue_embed(snapshot, page, self._interactions.prefix, locale)
            return Reply(embed=embed, view=queue_view(snapshot, page))

        await self._interactions.respond(interaction, "queue", work)
