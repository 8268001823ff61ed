"""Actions of buttons and menus, beside the cogs: call `interactions`, reply. No logic."""

from __future__ import annotations

from collections.abc import Callable

import discord

from bot_service.discord_ui.interactions import Interactions, Work
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Interaction, Reply
from bot_service.discord_ui.replies.embeds import queue_embed
from bot_service.discord_ui.replies.outcomes import describe, describe_favourite
from bot_service.discord_ui.views import Actions, queue_view
from bot_service.player.rules.events import Command, Pause, Previous, Resume, SetLoop, Shuffle, Skip, Stop
from bot_service.player.rules.model import LoopMode, Phase
from bot_service.player.rules.outcomes import AlreadySkipped
from bot_service.player.snapshot import Snapshot
from common.errors import Locale

MakeCommand = Callable[[Snapshot | None, int, str], Command]
"""Makes a button's command from the player's state, the user's id, and the song on the message ("": unknown)."""

_NEXT_LOOP = {LoopMode.OFF: LoopMode.QUEUE, LoopMode.QUEUE: LoopMode.TRACK, LoopMode.TRACK: LoopMode.OFF}


def component_actions(interactions: Interactions) -> Actions:
    """Return the actions of all components."""

    async def press(interaction: Interaction, action: str, entry_id: str) -> None:
        if action == "favourite":
            await interactions.respond(interaction, "button", _favourite(interactions))
        elif (make := _COMMANDS.get(action)) is None:
            await interactions.respond(interaction, "button", _stale(interactions))
        else:
            await perform(interaction, make, entry_id)

    async def perform(interaction: Interaction, make: MakeCommand, entry_id: str) -> None:
        with interactions.about_seen_song(interaction, make(None, interaction.user.id, entry_id)) as meant:

            async def work(member: discord.Member, locale: Locale) -> Reply | None:
                is_bound = isinstance(meant, Skip | Previous)
                command = meant if is_bound else make(interactions.player(member).snapshot, member.id, entry_id)
                outcome = await interactions.commands.perform(member, command)
                # Other outcomes are visible in the player message.
                told = isinstance(command, Skip) or isinstance(outcome, AlreadySkipped)
                return Reply(describe(command, outcome, locale), private=True) if told else None

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


def _favourite(interactions: Interactions) -> Work:
    async def work(member: discord.Member, locale: Locale) -> Reply:
        added = await interactions.commands.add_favourite(member)
        return Reply(describe_favourite(added.title, locale, is_new=added.is_new), private=True)

    return work


def _stale(interactions: Interactions) -> Work:
    async def work(_member: discord.Member, locale: Locale) -> Reply:
        return Reply(texts.STALE_BUTTON.to(locale).format(prefix=interactions.prefix), private=True)

    return work


def _pause(snapshot: Snapshot | None, _user_id: int, _entry_id: str) -> Command:
    return Resume() if snapshot is not None and snapshot.phase is Phase.PAUSED else Pause()


def _loop(snapshot: Snapshot | None, _user_id: int, _entry_id: str) -> Command:
    return SetLoop(_NEXT_LOOP[snapshot.loop if snapshot is not None else LoopMode.OFF])


_COMMANDS: dict[str, MakeCommand] = {
    "pause": _pause,
    "loop": _loop,
    "skip": lambda _snapshot, user_id, entry_id: Skip(user_id, entry_id=entry_id),
    "previous": lambda _snapshot, _user_id, entry_id: Previous(entry_id),
    "stop": lambda _snapshot, _user_id, _entry_id: Stop(),
    "shuffle": lambda _snapshot, _user_id, _entry_id: Shuffle(),
}
