"""Guilds with their channels, roles and people, and what people do: type commands, press, choose, join voice channels.

Everything that happens is told to the bot by the gateway events that Discord sends for it. Methods that are not
`async` take effect at once; the events are on their way in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.discord.bell import NotOffered
from tests.discord.commands import Commands, typed
from tests.discord.core import Core, Json, listed
from tests.discord.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction, Interactions
from tests.discord.messages import Message
from tests.discord.permissions import EVERYONE, bits, granted, in_channel
from tests.discord.voice import CLIENT_DISCONNECT, CLIENTS_CONNECT, VoiceCapture

_TEXT, _VOICE = 0, 2
_ROLE_OVERWRITE, _MEMBER_OVERWRITE = 0, 1
_ATTACHMENT_LIMIT = 10 * 1024 * 1024


@dataclass(slots=True)
class World:
    """What guilds and people share with the servers.

    Attributes:
        told: ids of the guilds that a session of the bot knows about.
    """

    core: Core
    commands: Commands
    interactions: Interactions = field(default_factory=Interactions)
    guilds: dict[str, Guild] = field(default_factory=dict[str, "Guild"])
    users: dict[str, Json] = field(default_factory=dict[str, Json])
    told: set[str] = field(default_factory=set[str])

    def channel(self, channel_id: str) -> Channel | None:
        """Return a channel of any guild."""
        return next(
            (guild.channels[channel_id] for guild in self.guilds.values() if channel_id in guild.channels), None
        )


@dataclass(slots=True, eq=False)
class Role:
    """A role with permission bits; the one called "@everyone" has the guild's id."""

    id: str
    name: str
    permissions: int
    position: int

    def payload(self) -> Json:
        looks = {"color": 0, "colors": {"primary_color": 0}, "hoist": False, "managed": False, "mentionable": False}
        return {
            "id": self.id,
            "name": self.name,
            "permissions": str(self.permissions),
            "position": self.position,
            **looks,
        }


@dataclass(slots=True, eq=False)
class Channel:
    """A text or voice channel, with the messages in it (voice channels have a chat, too)."""

    guild: Guild
    name: str
    type: int
    user_limit: int = 0
    bitrate: int = 64_000
    id: str = ""
    messages: list[Message] = field(default_factory=list[Message])
    status: str = ""
    overwrites: dict[str, Json] = field(default_factory=dict[str, Json])
    _taken: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.id = self.guild.world.core.snowflake()

    @property
    def is_voice(self) -> bool:
        return self.type == _VOICE

    @property
    def people(self) -> list[Member]:
        """Who is in the voice channel, the bot included."""
        return [member for member in self.guild.members.values() if member.voice_channel is self]

    @property
    def now(self) -> list[Message]:
        """The messages that a person sees here at this moment."""
        return [message for message in self.messages if not message.deleted and not message.loading]

    async def next_message(self, where: Callable[[Message], object] | None = None) -> Message:
        """Wait for a message of the bot in this channel that no earlier call returned; with `where`, a wanted one."""
        core = self.guild.world.core

        def look() -> Message | None:
            new = (message for message in self.now if message.id not in self._taken)
            return next((message for message in new if where is None or where(message)), None)

        found = await core.bell.until(look, lambda: f"message in #{self.name}: {[one.text for one in self.now]}")
        self._taken.add(found.id)
        return found

    def read_all(self) -> None:
        """Take every message so far as read: `next_message` waits for a later one."""
        self._taken.update(message.id for message in self.messages)

    def show(self, message: Message) -> None:
        """Put a message in the channel, unless only one person sees it."""
        if not message.ephemeral:
            self.messages.append(message)
            self.guild.world.core.dispatch("MESSAGE_CREATE", {**message.payload(), "guild_id": self.guild.id})
        self.guild.world.core.bell.ring()

    def deny(self, who: Role | Member, *names: str) -> None:
        """Take permissions away from a role or a member in this channel."""
        self._overwrite(who, allow=0, deny=bits(names))

    def allow(self, who: Role | Member, *names: str) -> None:
        """Give permissions to a role or a member in this channel."""
        self._overwrite(who, allow=bits(names), deny=0)

    def delete(self) -> None:
        """Delete the channel: who was in it is put out (the bot with close code 4014, as Discord does)."""
        del self.guild.channels[self.id]
        for member in self.people:
            member.leave()
        self.guild.world.core.dispatch("CHANNEL_DELETE", self.payload())

    def payload(self) -> Json:
        voice = {"bitrate": self.bitrate, "user_limit": self.user_limit, "rtc_region": None} if self.is_voice else {}
        return {
            "id": self.id,
            "guild_id": self.guild.id,
            "name": self.name,
            "type": self.type,
            "position": 0,
            "parent_id": None,
            "nsfw": False,
            "flags": 0,
            "permission_overwrites": list(self.overwrites.values()),
            **voice,
        }

    def _overwrite(self, who: Role | Member, *, allow: int, deny: int) -> None:
        kind = _ROLE_OVERWRITE if isinstance(who, Role) else _MEMBER_OVERWRITE
        self.overwrites[who.id] = {"id": who.id, "type": kind, "allow": str(allow), "deny": str(deny)}
        self.guild.world.core.dispatch("CHANNEL_UPDATE", self.payload())


