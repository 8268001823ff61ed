"""Permission checks: the member's voice channel, the bot's rights there, DJ role, managers. No requests to Discord."""

from __future__ import annotations

from enum import StrEnum

import discord

from bot_service.player.voice.places import AnyVoiceChannel, humans_in, obstacle_in
from bot_service.store.base import GuildSettings


class BotRefusalCode(StrEnum):
    """Why the bot refuses before the player is asked. `replies.errors` has a text for each."""

    NOT_IN_GUILD = "not_in_guild"
    NOT_IN_VOICE = "not_in_voice"
    IN_OTHER_VOICE = "in_other_voice"
    CANNOT_SEE = "cannot_see"
    CANNOT_CONNECT = "cannot_connect"
    CANNOT_SPEAK = "cannot_speak"
    CANNOT_ASK_TO_SPEAK = "cannot_ask_to_speak"
    AFK_CHANNEL = "afk_channel"
    CHANNEL_FULL = "channel_full"
    DJ_ONLY = "dj_only"
    VOTE_FIRST = "vote_first"
    MANAGERS_ONLY = "managers_only"
    BAD_TIME = "bad_time"
    NO_FAVOURITES = "no_favourites"
    NO_SUCH_FAVOURITE = "no_such_favourite"
    FAVOURITES_FULL = "favourites_full"
    STARTING = "starting"


class BotRefusal(Exception):
    """The bot refuses a command; `code` says why. Nothing was changed."""

    def __init__(self, code: BotRefusalCode) -> None:
        super().__init__(code.value)
        self.code = code


def voice_channel_of(member: discord.Member) -> AnyVoiceChannel:
    """Return the voice channel that the member is in.

    Raises:
        BotRefusal: not_in_voice.
    """
    voice = member.voice
    if voice is None or voice.channel is None:
        raise BotRefusal(BotRefusalCode.NOT_IN_VOICE)
    return voice.channel


def check_same_channel(member: discord.Member, bots_channel_id: int | None) -> None:
    """Require the member to be in the bot's voice channel, or in any while the bot is in none.

    Raises:
        BotRefusal: not_in_voice, in_other_voice.
    """
    channel = voice_channel_of(member)
    if bots_channel_id is not None and channel.id != bots_channel_id:
        raise BotRefusal(BotRefusalCode.IN_OTHER_VOICE)


def check_bot_may_play(channel: AnyVoiceChannel) -> None:
    """Require that the bot may play in a voice channel.

    Raises:
        BotRefusal: cannot_see, cannot_connect, cannot_speak, cannot_ask_to_speak, afk_channel, channel_full.
    """
    if (obstacle := obstacle_in(channel)) is not None:
        raise BotRefusal(BotRefusalCode(obstacle.value))


def is_manager(member: discord.Member) -> bool:
    """Return whether the member may manage the guild."""
    return member.guild_permissions.manage_guild


def is_dj(member: discord.Member, rules: GuildSettings) -> bool:
    """Return whether the member may control the player without votes: managers and members with the DJ role."""
    return is_manager(member) or (rules.dj_role_id is not None and member.get_role(rules.dj_role_id) is not None)


def check_dj(member: discord.Member, rules: GuildSettings) -> None:
    """Require a DJ where the guild has a DJ role; a member who listens alone counts as one.

    Raises:
        BotRefusal: dj_only.
    """
    if rules.dj_role_id is not None and not is_dj(member, rules) and other_listeners(member) > 0:
        raise BotRefusal(BotRefusalCode.DJ_ONLY)


def other_listeners(member: discord.Member) -> int:
    """Count the other people (not bots) in the member's voice channel."""
    voice = member.voice
    if voice is None or voice.channel is None:
        return 0
    return len(humans_in(voice.channel) - {member.id})


def may_skip_without_vote(member: discord.Member, rules: GuildSettings) -> bool:
    """Return whether the member's skip needs no vote. The player itself lets a song's requester skip it."""
    if is_dj(member, rules):
        return True
    return not rules.vote_skip and rules.dj_role_id is None


def check_may_end_songs(member: discord.Member, rules: GuildSettings, requesters: set[int]) -> None:
    """Require that no vote is needed to end songs of these requesters: otherwise the vote could be bypassed.

    Raises:
        BotRefusal: vote_first.
    """
    if rules.vote_skip and not is_dj(member, rules) and other_listeners(member) > 0 and requesters - {member.id}:
        raise BotRefusal(BotRefusalCode.VOTE_FIRST)


def votes_needed(member: discord.Member) -> int:
    """Return the majority of the listeners: more than half."""
    return (other_listeners(member) + 1) // 2 + 1
