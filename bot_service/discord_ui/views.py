"""Buttons and menus: how they look, and the handlers that run their actions.

Sent views carry custom ids only. A press is dispatched by its custom id to the items of `dynamic_items`, so that
messages of before a restart still work.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import discord
from discord import SelectOption
from discord.ui import Button, DynamicItem, Item, Select, View

from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.answer import Interaction
from bot_service.discord_ui.replies.embeds import page_count
from bot_service.discord_ui.replies.escape import label
from bot_service.discord_ui.replies.formatting import length
from bot_service.discord_ui.replies.limits import options_within
from bot_service.player.rules.model import LoopMode, Phase
from bot_service.player.snapshot import Snapshot
from bot_service.requests.query import choice_of, choice_of_menu
from bot_service.requests.tracks import Suggestion
from common.errors import Locale

_PLAYER, _QUEUE, _SEARCH = "butakero:player:", "butakero:queue:", "butakero:found"
_ENTRY = "[A-Za-z0-9_-]{1,50}"
_PRESS = rf"{_PLAYER}(?P<action>[a-z]+)(?::(?P<entry>{_ENTRY}))?"
_TURN_PAGE = rf"{_QUEUE}(?P<page>[0-9]{{1,5}})"
# Pressed twice, or by two users at once, it skips one song: the one on the message.
_ABOUT_THE_SONG = frozenset({"skip"})

_EMOJI = {
    "previous": "⏮️",
    "pause": "⏯️",
    "skip": "⏭️",
    "stop": "⏹️",
    "shuffle": "🔀",
    "loop": "🔁",
    "favourite": "⭐",
}
_SECOND_ROW = frozenset({"shuffle", "loop", "favourite"})
_LOOP_EMOJI = {LoopMode.OFF: "🔁", LoopMode.QUEUE: "🔁", LoopMode.TRACK: "🔂"}


@dataclass(frozen=True, slots=True)
class Actions:
    """What buttons and menus do.

    `press(interaction, action, entry_id)`: a button of the player message, "pause", "skip", ..., and the song that the
    message showed ("": unknown). `turn_page(interaction, page)`:
    a button below the queue, pages from 1. `choose(interaction, song, title)`: a search result, as what `play` takes.
    """

    press: Callable[[Interaction, str, str], Awaitable[None]]
    turn_page: Callable[[Interaction, int], Awaitable[None]]
    choose: Callable[[Interaction, str, str], Awaitable[None]]


def dynamic_items(actions: Actions) -> list[type[DynamicItem[Item[View]]]]:
    """Return the handlers to register with the client; their custom ids are those of the views below."""

    async def press(interaction: Interaction, item: Item[View], match: re.Match[str]) -> None:
        del item
        await actions.press(interaction, match["action"], match["entry"] or "")

    async def turn_page(interaction: Interaction, item: Item[View], match: re.Match[str]) -> None:
        del item
        await actions.turn_page(interaction, int(match["page"]))

    async def choose(interaction: Interaction, item: Item[View], match: re.Match[str]) -> None:
        del match
        if isinstance(item, Select) and item.values:
            song = item.values[0]
            title = next((option.label for option in item.options if option.value == song), "")
            await actions.choose(interaction, choice_of_menu(song), title)

    return [
        _dynamic_item(_PRESS, press),
        _dynamic_item(_TURN_PAGE, turn_page),
        _dynamic_item(_SEARCH, choose),
    ]


def is_handled(custom_id: str) -> bool:
    """Whether an item of `dynamic_items` takes presses of this id."""
    found = re.fullmatch(_PRESS, custom_id) or re.fullmatch(_TURN_PAGE, custom_id) or re.fullmatch(_SEARCH, custom_id)
    return found is not None


def player_view(snapshot: Snapshot) -> View:
    """Return the buttons of the player message; those of an active state are highlighted."""
    view = _view()
    entry_id = snapshot.current.entry_id if snapshot.current is not None else ""
    shown = f":{entry_id}" if re.fullmatch(_ENTRY, entry_id) else ""
    for action, emoji in _EMOJI.items():
        active = (action == "loop" and snapshot.loop is not LoopMode.OFF) or (
            action == "pause" and snapshot.phase is Phase.PAUSED
        )
        view.add_item(
            Button(
                emoji=_LOOP_EMOJI[snapshot.loop] if action == "loop" else emoji,
                style=discord.ButtonStyle.primary if active else discord.ButtonStyle.secondary,
                custom_id=_PLAYER + action + (shown if action in _ABOUT_THE_SONG else ""),
                row=1 if action in _SECOND_ROW else 0,
            )
        )
    return view


def queue_view(snapshot: Snapshot, page: int) -> View | None:
    """Return the buttons below a page of the queue; None if there is only one page."""
    pages = page_count(snapshot)
    if pages == 1:
        return None
    page = min(max(page, 1), pages)
    view = _view()
    for emoji, target in (("◀️", page - 1), ("▶️", page + 1)):
        view.add_item(Button(emoji=emoji, disabled=not 1 <= target <= pages, custom_id=f"{_QUEUE}{target}"))
    return view


def search_view(found: list[Suggestion], locale: Locale) -> View | None:
    """Return the menu below search results, None if none fits in one.

    A value is a library song's, as `choice_of` makes it, or a URL.
    """
    options = options_within(
        SelectOption(
            label=label(item.title),
            value=choice_of(item.track) if item.track is not None else item.url,
            description=label(_details(item)),
        )
        for item in found
    )
    if not options:
        return None
    menu: Select[View] = Select(custom_id=_SEARCH, placeholder=texts.SEARCH_PICK.to(locale), options=options)
    return _view().add_item(menu)


def _view() -> View:
    """Return a view that discord.py does not keep in memory: presses go to the dynamic items alone."""
    view = View(timeout=None)
    view.stop()
    return view


def _dynamic_item(
    template: str, action: Callable[[Interaction, Item[View], re.Match[str]], Awaitable[None]]
) -> type[DynamicItem[Item[View]]]:
    class Handler(DynamicItem[Item[View]], template=template):
        def __init__(self, item: Item[View], match: re.Match[str]) -> None:
            super().__init__(item)
            self.match = match

        @classmethod
        async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
            del interaction
            return cls(item, match)

        async def callback(self, interaction: Interaction) -> None:
            await action(interaction, self.item, self.match)

    return Handler


def _details(item: Suggestion) -> str:
    return " · ".join(part for part in (length(item.duration_ms), item.platform) if part)