@dataclass(slots=True, eq=False)
class Member:
    """A person in a guild.

    Attributes:
        channel: the text channel in which this person types; the guild's first one.
        locale: the language of this person's Discord, e.g. "es-ES", "en-US".
    """

    guild: Guild
    user: Json
    locale: str = "es-ES"
    roles: list[Role] = field(default_factory=list[Role])
    channel: Channel | None = None
    voice_channel: Channel | None = None
    voice_session: str = ""
    voice_flags: Json = field(default_factory=dict[str, Any])

    @property
    def id(self) -> str:
        return self.user["id"]

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    def may(self, name: str, channel: Channel | None = None) -> bool:
        """Whether this person has a permission (in a channel)."""
        return bool(self.permissions(channel) & bits([name]))

    def permissions(self, channel: Channel | None = None) -> int:
        """Return the permission bits of this person (in a channel)."""
        base = granted([self.guild.everyone.permissions, *(role.permissions for role in self.roles)])
        ids = [self.guild.id, *(role.id for role in self.roles), self.id]
        found = [channel.overwrites[one] for one in ids if channel is not None and one in channel.overwrites]
        return in_channel(base, [(int(one["allow"]), int(one["deny"])) for one in found])

    def give(self, role: Role) -> None:
        """Give a role."""
        self.roles.append(role)
        self._updated()

    def take(self, role: Role) -> None:
        """Take a role away."""
        self.roles.remove(role)
        self._updated()

    # Voice.

    def join(self, channel: Channel, **flags: bool) -> None:
        """Enter a voice channel, or change over to it; flags as in a voice state, e.g. `self_deaf=True`."""
        before, self.voice_channel = self.voice_channel, channel
        self.voice_session = self.voice_session or f"voice-session-{self.guild.world.core.snowflake()}"
        self.voice_flags = dict(flags)
        self._voice_updated(before)

    def leave(self) -> None:
        """Leave the voice channel. For the bot: it is put out."""
        before, self.voice_channel, self.voice_session = self.voice_channel, None, ""
        self._voice_updated(before)

    def voice_state(self) -> Json:
        plain = {"deaf": False, "mute": False, "self_deaf": False, "self_mute": False, "self_video": False}
        return {
            "guild_id": self.guild.id,
            "channel_id": self.voice_channel.id if self.voice_channel else None,
            "user_id": self.id,
            "member": self.payload(),
            "session_id": self.voice_session or "gone",
            **plain,
            "suppress": False,
            "request_to_speak_timestamp": None,
            **self.voice_flags,
        }

    # Acting on the bot.

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

    @property
    def types_in(self) -> Channel:
        """The channel in which this person types."""
        return self.channel or next(channel for channel in self.guild.channels.values() if not channel.is_voice)

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

    def payload(self) -> Json:
        return {
            "user": self.user,
            "nick": None,
            "avatar": None,
            "roles": [role.id for role in self.roles],
            "joined_at": "2024-01-01T00:00:00+00:00",
            "deaf": False,
            "mute": False,
            "pending": False,
            "premium_since": None,
            "communication_disabled_until": None,
            "flags": 0,
        }

    def _updated(self) -> None:
        self.guild.world.core.dispatch("GUILD_MEMBER_UPDATE", {**self.payload(), "guild_id": self.guild.id})

    def _voice_updated(self, before: Channel | None) -> None:
        core, me, voice = self.guild.world.core, self.guild.me, self.guild.voice
        core.dispatch("VOICE_STATE_UPDATE", self.voice_state())
        if self is me:
            if self.voice_channel is None:
                voice.ended()
        elif me.voice_channel is not None and before is not self.voice_channel:
            if me.voice_channel is self.voice_channel:
                voice.tell(CLIENTS_CONNECT, {"user_ids": [self.id]})
            elif me.voice_channel is before:
                voice.tell(CLIENT_DISCONNECT, {"user_id": self.id})
        core.bell.ring()


