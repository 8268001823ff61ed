"""What is on: skip, stop, pause, resume, previous, seek, loop, playing."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Asking, Desk
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.replies.answer import Reply
from bot_service.discord_ui.replies.embeds import player_embed
from bot_service.discord_ui.replies.locales import told
from bot_service.discord_ui.replies.outcomes import tell
from bot_service.discord_ui.replies.shape import parse_time
from bot_service.player.rules.events import Pause, Previous, Resume, Seek, SetLoop, Skip, Stop
from bot_service.player.rules.model import LoopMode
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from common.errors import Locale


class PlaybackCommands(commands.Cog):
    """Commands about the current song."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @app_commands.command(name="skip", description=told("Pasá al tema siguiente.", "Go on to the next song."))
    async def skip(self, interaction: Asking) -> None:
        """Skip, or vote for it."""
        await self._desk.command(interaction, "skip", Skip(interaction.user.id))

    @app_commands.command(
        name="stop", description=told("Pará todo, vaciá la cola y salí del canal.", "Stop, clear the queue and leave.")
    )
    async def stop(self, interaction: Asking) -> None:
        """Stop."""
        await self._desk.command(interaction, "stop", Stop())

    @app_commands.command(name="pause", description=told("Pausá el tema.", "Pause the song."))
    async def pause(self, interaction: Asking) -> None:
        """Pause."""
        await self._desk.command(interaction, "pause", Pause())

    @app_commands.command(name="resume", description=told("Seguí donde quedó.", "Go on where it was paused."))
    async def resume(self, interaction: Asking) -> None:
        """Resume."""
        await self._desk.command(interaction, "resume", Resume())

    @app_commands.command(name="previous", description=told("Volvé al tema anterior.", "Go back to the song before."))
    async def previous(self, interaction: Asking) -> None:
        """Go back."""
        await self._desk.command(interaction, "previous", Previous())

    @app_commands.command(name="seek", description=told("Andá a un momento del tema.", "Go to a place in the song."))
    @app_commands.rename(place="time")
    @app_commands.describe(place=told("1:23, 83 o 1m23s", "1:23, 83 or 1m23s"))
    async def seek(self, interaction: Asking, place: app_commands.Range[str, 1, 20]) -> None:
        """Go to a place."""

        async def work(member: Member, locale: Locale) -> Reply:
            position_ms = parse_time(place)
            if position_ms is None:
                raise BotRefusal(BotRefusalCode.BAD_TIME)
            command = Seek(position_ms)
            return Reply(tell(command, await self._desk.orders.command(member, command), locale))

        await self._desk.answer(interaction, "seek", work)

    @app_commands.command(name="loop", description=told("Repetí el tema o la cola.", "Repeat the song or the queue."))
    @app_commands.describe(mode=told("Qué repetir", "What to repeat"))
    @app_commands.choices(
        mode=[
            app_commands.Choice(name=told("nada", "nothing"), value="off"),
            app_commands.Choice(name=told("este tema", "this song"), value="track"),
            app_commands.Choice(name=told("la cola", "the queue"), value="queue"),
        ]
    )
    async def loop(self, interaction: Asking, mode: str) -> None:
        """Set the loop mode."""
        await self._desk.command(interaction, "loop", SetLoop(LoopMode(mode)))

    @app_commands.command(name="playing", description=told("Qué está sonando.", "What is playing."))
    async def playing(self, interaction: Asking) -> None:
        """Show what is on."""

        async def work(member: Member, locale: Locale) -> Reply:
            snapshot = self._desk.player(member).snapshot
            if snapshot.current is None:
                raise PlayerRefusal(RefusalCode.NOTHING_PLAYING)
            return Reply(embed=player_embed(snapshot, locale))

        await self._desk.answer(interaction, "playing", work)
