"""The current song: skip, stop, pause, resume, previous, seek, loop, playing."""

from __future__ import annotations

from discord import Member, app_commands
from discord.ext import commands

from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.replies.answer import Interaction, Reply
from bot_service.discord_ui.replies.embeds import player_embed
from bot_service.discord_ui.replies.formatting import parse_time
from bot_service.discord_ui.replies.locales import localised
from bot_service.discord_ui.replies.outcomes import describe
from bot_service.player.rules.events import Pause, Previous, Resume, Seek, SetLoop, Skip, Stop
from bot_service.player.rules.model import LoopMode
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from common.errors import Locale


class PlaybackCommands(commands.Cog):
    """Commands about the current song."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    @app_commands.command(name="skip", description=localised("Pasá al tema siguiente.", "Go on to the next song."))
    async def skip(self, interaction: Interaction) -> None:
        """Skip, or vote to."""
        await self._interactions.command(interaction, "skip", Skip(interaction.user.id))

    @app_commands.command(
        name="stop",
        description=localised("Pará todo, vaciá la cola y salí del canal.", "Stop, clear the queue and leave."),
    )
    async def stop(self, interaction: Interaction) -> None:
        """Stop."""
        await self._interactions.command(interaction, "stop", Stop())

    @app_commands.command(name="pause", description=localised("Pausá el tema.", "Pause the song."))
    async def pause(self, interaction: Interaction) -> None:
        """Pause."""
        await self._interactions.command(interaction, "pause", Pause())

    @app_commands.command(name="resume", description=localised("Seguí donde quedó.", "Go on where it was paused."))
    async def resume(self, interaction: Interaction) -> None:
        """Resume."""
        await self._interactions.command(interaction, "resume", Resume())

    @app_commands.command(
        name="previous", description=localised("Volvé al tema anterior.", "Go back to the song before.")
    )
    async def previous(self, interaction: Interaction) -> None:
        """Play the previous song."""
        await self._interactions.command(interaction, "previous", Previous())

    @app_commands.command(
        name="seek", description=localised("Andá a un momento del tema.", "Go to a place in the song.")
    )
    @app_commands.rename(position="time")
    @app_commands.describe(position=localised("1:23, 83 o 1m23s", "1:23, 83 or 1m23s"))
    async def seek(self, interaction: Interaction, position: app_commands.Range[str, 1, 20]) -> None:
        """Seek to a position."""

        async def work(member: Member, locale: Locale) -> Reply:
            position_ms = parse_time(position)
            if position_ms is None:
                raise BotRefusal(BotRefusalCode.BAD_TIME)
            command = Seek(position_ms)
            return Reply(describe(command, await self._interactions.commands.perform(member, command), locale))

        await self._interactions.respond(interaction, "seek", work)

    @app_commands.command(
        name="loop", description=localised("Repetí el tema o la cola.", "Repeat the song or the queue.")
    )
    @app_commands.describe(mode=localised("Qué repetir", "What to repeat"))
    @app_commands.choices(
        mode=[
            app_commands.Choice(name=localised("nada", "nothing"), value="off"),
            app_commands.Choice(name=localised("este tema", "this song"), value="track"),
            app_commands.Choice(name=localised("la cola", "the queue"), value="queue"),
        ]
    )
    async def loop(self, interaction: Interaction, mode: str) -> None:
        """Set the loop mode."""
        await self._interactions.command(interaction, "loop", SetLoop(LoopMode(mode)))

    @app_commands.command(name="playing", description=localised("Qué está sonando.", "What is playing."))
    async def playing(self, interaction: Interaction) -> None:
        """Show the current song."""

        async def work(member: Member, locale: Locale) -> Reply:
            snapshot = self._interactions.player(member).snapshot
            if snapshot.current is None:
                raise PlayerRefusal(RefusalCode.NOTHING_PLAYING)
            return Reply(embed=player_embed(snapshot, locale))

        await self._interactions.respond(interaction, "playing", work)
