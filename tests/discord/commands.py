"""The commands a bot has registered, and what Discord lets a person type: unknown, missing and wrong options end here.

Source of the types and limits: Discord's "Application Commands" page (options 1 and 2 are subcommands and groups, 3
string, 4 integer, 5 boolean, 6 user, 7 channel, 8 role, 10 number).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.discord.bell import NotOffered
from tests.discord.core import Core, Json, listed

_SUBCOMMAND, _GROUP = 1, 2
_STRING, _INTEGER, _BOOLEAN, _USER, _CHANNEL, _ROLE, _MENTIONABLE, _NUMBER = 3, 4, 5, 6, 7, 8, 9, 10
_PYTHON_TYPES: dict[int, tuple[type, ...]] = {
    _STRING: (str,),
    _INTEGER: (int,),
    _BOOLEAN: (bool,),
    _NUMBER: (int, float),
}
_IDS = {_USER, _CHANNEL, _ROLE, _MENTIONABLE}


@dataclass(slots=True)
class Commands:
    """What was PUT: `everywhere` for all guilds, `in_guild` by guild id; as JSON with the ids Discord gave."""

    core: Core
    everywhere: list[Json] = field(default_factory=list[Json])
    in_guild: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    syncs: int = 0

    def replace(self, wanted: Sequence[Json], guild_id: str | None) -> list[Json]:
        """Take a PUT of the whole list; return it with ids."""
        known = {command["name"]: command["id"] for command in self.offered(guild_id)}
        made = [self._with_ids(command, known, guild_id) for command in wanted]
        if guild_id is None:
            self.everywhere = made
        else:
            self.in_guild[guild_id] = made
        self.syncs += 1
        self.core.bell.ring()
        return made

    def offered(self, guild_id: str | None) -> list[Json]:
        """Return the commands that exist in a guild."""
        return [*self.in_guild.get(guild_id or "", []), *self.everywhere]

    async def root(self, name: str, guild_id: str | None = None) -> Json:
        """Wait until a command of that name is registered, and return its JSON. Raises NotSeen."""
        return await self.core.bell.until(
            lambda: next((command for command in self.offered(guild_id) if command["name"] == name), None),
            lambda: f"registration of /{name}; there are {[command['name'] for command in self.offered(guild_id)]}",
        )

    def _with_ids(self, command: Json, known: Mapping[str, str], guild_id: str | None) -> Json:
        return {
            "type": 1,
            "description": "",
            "options": [],
            "default_member_permissions": None,
            **command,
            "id": known.get(command["name"]) or self.core.snowflake(),
            "application_id": self.core.application_id,
            "version": self.core.snowflake(),
            **({"guild_id": guild_id} if guild_id else {}),
        }


def typed(root: Json, path: Sequence[str], values: Mapping[str, Any], focused: str | None = None) -> list[Json]:
    """Return the `options` of an interaction for `root` and the subcommands of `path`.

    Args:
        root: the registered command.
        path: names of groups and subcommands below it.
        values: options by name; users, channels and roles by their id.
        focused: the option being typed in (autocomplete); then nothing is required and no choice is checked.

    Raises:
        NotOffered: Discord would not let a person send this.
    """
    name, node, kinds = "/" + root["name"], root, list[int]()
    for part in path:
        below = {option["name"]: option for option in listed(node, "options") if option["type"] in {1, 2}}
        if part not in below:
            raise NotOffered(f"{name} has no {part!r}; it has {sorted(below)}")
        node, name = below[part], f"{name} {part}"
        kinds.append(node["type"])
    declared = {option["name"]: option for option in listed(node, "options")}
    if any(option["type"] in {_SUBCOMMAND, _GROUP} for option in declared.values()):
        raise NotOffered(f"{name} needs one of {sorted(declared)}")
    _check_names(name, declared, values, focused)
    options = [_option(name, declared[key], value, key == focused) for key, value in values.items()]
    for part, kind in zip(reversed(path), reversed(kinds), strict=True):
        options = [{"name": part, "type": kind, "options": options}]
    return options


def _check_names(name: str, declared: Mapping[str, Json], values: Mapping[str, Any], focused: str | None) -> None:
    if unknown := values.keys() - declared.keys():
        raise NotOffered(f"{name} has no option {sorted(unknown)}; it has {sorted(declared)}")
    missing = [key for key, option in declared.items() if option.get("required") and key not in values]
    if missing and focused is None:
        raise NotOffered(f"{name} requires {missing}")
    if focused is not None and not declared[focused].get("autocomplete"):
        raise NotOffered(f"{name}: {focused!r} has no autocomplete")


def _option(name: str, option: Json, value: Any, focused: bool) -> Json:  # noqa: ANN401, FBT001 - what a person types
    kind = option["type"]
    if focused:
        return {"name": option["name"], "type": kind, "value": value, "focused": True}
    if kind in _IDS:
        return {"name": option["name"], "type": kind, "value": str(value)}
    if option.get("choices"):
        value = _chosen(name, option, value)
    if not isinstance(value, _PYTHON_TYPES[kind]) or (isinstance(value, bool) and kind != _BOOLEAN):
        raise NotOffered(f"{name}: {option['name']} is of type {kind}, not {value!r}")
    _check_limits(name, option, value)
    return {"name": option["name"], "type": kind, "value": value}


def _chosen(name: str, option: Json, value: object) -> Any:  # noqa: ANN401 - a choice's value is a string or a number
    for choice in option["choices"]:
        if value in {choice["value"], choice["name"]}:
            return choice["value"]
    raise NotOffered(
        f"{name}: {option['name']} offers {[choice['value'] for choice in option['choices']]}, not {value!r}"
    )


def _check_limits(name: str, option: Json, value: float | str) -> None:
    size, low, high = (
        (len(value), "min_length", "max_length") if isinstance(value, str) else (value, "min_value", "max_value")
    )
    if (option.get(low) is not None and size < option[low]) or (option.get(high) is not None and size > option[high]):
        raise NotOffered(f"{name}: {option['name']}={value!r} is outside {option.get(low)}..{option.get(high)}")