class Guild:
    """A server: `text_channel`, `voice_channel`, `role` and `member` add to it; `me` is the bot in it.

    Attributes:
        voice: the sound the bot sends here, and the faults of the voice connection.
        me: the bot's membership; `me.leave()` kicks it from voice, `move_bot` moves it.
    """

    def __init__(self, world: World, name: str, *, locale: str) -> None:
        self.world = world
        self.id = world.core.snowflake()
        self.name = name
        self.locale = locale
        self.channels: dict[str, Channel] = {}
        self.roles: dict[str, Role] = {}
        self.members: dict[str, Member] = {}
        self.everyone = Role(self.id, "@everyone", bits(EVERYONE), 0)
        self.roles[self.id] = self.everyone
        self.me = Member(self, world.core.bot)
        self.members[self.me.id] = self.me
        self.owner_id = world.core.snowflake()
        self.voice = VoiceCapture(world.core, self.id)
        world.guilds[self.id] = self

    def text_channel(self, name: str = "general") -> Channel:
        """Add a text channel."""
        return self._add(Channel(self, name, _TEXT))

    def voice_channel(self, name: str = "Voz", *, user_limit: int = 0, bitrate: int = 64_000) -> Channel:
        """Add a voice channel."""
        return self._add(Channel(self, name, _VOICE, user_limit, bitrate))

    def role(self, name: str, *permissions: str) -> Role:
        """Add a role with permissions by name (see permissions.py)."""
        role = Role(self.world.core.snowflake(), name, bits(permissions), len(self.roles))
        self.roles[role.id] = role
        self.world.core.dispatch("GUILD_ROLE_CREATE", {"guild_id": self.id, "role": role.payload()})
        return role

    def member(self, user: str | Member = "ana", *roles: Role, locale: str = "es-ES", bot: bool = False) -> Member:
        """Add a person by name; a Member of another guild joins this one with the same account."""
        if isinstance(user, Member):
            account, locale = user.user, user.locale
        else:
            account = {"id": self.world.core.snowflake(), "username": user, "global_name": user.title(), "bot": bot}
            account = {**account, "discriminator": "0", "avatar": None}
        member = Member(self, account, locale, list(roles))
        self.members[member.id] = member
        self.world.users[member.id] = account
        self.world.core.dispatch("GUILD_MEMBER_ADD", {**member.payload(), "guild_id": self.id})
        return member

    async def connected(self) -> None:
        """Wait until a session of the bot has been told about this guild."""
        core = self.world.core
        await core.bell.until(lambda: self.id in self.world.told or None, lambda: f"a bot session in {self.name}")

    def move_bot(self, channel: Channel) -> None:
        """Move the bot to another voice channel, as a moderator does: new state, new voice server, close code 4014."""
        self.me.join(channel, **self.me.voice_flags)
        self.voice.new_server(close=4014)

    def delete(self) -> None:
        """Put the bot out of the guild."""
        del self.world.guilds[self.id]
        self.world.core.dispatch("GUILD_DELETE", {"id": self.id})

    def payload(self) -> Json:
        members = list(self.members.values())
        return {
            "id": self.id,
            "name": self.name,
            "icon": None,
            "owner_id": self.owner_id,
            "preferred_locale": self.locale,
            "features": [],
            "roles": [role.payload() for role in self.roles.values()],
            "channels": [channel.payload() for channel in self.channels.values()],
            "members": [member.payload() for member in members],
            "voice_states": [member.voice_state() for member in members if member.voice_channel],
            "member_count": len(members),
            "emojis": [],
            "stickers": [],
            "threads": [],
            "presences": [],
            "stage_instances": [],
            "large": False,
            "unavailable": False,
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
            "system_channel_flags": 0,
            "premium_tier": 0,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "afk_timeout": 300,
            "afk_channel_id": None,
        }

    def _add(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        self.world.core.dispatch("CHANNEL_CREATE", channel.payload())
        return channel


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
