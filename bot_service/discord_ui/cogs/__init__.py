"""Slash commands: parse options, call `interactions`, reply. No logic."""

from __future__ import annotations

from discord import app_commands

from bot_service.discord_ui.cogs.favourites import FavouriteCommands
from bot_service.discord_ui.cogs.operations import OperationCommands
from bot_service.discord_ui.cogs.play import PlayCommands
from bot_service.discord_ui.cogs.playback import PlaybackCommands
from bot_service.discord_ui.cogs.queue import QueueCommands
from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.replies.locales import localised


def root_command(interactions: Interactions) -> app_commands.Group:
    """Return the root command, named by COMMAND_PREFIX, with all others below it."""
    root = app_commands.Group(
        name=interactions.prefix,
        description=localised("Música en tu canal de voz.", "Music in your voice channel."),
        guild_only=True,
    )
    for cog in (PlayCommands, PlaybackCommands, QueueCommands, FavouriteCommands, OperationCommands):
        for command in cog(interactions).get_app_commands():
            root.add_command(command)
    return root
