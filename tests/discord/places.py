"""Where people are: channels with the messages in them and who is in voice; roles with their permissions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.discord.core import Json
from tests.discord.messages import Message
from tests.discord.permissions import bits

if TYPE_CHECKING:
    from tests.discord.acting import Member
    from tests.discord.model import Guild
    from tests.discord.people import Person

TEXT, VOICE, STAGE = 0, 2, 13
_ROLE_OVERWRITE, _MEMBER_OVERWRITE = 0, 1


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
        return self.type in {VOICE, STAGE}

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

    def deny(self, who: Role | Person, *names: str) -> None:
        """Take permissions away from a role or a member in this channel."""
        self._overwrite(who, allow=0, deny=bits(names))

    def allow(self, who: Role | Person, *names: str) -> None:
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

    def _overwrite(self, who: Role | Person, *, allow: int, deny: int) -> None:
        kind = _ROLE_OVERWRITE if isinstance(who, Role) else _MEMBER_OVERWRITE
        self.overwrites[who.id] = {"id": who.id, "type": kind, "allow": str(allow), "deny": str(deny)}
        self.guild.world.core.dispatch("CHANNEL_UPDATE", self.payload())
