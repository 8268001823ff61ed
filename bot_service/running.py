"""The bot's parts around one another, for as long as it runs; what is made here is ended here, in order.

Players end before Discord is left, so that they can save where they are; nobody is told anything, because a restart
goes on from there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import timedelta

import discord

from bot_service.discord_ui.bot import MusicBot
from bot_service.discord_ui.commands import Orders
from bot_service.discord_ui.followups import LateReplies
from bot_service.discord_ui.interactions import Desk
from bot_service.discord_ui.login import DiscordRefused, log_in, stay_connected
from bot_service.discord_ui.permissions import VoiceRoom, humans_in
from bot_service.discord_ui.player_message import Panels
from bot_service.discord_ui.request_replies import Arrivals
from bot_service.health import create_app
from bot_service.player.guild_player import GuildPlayer, PlayerDisplay
from bot_service.player.players import Players
from bot_service.player.rules.events import Event
from bot_service.player.rules.outcomes import Notice, NoticeKind
from bot_service.player.rules.state import PlayerLimits
from bot_service.player.voice.link import VoiceLink
from bot_service.player.voice_changes import VoiceChange, events_of
from bot_service.services import Services
from common.broker.reading import pause
from common.errors import DatabaseUnavailable
from common.http.server import serve
from common.observability.telemetry import get_logger
from common.runtime import until_stopped
from common.tasks import running_alongside

log = get_logger(__name__)

_MENDED_BY_A_REQUEST = frozenset({"blob_not_found", "media_not_found"})
_RESTORE_AGAIN = timedelta(seconds=2)


async def run_bot(services: Services, listener: socket.socket, stop: asyncio.Event) -> None:
    """Be in Discord until `stop`; health is served on `listener` all the while.

    Raises:
        DiscordRefused: the token, or how the bot is set up, is wrong.
    """
    bot = MusicBot(services.settings)
    health = until_stopped(stop, "health", serve(create_app(services, bot), listener, stop))
    try:
        async with bot, running_alongside(health), _players(services, bot) as players:
            await _be_in_discord(services, bot, players, stop)
    except BaseExceptionGroup as failures:
        raise _refusal_in(failures) or failures from None


async def _be_in_discord(services: Services, bot: MusicBot, players: Players, stop: asyncio.Event) -> None:
    await log_in(bot, services.settings.discord_token.get_secret_value(), stop)
    if stop.is_set():
        return
    async with running_alongside(stay_connected(bot)):
        await _first(stop, bot.first_ready)
        await _restore(players, stop)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(until_stopped(stop, "player messages", bot.desk.panels.run(stop)))
            tasks.create_task(until_stopped(stop, "requests", services.pending.run(stop, bot.desk.arrivals.handler)))
            bot.desk.open.set()
        bot.desk.open.clear()
        await players.close()


def _players(services: Services, bot: MusicBot) -> Players:
    """Make the players, what they show themselves on, and what commands come to; all know one another."""
    settings = services.settings

    def open_voice(guild_id: int, report: Callable[[Event], None]) -> VoiceLink:
        return VoiceLink(bot, guild_id, report, services.frames, services.metrics)

    def player_of(guild_id: int) -> GuildPlayer:
        return players.of(guild_id)

    def notice(guild_id: int, told: Notice) -> None:
        if told.kind is NoticeKind.SONG_FAILED and told.entry is not None:
            arrivals.note_failure(guild_id, told.entry.title, told.code)
            if told.entry.track is not None and told.code in _MENDED_BY_A_REQUEST:
                services.songs.note_lost(told.entry.track.video_id)
            if arrivals.tells_why(told.entry, told.code):
                return
        panels.notice(guild_id, told)

    panels = Panels(bot, player_of, update_seconds=settings.player_update_seconds, locale=settings.locale)
    players = Players(
        limits=PlayerLimits(
            queue_limit=settings.queue_limit,
            idle_seconds=settings.idle_seconds,
            alone_seconds=settings.alone_seconds,
            voice_reconnect_seconds=settings.voice_reconnect_seconds,
        ),
        open_voice=open_voice,
        store=services.store,
        display=PlayerDisplay(panels.refresh, notice),
        resume_after_restart=settings.resume_after_restart,
    )
    arrivals = Arrivals(services, players, LateReplies(bot))
    bot.desk = Desk(services, players, Orders(services, players), arrivals, panels)
    _listen(bot, players)
    return players


def _listen(bot: MusicBot, players: Players) -> None:
    """Pass on what happens in voice channels."""

    def voice_changed(member: discord.Member, before: discord.VoiceState, after: discord.VoiceState) -> None:
        player = players.get(member.guild.id)
        if player is None:
            return
        guild = member.guild
        rooms = {channel.id for channel in (before.channel, after.channel, _room_of_bot(guild)) if channel is not None}
        people = {
            channel.id: len(humans_in(channel))
            for channel in (*guild.voice_channels, *guild.stage_channels)
            if channel.id in rooms
        }
        change = VoiceChange(_id(before.channel), _id(after.channel), member.id == guild.me.id, member.bot)
        afk = _id(guild.afk_channel)
        for event in events_of(change, bots_channel_id=_id(_room_of_bot(guild)), people=people, afk_channel_id=afk):
            player.tell(event)

    bot.voice_changed = voice_changed
    bot.guild_gone = players.drop


def _room_of_bot(guild: discord.Guild) -> VoiceRoom | None:
    voice = guild.me.voice
    return voice.channel if voice is not None else None


def _id(channel: VoiceRoom | None) -> int | None:
    return channel.id if channel is not None else None


async def _restore(players: Players, stop: asyncio.Event) -> None:
    """Let saved players go on, as soon as it is known what was saved."""
    while not stop.is_set():
        try:
            count = await players.restore()
        except DatabaseUnavailable as exc:
            log.warning("players.not_restored", detail=exc.detail)
            await pause(stop, _RESTORE_AGAIN)
        else:
            log.info("players.restored", count=count)
            return


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _refusal_in(failures: BaseExceptionGroup[BaseException]) -> DiscordRefused | None:
    """Find the reason that is for the operator, so that it is one line and no group."""
    found, _ = failures.split(DiscordRefused)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, DiscordRefused) else None
