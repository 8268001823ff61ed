"""Runs the bot's parts until the process is stopped, and ends them in order.

Players are closed before Discord is left, so that they can save their positions. People get no notice: a restart goes
on from there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from bot_service.discord_ui.bot import MusicBot
from bot_service.discord_ui.commands import MemberCommands
from bot_service.discord_ui.followups import Followups
from bot_service.discord_ui.interactions import Interactions
from bot_service.discord_ui.latest_messages import LatestMessages
from bot_service.discord_ui.login import DiscordRefused, log_in, stay_connected
from bot_service.discord_ui.player_message import PlayerMessages
from bot_service.discord_ui.request_replies import RequestReplies
from bot_service.discord_ui.voice_states import report_all_voice_states, report_voice_state
from bot_service.health import create_app
from bot_service.player.guild_player import GuildPlayer, OpenVoice, PlayerDisplay
from bot_service.player.players import Players
from bot_service.player.rules.events import Event
from bot_service.player.rules.outcomes import Notice, NoticeKind
from bot_service.player.rules.state import PlayerLimits
from bot_service.player.snapshot import Snapshot
from bot_service.player.voice.link import VoiceLink
from bot_service.player.voice.turns import JoinTurns
from bot_service.requests.entries import RequestEntries
from bot_service.requests.play import PlayRequests
from bot_service.services import Services
from common.errors import DatabaseUnavailable
from common.http.connections import Connections
from common.http.server import serve
from common.observability.telemetry import get_logger
from common.runtime import until_stopped
from common.tasks import pause, running_alongside

log = get_logger(__name__)

# Causes of a failed playback that downloading the song again repairs.
_REPAIRED_BY_A_REQUEST = frozenset({"blob_not_found", "media_not_found"})
_RESTORE_RETRY_DELAY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class BotParts:
    """What runs on the client."""

    players: Players
    messages: PlayerMessages
    replies: RequestReplies


async def run_bot(services: Services, listener: socket.socket, stop: asyncio.Event) -> None:
    """Run the Discord bot until `stop`, and serve health on `listener` meanwhile.

    Raises:
        DiscordRefused: the token, or the bot's set-up at Discord, is wrong.
    """
    bot = MusicBot(services.settings)
    parts = build_bot(services, bot, _open_voice(services, bot))
    connections = Connections(services.registry)
    health = until_stopped(stop, "health", serve(create_app(services, bot), listener, stop, connections))
    try:
        async with bot, running_alongside(health), parts.players:
            await _run_in_discord(services, bot, parts, stop)
    except BaseExceptionGroup as failures:
        raise _refusal_in(failures) or failures from None


async def _run_in_discord(services: Services, bot: MusicBot, parts: BotParts, stop: asyncio.Event) -> None:
    await log_in(bot, services.settings.discord_token.get_secret_value(), stop)
    if stop.is_set():
        return
    async with running_alongside(stay_connected(bot)):
        await _first(stop, bot.first_ready)
        await _restore(parts.players, stop)
        async with running_alongside(bot.remove_stale_commands()), asyncio.TaskGroup() as tasks:
            tasks.create_task(until_stopped(stop, "player messages", parts.messages.run(stop)))
            tasks.create_task(until_stopped(stop, "requests", services.pending.run(stop, parts.replies.handler)))
            bot.interactions.ready.set()
        bot.interactions.ready.clear()
        await parts.players.close()


def build_bot(services: Services, bot: MusicBot, open_voice: OpenVoice) -> BotParts:
    """Build the players and the Discord user interface on the client, and connect them."""
    settings, store, latest_messages = services.settings, services.store, LatestMessages()

    def player_of(guild_id: int) -> GuildPlayer:
        return players.of(guild_id)

    def notice(guild_id: int, notice: Notice) -> None:
        if notice.kind is NoticeKind.SONG_FAILED and notice.entry is not None:
            entries.note_failure(guild_id, notice.entry.title, notice.code)
            if notice.entry.track is not None and notice.code in _REPAIRED_BY_A_REQUEST:
                services.songs.mark_without_file(notice.entry.track.video_id)
            if replies.will_tell_failure(notice.entry, notice.code):
                return
        messages.notice(guild_id, notice)

    def refresh(snapshot: Snapshot) -> None:
        messages.refresh(snapshot)
        services.pending.queue_changed(snapshot)

    messages = PlayerMessages(
        bot, player_of, latest_messages, update_seconds=settings.player_update_seconds, locale=settings.locale
    )
    players = Players(
        limits=PlayerLimits(
            queue_limit=settings.queue_limit,
            idle_seconds=settings.idle_seconds,
            alone_seconds=settings.alone_seconds,
            voice_reconnect_seconds=settings.voice_reconnect_seconds,
        ),
        open_voice=open_voice,
        store=store,
        display=PlayerDisplay(refresh, notice),
        resume_after_restart=settings.resume_after_restart,
    )
    entries = RequestEntries(services.songs, players, services.metrics)
    replies = RequestReplies(store, entries, Followups(bot))
    bot.interactions = Interactions(
        services,
        players,
        commands=MemberCommands(players, store),
        play_requests=PlayRequests(services.songs, players, services.metrics, playlist_limit=settings.playlist_limit),
        latest_messages=latest_messages,
        failures=entries.failures,
    )
    bot.voice_state_changed = partial(report_voice_state, players)
    bot.session_renewed = partial(report_all_voice_states, players, bot)
    bot.guild_removed = players.drop
    return BotParts(players, messages, replies)


def _open_voice(services: Services, bot: MusicBot) -> OpenVoice:
    turns = JoinTurns()

    def open_voice(guild_id: int, report: Callable[[Event], None]) -> VoiceLink:
        return VoiceLink(bot, guild_id, report, services.frames, services.metrics, turns=turns)

    return open_voice


async def _restore(players: Players, stop: asyncio.Event) -> None:
    """Restore the saved players; retries while the store is unavailable."""
    while not stop.is_set():
        try:
            count = await players.restore()
        except DatabaseUnavailable as exc:
            log.warning("players.not_restored", detail=exc.detail)
            await pause(stop, _RESTORE_RETRY_DELAY)
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
    """Return the error that the operator must read, so that it is logged as one line instead of a group."""
    found, _ = failures.split(DiscordRefused)
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, DiscordRefused) else None
