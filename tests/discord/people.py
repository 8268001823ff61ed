"""People of a guild as Discord keeps them: roles, permissions, and where they are in voice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.discord.core import Json
from tests.discord.permissions import bits, granted, in_channel
from tests.discord.places import STAGE, Channel, Role
from tests.discord.voice import CLIENT_DISCONNECT, CLIENTS_CONNECT

if TYPE_CHECKING:
    from tests.discord.model import Guild


@dataclass(slots=True, eq=False)
class Person:
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
        kept = {key: flag for key, flag in self.voice_flags.items() if key in {"mute", "deaf"}}
        if before is channel and "suppress" in self.voice_flags:
            kept["suppress"] = self.voice_flags["suppress"]
        elif channel.type == STAGE:
            kept["suppress"] = True
        self.voice_flags = {**flags, "suppress": False, **kept}
        self._voice_updated(before)

    def moderate(self, **flags: bool | str | None) -> None:
        """Change the voice state as a moderator (or Discord) does, e.g. `mute=True`, `suppress=False`."""
        self.voice_flags |= flags
        self._voice_updated(self.voice_channel)

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

    @property
    def types_in(self) -> Channel:
        """The channel in which this person types."""
        return self.channel or next(channel for channel in self.guild.channels.values() if not channel.is_voice)

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
