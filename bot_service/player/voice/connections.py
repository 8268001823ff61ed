"""Connects to a voice channel, moves between channels, leaves: one attempt each, bounded in time.

Every failure has a reason. No retries: the state machine decides on them.
"""

from __future__ import annotations

import asyncio

import discord

from bot_service.player.voice.client import WatchedVoiceClient
from bot_service.player.voice.places import AnyVoiceChannel, Obstacle, obstacle_in
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

_JOIN_SECONDS = 12.0
# After its own time-out discord.py waits that long again for a confirmation that can no longer arrive.
_GRACE_SECONDS = 1.0
_MOVE_SECONDS = 8.0
_LEAVE_SECONDS = 2.0
_CONFIRM_SECONDS = 3.0

# Unknown protocol, unknown encryption, end-to-end encryption required, bad request, rate limited, call terminated.
# Source: Discord's page "Opcodes and Status Codes", voice close event codes.
_PERMANENT = frozenset({4012, 4016, 4017, 4020, 4021, 4022})

_REASONS = {Obstacle.CHANNEL_FULL: "channel_full", Obstacle.AFK_CHANNEL: "afk_channel"}


class CannotJoinError(Exception):
    """The channel cannot be joined. The fields are those of `events.VoiceLost`."""

    def __init__(self, reason: str, *, code: int | None = None, may_retry: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.may_retry = may_retry


def may_retry(code: int | None) -> bool:
    """Whether a reconnect can succeed after this close code.

    True for 4014: if the bot was removed, discord.py reports that separately.
    """
    return code not in _PERMANENT


async def connect(
    client: discord.Client, guild_id: int, channel_id: int, *, seconds: float = _JOIN_SECONDS
) -> WatchedVoiceClient:
    """Connect to a channel, deafened: the bot does not receive audio.

    Raises:
        CannotJoinError: channel_deleted, forbidden, channel_full, afk_channel, timeout, closed (with the code), failed.
    """
    channel = _channel(client, guild_id, channel_id)
    await _end_stale(channel.guild)
    try:
        async with time_limit(seconds + _GRACE_SECONDS):
            return await channel.connect(timeout=seconds, reconnect=False, self_deaf=True, cls=WatchedVoiceClient)
    except TimeoutError as exc:
        raise CannotJoinError("timeout", may_retry=True) from exc
    except discord.ConnectionClosed as exc:
        raise CannotJoinError("closed", code=exc.code, may_retry=may_retry(exc.code)) from exc
    except Exception as exc:
        # Any error of the transport below discord.py: DNS, TLS, HTTP, sockets.
        log.warning("voice.join_failed", guild_id=guild_id, channel_id=channel_id, error=repr(exc))
        raise CannotJoinError("failed", may_retry=True) from exc


async def move(client: discord.Client, voice: WatchedVoiceClient, channel_id: int) -> bool:
    """Move a connection to another channel of its guild; False on time-out.

    discord.py's `move_to` undoes the deafening and opens a socket that its reader may use only 30 s later. So the bot
    changes its voice state instead, as if a moderator moved it, and discord.py follows with the socket it has.

    Raises:
        CannotJoinError: channel_deleted, forbidden, channel_full, afk_channel.
    """
    channel = _channel(client, voice.guild.id, channel_id)
    me = channel.guild.me.id

    def arrived(member: discord.Member, _before: discord.VoiceState, after: discord.VoiceState) -> bool:
        return member.id == me and after.channel is not None and after.channel.id == channel_id

    told = client.wait_for("voice_state_update", check=arrived, timeout=_MOVE_SECONDS)
    try:
        _, moved = await asyncio.gather(channel.guild.change_voice_state(channel=channel, self_deaf=True), told)
    except (TimeoutError, ConnectionError):
        return False
    return bool(moved) and not voice.over


async def leave(voice: WatchedVoiceClient) -> None:
    """Leave; wait up to _LEAVE_SECONDS for Discord's confirmation."""
    try:
        async with time_limit(_LEAVE_SECONDS):
            await voice.leave()
    except TimeoutError:
        log.warning("voice.leave_not_confirmed", guild_id=voice.guild.id)
    finally:
        voice.stop_runner()


async def wait_until_left(client: discord.Client, guild_id: int) -> None:
    """Wait until Discord reports the bot in no channel: a new connection would take that report for its own end."""
    guild = client.get_guild(guild_id)
    if guild is None or guild.me.voice is None:
        return
    me = guild.me.id

    def left(member: discord.Member, _before: discord.VoiceState, after: discord.VoiceState) -> bool:
        return member.id == me and after.channel is None

    try:
        await client.wait_for("voice_state_update", check=left, timeout=_CONFIRM_SECONDS)
    except TimeoutError:
        log.warning("voice.leave_not_confirmed", guild_id=guild_id)


async def _end_stale(guild: discord.Guild) -> None:
    """End a connection of this guild whose attempt was cancelled."""
    if isinstance(stale := guild.voice_client, WatchedVoiceClient):
        await leave(stale)


def _channel(client: discord.Client, guild_id: int, channel_id: int) -> AnyVoiceChannel:
    guild = client.get_guild(guild_id)
    channel = guild.get_channel(channel_id) if guild is not None else None
    if guild is None or not isinstance(channel, AnyVoiceChannel):
        raise CannotJoinError("channel_deleted")
    if (obstacle := obstacle_in(channel)) is not None:
        raise CannotJoinError(_REASONS.get(obstacle, "forbidden"))
    return channel
