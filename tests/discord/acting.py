"""What people do: type commands, press buttons, choose from menus, fill forms. Each is told to the bot as Discord does.

What Discord would not let them do raises NotOffered: a command they do not see, a button that is not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.discord.bell import NotOffered
from tests.discord.commands import typed
from tests.discord.core import Json, listed
from tests.discord.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction
from tests.discord.messages import Message
from tests.discord.people import Person
from tests.discord.permissions import bits
from tests.discord.places import Channel, Role

_ATTACHMENT_LIMIT = 10 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Member(Person):
    """A person in a guild, and what they can do there; the bot is one, too."""

    async def slash(self, root: str, /, *path: str, **options: Any) -> Interaction:  # noqa: ANN401 - what is typed
        """Send `/root path… option:value…`, as soon as the command is registered.

        Options: str, int, bool, float; a Member, Channel or Role where the command asks for one.

        Raises:
            NotOffered: this person does not see the command, or it has no such options.
            NotSeen: the command was never registered.
        """
        return await self._command(COMMAND, root, path, options, None)

    async def autocomplete(self, root: str, /, *path: str, **options: Any) -> list[Json]:  # noqa: ANN401 - as slash
        """Type in the last of the options and return the choices the bot offers: `name` and `value` each."""
        interaction = await self._command(AUTOCOMPLETE, root, path, options, list(options)[-1])
        return await interaction.offered()

    def press(self, message: Message, name: str) -> Interaction:
        """Press a button by custom_id, label or emoji. Raises NotOffered: not there, disabled, or not seen."""
        button = message.button(name)
        return self._use(
            message, button, f"button {name!r}", {"component_type": 2, "custom_id": button.get("custom_id")}
        )

    def choose(self, message: Message, *values: str | Member | Channel | Role, menu: str | None = None) -> Interaction:
        """Choose options of a menu by value or label, or what a menu of people, channels or roles offers.

        Raises:
            NotOffered: no such menu or option, too few or too many, disabled, or not seen by this person.
        """
        part, resolved = message.menu(menu), _Resolved()
        options = {key: one["value"] for one in listed(part, "options") for key in (one["label"], one["value"])}
        if part["type"] == 3 and (unknown := [value for value in values if value not in options]):
            raise NotOffered(f"the menu has no {unknown}; it has {list(options)}")
        chosen = [options.get(value, resolved.take(value)) for value in values]
        if not part.get("min_values", 1) <= len(chosen) <= part.get("max_values", 1):
            raise NotOffered(f"the menu takes {part.get('min_values', 1)}..{part.get('max_values', 1)} choices")
        data = {
            "component_type": part["type"],
            "custom_id": part["custom_id"],
            "values": chosen,
            **resolved.found(),
        }
        return self._use(message, part, f"menu {part['custom_id']!r}", data)

    async def fill(self, opened: Interaction, **values: str) -> Interaction:
        """Fill the form that the bot opened in answer to `opened` and send it: inputs by custom_id or label."""
        form = await opened.form()
        inputs = [_input(row) for row in form["components"]]
        known = {key for part, label in inputs for key in (part["custom_id"], label)}
        if unknown := values.keys() - known:
            raise NotOffered(f"the form has no {sorted(unknown)}; it has {sorted(known)}")
        rows: list[Json] = []
        for row, (part, label) in zip(form["components"], inputs, strict=True):
            value = values.get(part["custom_id"], values.get(label, part.get("value") or ""))
            filled = {"type": part["type"], "id": part.get("id", 0), "custom_id": part["custom_id"], "value": value}
            rows.append({**row, "component": filled} if row["type"] == 18 else {"type": 1, "components": [filled]})
        data = {"custom_id": form["custom_id"], "components": rows}
        return self._send(MODAL, f"form {form['title']!r}", data, opened.source)

    async def _command(
        self, kind: int, root: str, path: tuple[str, ...], options: dict[str, Any], focused: str | None
    ) -> Interaction:
        command = await self.guild.world.commands.root(root, self.guild.id)
        self._check_visible(command)
        resolved = _Resolved()
        values = {name: resolved.take(value) for name, value in options.items()}
        data = {
            "id": command["id"],
            "name": root,
            "type": 1,
            "guild_id": self.guild.id,
            "options": typed(command, path, values, focused),
            **resolved.found(),
        }
        await self.guild.connected()
        return self._send(
            kind, " ".join(["/" + root, *path, *(f"{key}:{value}" for key, value in values.items())]), data
        )

    def _check_visible(self, command: Json) -> None:
        wanted = command.get("default_member_permissions")
        if not self.may("use_application_commands", self.types_in):
            raise NotOffered(f"{self.user['username']} may not use commands in #{self.types_in.name}")
        if wanted is None:
            return
        mine = self.permissions()
        if (int(wanted) == 0 and not mine & bits(["administrator"])) or mine & int(wanted) != int(wanted):
            raise NotOffered(
                f"/{command['name']} is hidden from {self.user['username']}: it needs permissions {wanted}"
            )

    def _use(self, message: Message, part: Json, label: str, data: Json) -> Interaction:
        if message.deleted or message.seen_by not in {None, self.id}:
            raise NotOffered(f"{self.user['username']} does not see this message")
        if part.get("disabled"):
            raise NotOffered(f"{label} is disabled")
        return self._send(COMPONENT, label, {**data, "id": part.get("id", 0)}, message)

    def _send(self, kind: int, label: str, data: Json, source: Message | None = None) -> Interaction:
        world = self.guild.world
        channel = self.guild.channels[source.channel_id] if source else self.types_in
        interaction = Interaction(
            world.core, kind, label, self.id, channel.show, lambda body: self._answer(channel, body), source
        )
        world.interactions.add(interaction)
        world.core.dispatch("INTERACTION_CREATE", self._interaction(interaction, channel, data))
        return interaction

    def _answer(self, channel: Channel, body: Json) -> Message:
        core = self.guild.world.core
        marks = {"webhook_id": core.application_id, "application_id": core.application_id, "type": 20}
        return Message(core, channel.id, core.bot, dict(body), guild_id=self.guild.id, extra=marks)

    def _interaction(self, interaction: Interaction, channel: Channel, data: Json) -> Json:
        core = self.guild.world.core
        return {
            "id": interaction.id,
            "application_id": core.application_id,
            "type": interaction.type,
            "token": interaction.token,
            "version": 1,
            "attachment_size_limit": _ATTACHMENT_LIMIT,
            "guild_id": self.guild.id,
            "guild": {"id": self.guild.id, "locale": self.guild.locale, "features": []},
            "guild_locale": self.guild.locale,
            "locale": self.locale,
            "channel_id": channel.id,
            "channel": {**channel.payload(), "permissions": str(self.permissions(channel))},
            "member": {**self.payload(), "permissions": str(self.permissions(channel))},
            "app_permissions": str(self.guild.me.permissions(channel)),
            "entitlements": [],
            "authorizing_integration_owners": {"0": self.guild.id},
            "context": 0,
            "data": data,
            **({"message": interaction.source.payload()} if interaction.source else {}),
        }


@dataclass(slots=True)
class _Resolved:
    """The users, channels and roles that stand in options, with what the bot is told about them."""

    payload: Json = field(default_factory=dict[str, Any])

    def take(self, value: Any) -> Any:  # noqa: ANN401 - what is typed
        """Return the id of a Member, Channel or Role and keep its payload; other values as they are."""
        if isinstance(value, Member):
            self._keep("users", value.id, value.user)
            self._keep("members", value.id, {**value.payload(), "permissions": str(value.permissions())})
        elif isinstance(value, Channel):
            self._keep("channels", value.id, {**value.payload(), "permissions": "0"})
        elif isinstance(value, Role):
            self._keep("roles", value.id, value.payload())
        else:
            return value
        return value.id

    def found(self) -> Json:
        """Return the part of the data that holds them; it is left out when there are none."""
        return {"resolved": self.payload} if self.payload else {}

    def _keep(self, kind: str, key: str, payload: Json) -> None:
        self.payload.setdefault(kind, {})[key] = payload


def _input(row: Json) -> tuple[Json, str]:
    """Return the input of a row of a form, and its label (rows of the older and of the newer kind)."""
    part = row["component"] if row["type"] == 18 else row["components"][0]
    return part, row.get("label") or part.get("label") or ""
