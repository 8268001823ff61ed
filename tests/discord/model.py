"""The world of a fake Discord: its guilds, and whom and what each has. Channels are in `places`, people in `people`.

Everything that happens is told to the bot by the gateway events that Discord sends for it. Methods that are not
`async` take effect at once; the events are on their way in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.discord.acting import Member
from tests.discord.commands import Commands
from tests.discord.core import Core, Json
from tests.discord.interactions import Interactions
from tests.discord.permissions import EVERYONE, bits
from tests.discord.places import STAGE, TEXT, VOICE, Channel, Role
from tests.discord.voice import VoiceCapture


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
        self.afk_channel: Channel | None = None
        world.guilds[self.id] = self

    def text_channel(self, name: str = "general") -> Channel:
        """Add a text channel."""
        return self._add(Channel(self, name, TEXT))

    def voice_channel(self, name: str = "Voz", *, user_limit: int = 0, bitrate: int = 64_000) -> Channel:
        """Add a voice channel."""
        return self._add(Channel(self, name, VOICE, user_limit, bitrate))

    def stage_channel(self, name: str = "Escenario") -> Channel:
        """Add a stage channel: who enters is in the audience until it may speak."""
        return self._add(Channel(self, name, STAGE))

    def away_channel(self, name: str = "Ausentes") -> Channel:
        """Add the voice channel for people who are away (AFK)."""
        self.afk_channel = self.voice_channel(name)
        self.world.core.dispatch("GUILD_UPDATE", self.payload())
        return self.afk_channel

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
            "afk_channel_id": self.afk_channel.id if self.afk_channel else None,
        }

    def _add(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        self.world.core.dispatch("CHANNEL_CREATE", channel.payload())
        return channel
