"""The one rule for where the bot may play; whether it is heard where it is, and why not; the request to speak.

The rule is asked before a command is accepted, before a listener is followed, and before a join.
"""

from __future__ import annotations

from enum import StrEnum

import aiohttp
import discord

from bot_service.player.rules.events import Silenced
from bot_service.player.rules.model import Silence
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

AnyVoiceChannel = discord.VoiceChannel | discord.StageChannel

_ASK_SECONDS = 10.0


class Obstacle(StrEnum):
    """Why the bot may not play in a channel. On a stage it need not speak at once, but must be allowed to ask."""

    CANNOT_SEE = "cannot_see"
    CANNOT_CONNECT = "cannot_connect"
    CANNOT_SPEAK = "cannot_speak"
    CANNOT_ASK_TO_SPEAK = "cannot_ask_to_speak"
    AFK_CHANNEL = "afk_channel"
    CHANNEL_FULL = "channel_full"


def obstacle_in(channel: AnyVoiceChannel) -> Obstacle | None:
    """Return why the bot may not play in a channel, None if it may."""
    me = channel.guild.me
    allowed = channel.permissions_for(me)
    members = channel.voice_states
    is_full = 0 < channel.user_limit <= len(members) and me.id not in members
    is_stage = isinstance(channel, discord.StageChannel)
    afk = channel.guild.afk_channel
    found = {
        Obstacle.CANNOT_SEE: not allowed.view_channel,
        Obstacle.CANNOT_CONNECT: not allowed.connect,
        # Discord lets no member be heard there.
        Obstacle.AFK_CHANNEL: afk is not None and afk.id == channel.id,
        Obstacle.CANNOT_SPEAK: not is_stage and not allowed.speak,
        Obstacle.CANNOT_ASK_TO_SPEAK: is_stage and not (allowed.mute_members or allowed.request_to_speak),
        Obstacle.CHANNEL_FULL: is_full and not allowed.move_members,
    }
    return next((obstacle for obstacle, is_there in found.items() if is_there), None)


def humans_in(channel: AnyVoiceChannel) -> set[int]:
    """Return the ids of the people in a voice channel. Unknown members count: the member list is not requested."""
    known = {member.id: member for member in channel.members}
    return {user_id for user_id in channel.voice_states if user_id not in known or not known[user_id].bot}


def silence_of(voice: discord.VoiceState | None) -> Silence | None:
    """Return why a member with this voice state is not heard, None if it is."""
    if voice is None or voice.channel is None:
        return None
    if isinstance(voice.channel, discord.StageChannel):
        if voice.suppress:
            return Silence.AUDIENCE
        if voice.requested_to_speak_at is not None:
            return Silence.INVITED
    if voice.mute:
        return Silence.MUTED
    if voice.deaf:
        return Silence.DEAFENED
    return Silence.MAY_NOT_SPEAK if voice.suppress else None


def silence_after(before: discord.VoiceState, after: discord.VoiceState) -> Silenced | None:
    """Return what a change of the bot's own voice state means for whether it is heard; None: nothing."""
    if after.channel is None:
        return None
    reason = silence_of(after)
    if before.channel is None or before.channel.id != after.channel.id:
        return Silenced(reason, arrived=True)
    earlier = silence_of(before)
    if reason is earlier:
        return None
    if reason is Silence.AUDIENCE:
        # An invitation that was withdrawn leaves the bot where it was.
        return Silenced(Silence.ASKED if earlier is Silence.INVITED else Silence.SENT_DOWN)
    return Silenced(reason)


async def ask_to_speak(guild: discord.Guild) -> Silence | None:
    """Become a speaker of the stage channel where that is allowed, else ask for it.

    Returns ASKED or REFUSED; None if nothing is to be asked: Discord reports that the bot speaks.
    """
    voice = guild.me.voice
    if voice is None or not isinstance(voice.channel, discord.StageChannel):
        return None
    allowed = voice.channel.permissions_for(guild.me)
    try:
        async with time_limit(_ASK_SECONDS):
            if allowed.mute_members or not voice.suppress:
                await guild.me.edit(suppress=False)
                return None
            if allowed.request_to_speak:
                await guild.me.request_to_speak()
                return Silence.ASKED
    except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as exc:
        log.warning("voice.may_not_speak", guild_id=guild.id, channel_id=voice.channel.id, error=repr(exc))
    return Silence.REFUSED
