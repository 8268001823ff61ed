"""Who may do what: where a person listens, what the bot may do there, what is kept to DJs and managers. Asks nobody."""

from __future__ import annotations

from enum import StrEnum

import discord

from bot_service.store.base import GuildSettings

VoiceRoom = discord.VoiceChannel | discord.StageChannel


class BotRefusalCode(StrEnum):
    """Why the bot itself says no, before a player is asked. `replies.errors` has a text for each."""

    NOT_IN_GUILD = "not_in_guild"
    NOT_IN_VOICE = "not_in_voice"
    IN_OTHER_VOICE = "in_other_voice"
    CANNOT_SEE = "cannot_see"
    CANNOT_CONNECT = "cannot_connect"
    CANNOT_SPEAK = "cannot_speak"
    CHANNEL_FULL = "channel_full"
    DJ_ONLY = "dj_only"
    MANAGERS_ONLY = "managers_only"
    BAD_TIME = "bad_time"
    NO_FAVOURITES = "no_favourites"
    NO_SUCH_FAVOURITE = "no_such_favourite"
    FAVOURITES_FULL = "favourites_full"
    STARTING = "starting"
    TIMED_OUT = "timed_out"
    VOICE_UNREACHABLE = "voice_unreachable"


class BotRefusal(Exception):
    """A request that is not carried out; `code` says why. Nothing was changed."""

    def __init__(self, code: BotRefusalCode) -> None:
        super().__init__(code.value)
        self.code = code


def room_of(member: discord.Member) -> VoiceRoom:
    """Return the voice channel that the member is in.

    Raises:
        BotRefusal: not_in_voice.
    """
    voice = member.voice
    if voice is None or voice.channel is None:
        raise BotRefusal(BotRefusalCode.NOT_IN_VOICE)
    return voice.channel


def check_same_room(member: discord.Member, bots_channel_id: int | None) -> None:
    """Let only those control the music who hear it; a bot that is nowhere can be told by anybody in a voice channel.

    Raises:
        BotRefusal: not_in_voice, in_other_voice.
    """
    room = room_of(member)
    if bots_channel_id is not None and room.id != bots_channel_id:
        raise BotRefusal(BotRefusalCode.IN_OTHER_VOICE)


def check_may_play_in(room: VoiceRoom) -> None:
    """Check what the bot itself may do in a voice channel.

    Raises:
        BotRefusal: cannot_see, cannot_connect, cannot_speak, channel_full.
    """
    me = room.guild.me
    allowed = room.permissions_for(me)
    if not allowed.view_channel:
        raise BotRefusal(BotRefusalCode.CANNOT_SEE)
    if not allowed.connect:
        raise BotRefusal(BotRefusalCode.CANNOT_CONNECT)
    # In a stage channel everybody is an audience first; whether the bot may speak is decided there.
    if isinstance(room, discord.VoiceChannel) and not allowed.speak:
        raise BotRefusal(BotRefusalCode.CANNOT_SPEAK)
    members = room.voice_states
    is_full = 0 < room.user_limit <= len(members)
    if is_full and me.id not in members and not allowed.move_members:
        raise BotRefusal(BotRefusalCode.CHANNEL_FULL)


def is_manager(member: discord.Member) -> bool:
    """Tell whether the member may manage the guild."""
    return member.guild_permissions.manage_guild


def is_dj(member: discord.Member, rules: GuildSettings) -> bool:
    """Tell whether the member may command the player whatever others want: managers, and who has the DJ role."""
    return is_manager(member) or (rules.dj_role_id is not None and member.get_role(rules.dj_role_id) is not None)


def check_dj(member: discord.Member, rules: GuildSettings) -> None:
    """Keep a command to DJs, where there is such a role; whoever listens alone is their own DJ.

    Raises:
        BotRefusal: dj_only.
    """
    if rules.dj_role_id is not None and not is_dj(member, rules) and listeners_beside(member) > 0:
        raise BotRefusal(BotRefusalCode.DJ_ONLY)


def listeners_beside(member: discord.Member) -> int:
    """Count the people (bots do not count) in the member's voice channel, the member left out."""
    voice = member.voice
    if voice is None or voice.channel is None:
        return 0
    return len(humans_in(voice.channel) - {member.id})


def humans_in(room: VoiceRoom) -> set[int]:
    """Return the ids of the people in a voice channel. Whoever is not known (no member list is asked for) counts."""
    known = {member.id: member for member in room.members}
    return {user_id for user_id in room.voice_states if user_id not in known or not known[user_id].bot}


def may_skip(member: discord.Member, rules: GuildSettings) -> bool:
    """Tell whether a member's wish to skip needs no vote; who asked for the song may skip it in any case."""
    if is_dj(member, rules):
        return True
    return not rules.vote_skip and rules.dj_role_id is None


def votes_needed(member: discord.Member) -> int:
    """Return how many of those who listen make a majority: more than half of them."""
    return (listeners_beside(member) + 1) // 2 + 1
