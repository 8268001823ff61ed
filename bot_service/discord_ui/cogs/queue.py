"""What comes next, and what was: list, queue, remove, move, shuffle, clear, jump, history."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Asking, Desk
from bot_service.discord_ui.replies.answer import Reply
from bot_service.discord_ui.replies.embeds import history_embed, queue_embed
from bot_service.discord_ui.replies.locales import told
from bot_service.discord_ui.views import queue_view
from bot_service.player.rules.events import Clear, Jump, Move, Remove, Shuffle
from common.errors import Locale

_HISTORY = 20
_PAGES = 1000
_MAX = 10_000
Position = app_commands.Range[int, 1, _MAX]


class QueueCommands(commands.Cog):
    """Commands about the order of songs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @app_commands.command(name="list", description=told("Mostrá la cola.", "Show the queue."))
    async def list_queue(self, interaction: Asking) -> None:
        """Show the first page."""
        await self._show(interaction, 1)

    @app_commands.command(name="queue", description=told("Mostrá la cola, por páginas.", "Show the queue, in pages."))
    @app_commands.describe(page=told("Página", "Page"))
    async def queue(self, interaction: Asking, page: app_commands.Range[int, 1, _PAGES] = 1) -> None:
        """Show a page."""
        await self._show(interaction, page)

    @app_commands.command(name="remove", description=told("Sacá un tema de la cola.", "Take a song out of the queue."))
    @app_commands.describe(position=told("Posición en la cola, desde 1", "Position in the queue, from 1"))
    async def remove(self, interaction: Asking, position: Position) -> None:
        """Take a song out."""
        await self._desk.command(interaction, "remove", Remove(position))

    @app_commands.command(name="move", description=told("Cambiá un tema de lugar.", "Move a song to another place."))
    @app_commands.rename(source="from", target="to")
    @app_commands.describe(
        source=told("Posición del tema", "The song's position"), target=told("Posición nueva", "Its new position")
    )
    async def move(self, interaction: Asking, source: Position, target: Position) -> None:
        """Move a song."""
        await self._desk.command(interaction, "move", Move(source, target))

    @app_commands.command(name="shuffle", description=told("Mezclá la cola.", "Shuffle the queue."))
    async def shuffle(self, interaction: Asking) -> None:
        """Shuffle."""
        await self._desk.command(interaction, "shuffle", Shuffle())

    @app_commands.command(
        name="clear", description=told("Vaciá la cola; el tema actual sigue.", "Clear the queue only.")
    )
    async def clear(self, interaction: Asking) -> None:
        """Clear the queue."""
        await self._desk.command(interaction, "clear", Clear())

    @app_commands.command(name="jump", description=told("Saltá a un tema de la cola.", "Jump to a song of the queue."))
    @app_commands.describe(position=told("Posición en la cola, desde 1", "Position in the queue, from 1"))
    async def jump(self, interaction: Asking, position: Position) -> None:
        """Jump ahead."""
        await self._desk.command(interaction, "jump", Jump(position))

    @app_commands.command(name="history", description=told("Lo último que sonó acá.", "What was played here last."))
    async def history(self, interaction: Asking) -> None:
        """Show what was played."""

        async def work(member: Member, locale: Locale) -> Reply:
            played = await self._desk.services.store.history(member.guild.id, _HISTORY)
            return Reply(embed=history_embed(played, locale))

        await self._desk.answer(interaction, "history", work)

    async def _show(self, interaction: Asking, page: int) -> None:
        async def work(member: Member, locale: Locale) -> Reply:
            snapshot = self._desk.player(member).snapshot
            embed = queue_embed(snapshot, page, self._desk.prefix, locale)
            return Reply(embed=embed, view=queue_view(snapshot, page))

        await self._desk.answer(interaction, "queue", work)
