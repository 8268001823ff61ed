"""Commands: parse, call, reply. No logic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands

from bot_service.discord_ui.replies.locales import told

if TYPE_CHECKING:
    from bot_service.discord_ui.interactions import Desk


def root_command(desk: Desk) -> app_commands.Group:
    """Return the one root command, named by COMMAND_PREFIX, with everything under it."""
    # Not above: the desk knows views, which know the desk.
    from bot_service.discord_ui.cogs.favourites import FavouriteCommands  # noqa: PLC0415 - as said above
    from bot_service.discord_ui.cogs.operations import OperationCommands  # noqa: PLC0415 - as said above
    from bot_service.discord_ui.cogs.play import PlayCommands  # noqa: PLC0415 - as said above
    from bot_service.discord_ui.cogs.playback import PlaybackCommands  # noqa: PLC0415 - as said above
    from bot_service.discord_ui.cogs.queue import QueueCommands  # noqa: PLC0415 - as said above

    root = app_commands.Group(
        name=desk.prefix,
        description=told("Música en tu canal de voz.", "Music in your voice channel."),
        guild_only=True,
    )
    for cog in (PlayCommands, PlaybackCommands, QueueCommands, FavouriteCommands, OperationCommands):
        for command in cog(desk).get_app_commands():
            root.add_command(command)
    return root
