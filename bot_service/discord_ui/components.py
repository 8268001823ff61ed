"""Actions of buttons and menus, beside the cogs: call `interactions`, reply. No logic."""

from __future__ import annotations

import discord

from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.replies.answer import Interaction, Reply
from bot_service.discord_ui.replies.embeds import queue_embed
from bot_service.discord_ui.replies.outcomes import describe, describe_favourite
from bot_service.discord_ui.views import Actions, queue_view
from bot_service.player.rules.events import Command, Pause, Previous, Resume, SetLoop, Shuffle, Skip, Stop
from bot_service.player.rules.model import LoopMode, Phase
from bot_service.player.snapshot import Snapshot
from common.errors import Locale

_NEXT_LOOP = {LoopMode.OFF: LoopMode.QUEUE, LoopMode.QUEUE: LoopMode.TRACK, LoopMode.TRACK: LoopMode.OFF}


def component_actions(interactions: Interactions) -> Actions:
    """Return the actions of all components."""

    async def press(interaction: Interaction, action: str) -> None:
        async def work(member: discord.Member, locale: Locale) -> Reply | None:
            if action == "favourite":
                added = await interactions.commands.add_favourite(member)
                return Reply(describe_favourite(added.title, locale, is_new=added.is_new), private=True)
            command = _command_of(action, interactions.player(member).snapshot, member.id)
            if command is None:
                return None
            outcome = await interactions.commands.perform(member, command)
            # Other outcomes are visible in the player message.
            return Reply(describe(command, outcome, locale), private=True) if isinstance(command, Skip) else None

        await interactions.respond(interaction, "button", work)

    async def turn_page(interaction: Interaction, page: int) -> None:
        async def work(member: discord.Member, locale: Locale) -> Reply:
            snapshot = interactions.player(member).snapshot
            embed = queue_embed(snapshot, page, interactions.prefix, locale)
            return Reply(embed=embed, view=queue_view(snapshot, page), in_place=True)

        await interactions.respond(interaction, "button", work)

    async def choose(interaction: Interaction, song: str, title: str) -> None:
        await interactions.play(interaction, song, title=title)

    return Actions(press, turn_page, choose)


def _command_of(action: str, snapshot: Snapshot, user_id: int) -> Command | None:  # noqa: PLR0911 - one per button
    """Return the command of a button in the player's state; None for one of another version."""
    match action:
        case "pause":
            return Resume() if snapshot.phase is Phase.PAUSED else Pause()
        case "loop":
            return SetLoop(_NEXT_LOOP[snapshot.loop])
        case "skip":
            return Skip(user_id)
        case "previous":
            return Previous()
        case "stop":
            return Stop()
        case "shuffle":
            return Shuffle()
        case _:
            return None
