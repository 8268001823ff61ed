"""Reports members' voice states, and changes of them, to the guild's player."""

from __future__ import annotations

import discord

from bot_service.player.players import Players
from bot_service.player.rules.events import Listeners, ListenersLeft, Silenced, VoiceMoved
from bot_service.player.snapshot import Snapshot
from bot_service.player.voice.places import AnyVoiceChannel, humans_in, obstacle_in, silence_after, silence_of
from bot_service.player.voice_changes import VoiceChange, events_of


def report_voice_state(
    players: Players, member: discord.Member, before: discord.VoiceState, after: discord.VoiceState
) -> None:
    """Tell the guild's player, if there is one, what a change means."""
    player = players.get(member.guild.id)
    if player is None:
        return
    guild, snapshot = member.guild, player.snapshot
    bots_channel = guild.me.voice.channel if guild.me.voice is not None else None
    if snapshot.joining_channel_id is not None:
        joining = guild.get_channel(snapshot.joining_channel_id)
        bots_channel = joining if isinstance(joining, AnyVoiceChannel) else bots_channel
    concerned = {channel for channel in (before.channel, after.channel, bots_channel) if channel is not None}
    events = events_of(
        VoiceChange(_id(before.channel), _id(after.channel), member.id == guild.me.id, member.bot),
        bots_channel_id=_id(bots_channel),
        people={channel.id: len(humans_in(channel)) for channel in concerned},
        afk_channel_id=_id(guild.afk_channel),
        requesters_channel_id=_requesters_channel_id(guild, snapshot),
    )
    for event in events:
        if isinstance(event, ListenersLeft) and not _may_follow(guild, event.channel_id):
            continue
        player.tell(event)
    if member.id == guild.me.id and (silenced := silence_after(before, after)) is not None:
        player.tell(silenced)


def _requesters_channel_id(guild: discord.Guild, snapshot: Snapshot) -> int | None:
    """Return the voice channel of the member who asked for the current song, else for the next one."""
    entry = snapshot.current or next(iter(snapshot.entries), None)
    channels = (*guild.voice_channels, *guild.stage_channels)
    return next((one.id for one in channels if entry is not None and entry.requester_id in one.voice_states), None)


def _may_follow(guild: discord.Guild, channel_id: int) -> bool:
    channel = guild.get_channel(channel_id)
    return isinstance(channel, AnyVoiceChannel) and obstacle_in(channel) is None


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
