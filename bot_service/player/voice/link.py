"""A guild's voice: at most one connection and one playback, whose ends are reported as events.

Performs the player's effects and decides nothing. Methods return once the work is under way; its result is reported
later, on the event loop. discord.py never reconnects by itself: a lost connection is reported once, with the frame that
was reached, and the player calls `join` and `play` again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import discord

from bot_service.metrics import BotMetrics
from bot_service.player.rules.events import (
    INTERRUPTED,
    Event,
    JoinWaits,
    Silenced,
    TrackEnded,
    VoiceLost,
    VoiceMoved,
    VoiceReady,
)
from bot_service.player.voice import connections, places
from bot_service.player.voice.client import WatchedVoiceClient
from bot_service.player.voice.connections import CannotJoinError
from bot_service.player.voice.frames import FrameStore, Head
from bot_service.player.voice.playback import Playback
from bot_service.player.voice.turns import JoinTurns
from bot_service.player.voice.watchdog import VoiceWatch
from bot_service.store.base import Track
from common.errors import AppError
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_CHECK_SECONDS = 0.25
_DELETE_EVENT_SECONDS = 0.5
_CLOSE_SECONDS = 8.0


class VoiceLink:
    """The voice of one guild. Its creator calls `close`, which ends its tasks.

    Reports:
        JoinWaits: Discord takes no more joins at the moment, or has not sent the guild; and again when it does.
        Silenced: the bot is not heard where it is; before VoiceReady, or as the answer to `ask_to_speak`.
        VoiceReady: after `join`.
        VoiceLost: instead of VoiceReady, or later. `reason`: kicked, channel_deleted, forbidden, channel_full,
            afk_channel, timeout (of the join), closed (the voice WebSocket, with its code if any), stalled (no packet
            sent for seconds), failed.
        TrackEnded: a playback ended that was not halted; with reason INTERRUPTED before the VoiceLost that ended it.
    """

    def __init__(  # noqa: PLR0913 - what a process shares
        self,
        client: discord.Client,
        guild_id: int,
        report: Callable[[Event], None],
        frames: FrameStore,
        metrics: BotMetrics,
        *,
        turns: JoinTurns | None = None,
    ) -> None:
        self._client = client
        self._guild_id = guild_id
        self._report = report
        self._frames = frames
        self._metrics = metrics
        self._turns = turns or JoinTurns()
        self._voice: WatchedVoiceClient | None = None
        self._play: Playback | None = None
        self._last: Playback | None = None
        self._head: Head | None = None
        self._loss_reason = ""
        # One task at a time connects, moves or leaves, in the order of the calls.
        self._changing = asyncio.Lock()
        self._tasks = set[asyncio.Task[None]]()
        self._joining: asyncio.Task[None] | None = None
        self._connecting: tuple[asyncio.Task[None], int] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._prefetching: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def next_frame(self) -> int:
        """Next frame of the present playback, or of the last one; 0 before the first."""
        shown = self._play or self._last
        return shown.source.next_frame if shown is not None else 0

    async def join(self, channel_id: int) -> None:
        """Enter a channel, or move there. Ends in VoiceReady or VoiceLost.

        A join under way reports nothing then. If it is past waiting it is let finish, and the bot moves on from there:
        Discord's confirmation that a cancelled join was left would end the connection of the next one.
        """
        if self._connecting is None or self._connecting[1] == channel_id:
            self._cancel_join()
        self._joining = self._spawn(self._enter(channel_id), "join")

    async def leave(self) -> None:
        """Halt, and leave the channel or cancel the join. Nothing is reported."""
        self._cancel_join()
        _cancel(self._watching)
        self.halt()
        self._loss_reason = ""
        voice, self._voice = self._voice, None
        self._spawn(self._exit(voice), "leave")

    async def play(self, play_id: int, track: Track, start_frame: int = 0, *, asked_at: float | None = None) -> None:
        """Send a song from a frame on; replaces the present playback. Ends in TrackEnded with this id, unless halted.

        `asked_at`: `time.monotonic()` of the command whose time to first packet is measured.
        """
        self.halt()
        previous = self._last
        play = Playback(play_id, track, start_frame, ended=self._playback_ended, asked_at=asked_at)
        self._play = self._last = play
        if self._voice is None:
            play.failure = INTERRUPTED
            play.halt()
            self._play = None
            self._report(TrackEnded(play_id, start_frame, finished=False, reason=INTERRUPTED))
            return
        head, self._head = self._head, None
        self._reading = self._spawn(play.run(self._voice, self._frames, head, previous), "play")

    def halt(self) -> None:
        """End the playback. Nothing is reported."""
        play, self._play = self._play, None
        _cancel(self._reading)
        if play is not None:
            play.halt()

    def hold(self) -> None:
        """Pause the playback."""
        if self._play is not None:
            self._play.hold()

    def proceed(self) -> None:
        """Resume the playback at its next frame."""
        if self._play is not None:
            self._play.proceed()

    async def ask_to_speak(self) -> None:
        """Become a speaker of the stage channel, or ask for it. Ends in Silenced if it does not speak by that."""
        self._spawn(self._ask_to_speak(), "speak")

    async def prefetch(self, track: Track | None) -> None:
        """Read the first 10 s of this track into memory and drop any other track's; None: only drop."""
        _cancel(self._prefetching)
        if track is None or self._head is None or self._head.video_id != track.video_id:
            self._head = None
            if track is not None:
                self._prefetching = self._spawn(self._read_head(track), "prefetch")

    async def close(self) -> None:
        """Leave and end every task, within _CLOSE_SECONDS."""
        _cancel(self._prefetching)
        await self.leave()
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # The connection.

    async def _enter(self, channel_id: int) -> None:
        lost: VoiceLost | None = None
        await self._wait_for_guild()
        try:
            async with self._turns.turn(self._listeners_in(channel_id), self._report):
                await self._connect(channel_id)
        except CannotJoinError as exc:
            self._turns.count()  # discord.py leaves what it could not join
            log.info("voice.not_joined", guild_id=self._guild_id, reason=exc.reason, code=exc.code)
            self._loss_reason = self._loss_reason or exc.reason
            lost = VoiceLost(exc.code, exc.reason, exc.may_retry)
        if asyncio.current_task() is not self._joining:
            return
        if lost is not None:
            self._report(lost)
            return
        guild = self._client.get_guild(self._guild_id)
        # Where the bot was already, no change of its voice state says so.
        if guild is not None and (reason := places.silence_of(guild.me.voice)) is not None:
            self._report(Silenced(reason))
        self._report(VoiceReady(channel_id))
        if self._voice is not None and self._voice.channel.id != channel_id:
            self._report(VoiceMoved(self._voice.channel.id))  # by a moderator, meanwhile
        if self._loss_reason:
            self._metrics.voice_reconnects.labels(reason=self._loss_reason).inc()
            self._loss_reason = ""

    async def _wait_for_guild(self) -> None:
        """Wait while Discord has not sent the guild, or has an outage there: its channels seem deleted meanwhile."""
        guild = self._client.get_guild(self._guild_id)
        if guild is None or not guild.unavailable:
            return
        self._report(JoinWaits(waiting=True))
        await self._client.wait_for("guild_available", check=lambda one: one.id == self._guild_id)
        self._report(JoinWaits(waiting=False))

    async def _connect(self, channel_id: int) -> None:
        """Connect to the channel or move there. Raises CannotJoinError."""
        async with self._changing:
            if (task := asyncio.current_task()) is not None:
                self._connecting = task, channel_id
            try:
                await self._ensure_connected(channel_id)
            finally:
                self._connecting = None

    def _cancel_join(self) -> None:
        _cancel(self._joining)
        if self._connecting is not None:
            self._connecting[0].cancel()

    async def _ask_to_speak(self) -> None:
        guild = self._client.get_guild(self._guild_id)
        if guild is not None and (reason := await places.ask_to_speak(guild)) is not None:
            self._report(Silenced(reason))

    async def _ensure_connected(self, channel_id: int) -> None:
        """Connect to the channel or move there, unless connected to it. Raises CannotJoinError."""
        if (voice := self._voice) is not None:
            if voice.is_connected() and (
                voice.channel.id == channel_id or await connections.move(self._client, voice, channel_id)
            ):
                return
            self._voice = None
            await self._leave(voice)
        if self._loss_reason:
            await connections.wait_until_left(self._client, self._guild_id)
        voice = await connections.connect(self._client, self._guild_id, channel_id)
        if voice.over:
            raise CannotJoinError("closed", code=voice.close_code, may_retry=True)
        self._voice = voice
        voice.on_end = lambda: self._connection_ended(voice)
        _cancel(self._watching)
        self._watching = self._spawn(self._watch(voice), "watch")

    async def _exit(self, voice: WatchedVoiceClient | None) -> None:
        async with self._changing:
            guild = self._client.get_guild(self._guild_id)
            # A cancelled join leaves a connection that only discord.py knows.
            left = voice or (guild.voice_client if guild is not None and self._voice is None else None)
            if isinstance(left, WatchedVoiceClient) and not left.over:
                await self._leave(left)
            if self._last is not None and self._last.halted:
                await self._last.silent_or_left()

    async def _leave(self, voice: WatchedVoiceClient) -> None:
        self._turns.count()
        await connections.leave(voice)

    async def _watch(self, voice: WatchedVoiceClient) -> None:
        watch = VoiceWatch()
        while self._voice is voice:
            await asyncio.sleep(_CHECK_SECONDS)
            play = self._play
            if play is not None:
                self._count(play)
            sending = play is not None and play.started and not play.held
            fault = watch.check(
                time.monotonic(),
                connected=voice.is_connected(),
                dead=voice.dead,
                handed_out=play.source.handed_out if play is not None and sending else None,
                next_frame=self.next_frame,
            )
            if fault is not None and self._voice is voice:
                code = voice.close_code
                voice.stop_runner()
                self._lose(VoiceLost(code, fault.reason, connections.may_retry(code)), fault.next_frame)
                self._spawn(self._exit(voice), "abandon")

    def _connection_ended(self, voice: WatchedVoiceClient) -> None:
        """Handle the end of a connection, called by discord.py."""
        if self._voice is not voice:
            return
        if voice.removed:
            channel_id = voice.channel.id
            self._interrupt(self.next_frame)
            self._voice = None
            self._spawn(self._removed(channel_id), "removed")
        else:
            code = voice.close_code
            self._lose(VoiceLost(code, "closed", connections.may_retry(code)), self.next_frame)

    async def _removed(self, channel_id: int) -> None:
        """Report why the bot was removed; the event that its channel was deleted may arrive a moment later."""
        async with self._changing:
            if self._channel_exists(channel_id):
                gone = self._client.wait_for(
                    "guild_channel_delete",
                    check=lambda channel: channel.id == channel_id,
                    timeout=_DELETE_EVENT_SECONDS,
                )
                await asyncio.gather(gone, return_exceptions=True)
            reason = "kicked" if self._channel_exists(channel_id) else "channel_deleted"
            log.info("voice.thrown_out", guild_id=self._guild_id, reason=reason)
            self._report(VoiceLost(None, reason, may_retry=False))

    def _lose(self, lost: VoiceLost, next_frame: int) -> None:
        log.warning("voice.lost", guild_id=self._guild_id, code=lost.code, reason=lost.reason, frame=next_frame)
        self._loss_reason = str(lost.code) if lost.code is not None else lost.reason
        self._interrupt(next_frame)
        self._voice = None
        self._report(lost)

    def _interrupt(self, next_frame: int) -> None:
        play = self._play
        if play is None or play.source.exhausted:
            return
        self.halt()
        self._report(TrackEnded(play.play_id, next_frame, finished=False, reason=INTERRUPTED))

    def _listeners_in(self, channel_id: int) -> int:
        guild = self._client.get_guild(self._guild_id)
        channel = guild.get_channel(channel_id) if guild is not None else None
        return len(places.humans_in(channel)) if isinstance(channel, places.AnyVoiceChannel) else 0

    def _channel_exists(self, channel_id: int) -> bool:
        guild = self._client.get_guild(self._guild_id)
        return guild is not None and guild.get_channel(channel_id) is not None

    # The playback.

    def _playback_ended(self, play: Playback) -> None:
        self._count(play)
        if play.halted or self._play is not play:
            return
        self._play = None
        _cancel(self._reading)
        reason = "" if play.finished else play.failure or INTERRUPTED
        self._report(TrackEnded(play.play_id, play.source.next_frame, finished=play.finished, reason=reason))

    async def _read_head(self, track: Track) -> None:
        try:
            self._head = await self._frames.prefetch(track)
        except AppError as exc:
            # Its playback reads it again, and reports the error.
            log.warning("voice.prefetch_failed", media_id=track.video_id, code=exc.code)

    def _count(self, play: Playback) -> None:
        sent, starved, waited = play.count()
        self._metrics.frames_sent.inc(sent)
        self._metrics.frames_starved.inc(starved)
        if waited is not None:
            self._metrics.first_packet_seconds.observe(waited)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task that `close` waits for."""
        task = asyncio.create_task(work, name=f"voice {self._guild_id} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("voice.task_crashed", guild_id=self._guild_id, task=task.get_name(), exc_info=error)
            if task is self._joining:
                self._report(VoiceLost(None, "failed", may_retry=True))


def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
