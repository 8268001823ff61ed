"""What members may ask of the guild's player: each method checks permissions, then performs the command.

Shared by slash commands and buttons. Writes no replies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import discord

from bot_service.discord_ui.permissions import (
    BotRefusal,
    BotRefusalCode,
    check_bot_may_play,
    check_dj,
    check_may_end_songs,
    check_same_channel,
    may_skip_without_vote,
    voice_channel_of,
    votes_needed,
)
from bot_service.player.players import Players
from bot_service.player.rules.events import Clear, Command, Jump, Previous, Remove, Seek, Skip, Stop
from bot_service.player.rules.outcomes import Outcome, PlayerRefusal, RefusalCode
from bot_service.player.snapshot import Snapshot
from bot_service.player.voice.places import AnyVoiceChannel, humans_in
from bot_service.store.base import FavouritesFull, GuildStore


@dataclass(frozen=True, slots=True)
class FavouriteAdded:
    """The current song is a favourite; `is_new` False: it was one before."""

    title: str
    is_new: bool


class MemberCommands:
    """Commands of guild members."""

    def __init__(self, players: Players, store: GuildStore) -> None:
        self._players = players
        self._store = store
        # Channels that songs under way to the player are for, by guild.
        self._claims: dict[int, Counter[int]] = {}

    def channel_to_play_in(self, member: discord.Member) -> int:
        """Return the id of the voice channel that the member may play in.

        Raises:
            BotRefusal: the member is in none, or the bot may not play there.
            PlayerRefusal: the bot plays to people in another channel, or will in a moment.
        """
        channel = voice_channel_of(member)
        guild = member.guild
        snapshot = self._players.of(guild.id).snapshot
        if snapshot.voice_channel_id != channel.id:
            # The player itself would refuse too, but only after a public "thinking…".
            busy = set(self._claims.get(guild.id, ()))
            if snapshot.current is not None or snapshot.entries:
                busy |= {snapshot.voice_channel_id or 0, _voice_channel_id(guild.me)}
            elsewhere = (guild.get_channel(channel_id) for channel_id in busy - {channel.id})
            if any(isinstance(one, AnyVoiceChannel) and humans_in(one) for one in elsewhere):
                raise PlayerRefusal(RefusalCode.OTHER_CHANNEL)
        if _voice_channel_id(guild.me) != channel.id:
            check_bot_may_play(channel)
        return channel.id

    @contextmanager
    def claimed_channel(self, member: discord.Member) -> Generator[int]:
        """Return `channel_to_play_in`, and keep members of other channels from it until the song is queued.

        Raises:
            BotRefusal, PlayerRefusal: as `channel_to_play_in`.
        """
        channel_id = self.channel_to_play_in(member)
        claims = self._claims.setdefault(member.guild.id, Counter())
        claims[channel_id] += 1
        try:
            yield channel_id
        finally:
            claims[channel_id] -= 1
            if not claims[channel_id]:
                del claims[channel_id]

    async def perform(self, member: discord.Member, command: Command) -> Outcome:
        """Perform a command of the player. The member must be listening, and be a DJ where the guild requires one.

        Raises:
            BotRefusal: the member lacks permission, or is in another channel.
            PlayerRefusal: the player refuses the command in its state.
        """
        player = self._players.of(member.guild.id)
        snapshot = player.snapshot
        check_same_channel(member, snapshot.voice_channel_id)
        if isinstance(command, Skip):
            command = replace(
                command,
                may_skip=may_skip_without_vote(member, snapshot.rules),
                votes_needed=votes_needed(member),
                present=frozenset(humans_in(voice_channel_of(member))),
            )
        else:
            check_dj(member, snapshot.rules)
            check_may_end_songs(member, snapshot.rules, _requesters_of_ended(command, snapshot))
        return await player.ask(command)

    async def add_favourite(self, member: discord.Member) -> FavouriteAdded:
        """Add the current song to the member's favourites; allowed to every member.

        Raises:
            BotRefusal: favourites_full.
            PlayerRefusal: nothing_playing.
        """
        current = self._players.of(member.guild.id).snapshot.current
        if current is None or current.track is None:
            raise PlayerRefusal(RefusalCode.NOTHING_PLAYING)
        try:
            # Stored as finished: if the download fails, playing the favourite requests it again.
            is_new = await self._store.add_favourite(member.id, replace(current.track, unfinished=False))
        except FavouritesFull as exc:
            raise BotRefusal(BotRefusalCode.FAVOURITES_FULL) from exc
        return FavouriteAdded(current.title, is_new)


def _requesters_of_ended(command: Command, snapshot: Snapshot) -> set[int]:
    """Return who asked for the songs that the command ends, passes over or removes."""
    current, entries = snapshot.current, snapshot.entries
    match command:
        case Jump(position):
            ended = (current, *entries[: position - 1])
        case Previous() | Seek():
            ended = (current,)
        case Remove(position):
            ended = entries[position - 1 : position]
        case Clear():
            ended = entries
        case Stop():
            ended = (current, *entries)
        case _:
            ended = ()
    return {entry.requester_id for entry in ended if entry is not None}


def _voice_channel_id(member: discord.Member) -> int:
    """Return the id of the channel that a member is in, 0 for none."""
    return member.voice.channel.id if member.voice is not None and member.voice.channel is not None else 0
