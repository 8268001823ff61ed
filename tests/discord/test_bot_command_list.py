"""The commands as Discord shows them: names, both languages, options."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.discord.core import Json, listed
from tests.discord.house import House

pytestmark = pytest.mark.asyncio(loop_scope="package")

NAMES = {
    *("play", "list", "skip", "stop", "pause", "resume", "remove", "playing", "queue", "move", "shuffle", "loop"),
    *("seek", "previous", "clear", "jump", "search", "history", "favorites", "status", "settings"),
}


def _nodes(node: Json) -> Iterator[Json]:
    yield node
    for below in listed(node, "options"):
        yield from _nodes(below)


async def test_there_is_one_root_with_every_command(house: House) -> None:
    root = await house.discord.commands.root("music")
    assert [command["name"] for command in house.discord.commands.everywhere] == ["music"]
    assert {option["name"] for option in listed(root, "options")} == NAMES
    [favourites] = [option for option in listed(root, "options") if option["name"] == "favorites"]
    assert {option["name"] for option in listed(favourites, "options")} == {"add", "list", "play", "remove"}
    assert root["contexts"] == [0] or root.get("dm_permission") is False


async def test_every_description_is_there_in_both_languages(house: House) -> None:
    for node in _nodes(await house.discord.commands.root("music")):
        english = node["description_localizations"]
        assert set(english) == {"en-US", "en-GB"}
        for words in (node["description"], *english.values()):
            assert 1 <= len(words) <= 100
        assert node["description"] != english["en-US"]


async def test_what_must_be_typed_is_declared_so(house: House) -> None:
    root = await house.discord.commands.root("music")
    options = {
        f"{command['name']} {option['name']}": option
        for command in listed(root, "options")
        if command["type"] == 1
        for option in listed(command, "options")
    }
    assert options["play input"]["required"]
    assert options["play input"]["autocomplete"]
    assert options["remove position"]["required"]
    assert options["remove position"]["min_value"] == 1
    assert [choice["value"] for choice in options["loop mode"]["choices"]] == ["off", "track", "queue"]
    assert not any(option.get("required") for name, option in options.items() if name.startswith("settings"))
