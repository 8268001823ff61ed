"""Buttons and menus. Everything they need is in their ids and values, so that those of before a restart still work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import discord
from discord.ui import Button, DynamicItem, Item, Select, View

from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.embeds import page_count
from bot_service.discord_ui.replies.escape import label
from bot_service.discord_ui.replies.shape import length
from bot_service.player.rules.model import LoopMode, Phase
from bot_service.player.snapshot import Snapshot
from bot_service.requests.tracks import Suggestion
from common.errors import Locale

if TYPE_CHECKING:
    from bot_service.discord_ui.interactions import Desk

_MAX_VALUE = 100

_EMOJI = {
    "previous": "⏮️",
    "pause": "⏯️",
    "skip": "⏭️",
    "stop": "⏹️",
    "shuffle": "🔀",
    "loop": "🔁",
    "favourite": "⭐",
}
_LOOP_EMOJI = {LoopMode.OFF: "🔁", LoopMode.QUEUE: "🔁", LoopMode.TRACK: "🔂"}


def desk_of(interaction: discord.Interaction[Any]) -> Desk:
    """Return what the client was made with."""
    return cast("Desk", interaction.client.desk)  # pyright: ignore[reportAttributeAccessIssue] - our client has one


class PlayerButton(DynamicItem[Button[View]], template=r"butakero:player:(?P<action>[a-z]+)"):
    """A button of the player message."""

    def __init__(self, action: str, emoji: str, *, active: bool = False) -> None:
        style = discord.ButtonStyle.primary if active else discord.ButtonStyle.secondary
        row = 1 if action in {"shuffle", "loop", "favourite"} else 0
        super().__init__(Button(emoji=emoji, style=style, custom_id=f"butakero:player:{action}", row=row))
        self.action = action

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Item[Any], match: re.Match[str], /
    ) -> PlayerButton:
        """Make the pressed button again."""
        del interaction, item
        return cls(match["action"], "▫️")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the button says."""
        await desk_of(interaction).press(interaction, self.action)


class PageButton(DynamicItem[Button[View]], template=r"butakero:queue:(?P<page>[0-9]{1,5})"):
    """Turns to a page of the queue."""

    def __init__(self, page: int, emoji: str, *, disabled: bool = False) -> None:
        super().__init__(Button(emoji=emoji, disabled=disabled, custom_id=f"butakero:queue:{page}"))
        self.page = page

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Item[Any], match: re.Match[str], /
    ) -> PageButton:
        """Make the pressed button again."""
        del interaction, item
        return cls(int(match["page"]), "▫️")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the page."""
        await desk_of(interaction).turn(interaction, self.page)


class FoundMenu(DynamicItem[Select[View]], template=r"butakero:found"):
    """The menu below the results of a search; a value is the id of a song of the library, or a URL."""

    def __init__(self, found: list[Suggestion], locale: Locale) -> None:
        menu: Select[View] = Select(custom_id="butakero:found", placeholder=texts.SEARCH_PICK.to(locale))
        for item in found:
            value = item.track.video_id if item.track is not None else item.url
            if 0 < len(value) <= _MAX_VALUE:
                menu.add_option(label=label(item.title), value=value, description=label(_about(item)))
        super().__init__(menu)

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Item[Any], match: re.Match[str], /
    ) -> FoundMenu:
        """Make the menu again; what was chosen is in the interaction."""
        del interaction, item, match
        return cls([], "es")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Play what was chosen."""
        values = cast("list[str]", cast("dict[str, Any]", interaction.data or {}).get("values", []))
        if values:
            await desk_of(interaction).play(interaction, values[0], title=_label_of(values[0], interaction.message))


DYNAMIC_ITEMS = (PlayerButton, PageButton, FoundMenu)


def player_view(snapshot: Snapshot) -> View:
    """Return the player message's buttons, as its state lets them look."""
    view = View(timeout=None)
    for action, emoji in _EMOJI.items():
        shown = _LOOP_EMOJI[snapshot.loop] if action == "loop" else emoji
        active = (action == "loop" and snapshot.loop is not LoopMode.OFF) or (
            action == "pause" and snapshot.phase is Phase.PAUSED
        )
        view.add_item(PlayerButton(action, shown, active=active))
    return view


def queue_view(snapshot: Snapshot, page: int) -> View | None:
    """Return the buttons below a page of the queue; None where there is only one."""
    pages = page_count(snapshot)
    if pages == 1:
        return None
    page = min(max(page, 1), pages)
    view = View(timeout=None)
    view.add_item(PageButton(page - 1, "◀️", disabled=page == 1))
    view.add_item(PageButton(page + 1, "▶️", disabled=page == pages))
    return view


def found_view(found: list[Suggestion], locale: Locale) -> View:
    """Return the menu below the results of a search."""
    view = View(timeout=None)
    view.add_item(FoundMenu(found, locale))
    return view


def _label_of(value: str, message: discord.Message | None) -> str:
    """Return what the menu on a message called a value; "" when it is not there."""
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)] if message is not None else []
    menus = [part for row in rows for part in row.children if isinstance(part, discord.SelectMenu)]
    return next((option.label for menu in menus for option in menu.options if option.value == value), "")


def _about(item: Suggestion) -> str:
    return " · ".join(part for part in (length(item.duration_ms), item.platform) if part)
