"""Reports members' voice states, and changes of them, to the guild's player."""

from __future__ import annotations

import discord

from bot_service.discord_ui.permissions import humans_in
from bot_service.player.players import Players
from bot_service.player.rules.events import Listeners, ListenersLeft, Silenced, VoiceMoved
from bot_service.player.voice.places import AnyVoiceChannel, obstacle_in, silence_after, silence_of
from bot_service.player.voice_changes import VoiceChange, events_of


def report_voice_state(
    players: Players, member: discord.Member, before: discord.VoiceState, after: discord.VoiceState
) -> None:
    """Tell the guild's player, if there is one, what a change means."""
    player = players.get(member.guild.id)
    if player is None:
        return
    guild = member.guild
    bots_channel = guild.me.voice.channel if guild.me.voice is not None else None
    concerned = {channel.id for channel in (before.channel, after.channel, bots_channel) if channel is not None}
    people = {
        channel.id: len(humans_in(channel))
        for channel in (*guild.voice_channels, *guild.stage_channels)
        if channel.id in concerned
    }
    change = VoiceChange(_id(before.channel), _id(after.channel), member.id == guild.me.id, member.bot)
    afk = _id(guild.afk_channel)
    for event in events_of(change, bots_channel_id=_id(bots_channel), people=people, afk_channel_id=afk):
        if isinstance(event, ListenersLeft) and after.channel is not None and obstacle_in(after.channel) is not None:
            continue  # the bot may not follow there
        player.tell(event)
    if change.is_self and (silenced := silence_after(before, after)) is not None:
        player.tell(silenced)


def report_all_voice_states(players: Players, client: discord.Client) -> None:
    """Tell each player how things stand: a new gateway session says nothing of changes before it.

    Players ignore what they know. That the bot is in no channel is left to its voice connection, which has ended.
    """
    for player in players.all():
        guild = client.get_guild(player.guild_id)
        voice = guild.me.voice if guild is not None else None
        if voice is not None and voice.channel is not None:
            player.tell(VoiceMoved(voice.channel.id))
            player.tell(Listeners(len(humans_in(voice.channel))))
            player.tell(Silenced(silence_of(voice)))


def _id(channel: AnyVoiceChannel | None) -> int | None:
    return channel.id if channel is not None else None
