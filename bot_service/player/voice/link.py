"""A guild's voice: one connection at most, one playback at most, and an honest report of what becomes of them.

Does what the player's effects say and reports events; decides nothing. Its methods return when the work is under way,
and what comes of it is reported, always on the event loop. discord.py is never left to reconnect by itself: a lost
connection is reported once, with the frame that was reached, and the player says `join` and `play` again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import discord

from bot_service.metrics import BotMetrics
from bot_service.player.rules.events import INTERRUPTED, Event, TrackEnded, VoiceLost, VoiceReady
from bot_service.player.voice import connections
from bot_service.player.voice.client import WatchedVoiceClient
from bot_service.player.voice.connections import CannotJoinError
from bot_service.player.voice.frames import FrameStore, Head
from bot_service.player.voice.playback import Playback
from bot_service.player.voice.watchdog import VoiceWatch
from bot_service.store.base import Track
from common.errors import AppError
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_LOOK_SECONDS = 0.25
_CHANNEL_NEWS_SECONDS = 0.5
_CLOSE_SECONDS = 8.0


class VoiceLink:
    """The voice of one guild. Whoever makes it calls `close`, which ends its tasks.

    Reports:
        VoiceReady: after `join`.
        VoiceLost: instead of VoiceReady, or later. `reason`: kicked, channel_deleted, forbidden, channel_full, timeout
            (entering took too long), closed (the voice WebSocket was, with its code if it had one), stalled (nothing
            was sent for seconds), failed.
        TrackEnded: a playback ended that was not halted; with reason INTERRUPTED before the VoiceLost that ended it.
    """

    def __init__(
        self,
        client: discord.Client,
        guild_id: int,
        report: Callable[[Event], None],
        frames: FrameStore,
        metrics: BotMetrics,
    ) -> None:
        self._client = client
        self._guild_id = guild_id
        self._report = report
        self._frames = frames
        self._metrics = metrics
        self._voice: WatchedVoiceClient | None = None
        self._play: Playback | None = None
        self._last: Playback | None = None
        self._head: Head | None = None
        self._lost_by = ""
        # The connection is made, moved and ended by one task at a time, in the order in which that was asked for.
        self._changing = asyncio.Lock()
        self._tasks = set[asyncio.Task[None]]()
        self._joining: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._prefetching: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def next_frame(self) -> int:
        """Number of the next frame to send of what is on, or of what was on last; 0 before anything was."""
        shown = self._play or self._last
        return shown.source.next_frame if shown is not None else 0

    async def join(self, channel_id: int) -> None:
        """Enter a channel, or move there; a join under way is given up. Ends in VoiceReady or VoiceLost."""
        _cancel(self._joining)
        self._joining = self._spawn(self._enter(channel_id), "join")

    async def leave(self) -> None:
        """Halt, and leave the channel or give up entering it. Nothing is reported for it."""
        _cancel(self._joining)
        _cancel(self._watching)
        self.halt()
        self._lost_by = ""
        voice, self._voice = self._voice, None
        self._spawn(self._exit(voice), "leave")

    async def play(self, play_id: int, track: Track, start_frame: int = 0, *, asked_at: float | None = None) -> None:
        """Send a song from a frame on, in place of what is on. Ends in TrackEnded with this id, unless halted.

        `asked_at`: `time.monotonic()` of the command that waits for this song, for the time to its first packet.
        """
        self.halt()
        before = self._last
        play = Playback(play_id, track, start_frame, ended=self._playback_ended, asked_at=asked_at)
        self._play = self._last = play
        if self._voice is None:
            play.failure = INTERRUPTED
            play.halt()
            self._play = None
            self._report(TrackEnded(play_id, start_frame, finished=False, reason=INTERRUPTED))
            return
        head, self._head = self._head, None
        self._reading = self._spawn(play.run(self._voice, self._frames, head, before), "play")

    def halt(self) -> None:
        """End playback; nothing is reported for it."""
        play, self._play = self._play, None
        _cancel(self._reading)
        if play is not None:
            play.halt()

    def hold(self) -> None:
        """Pause playback."""
        if self._play is not None:
            self._play.hold()

    def proceed(self) -> None:
        """Go on with the next frame."""
        if self._play is not None:
            self._play.proceed()

    async def prefetch(self, track: Track | None) -> None:
        """Have the first 10 s of this track in memory, in place of any other's; None: of none."""
        _cancel(self._prefetching)
        if track is None or self._head is None or self._head.video_id != track.video_id:
            self._head = None
            if track is not None:
                self._prefetching = self._spawn(self._read_head(track), "prefetch")

    async def close(self) -> None:
        """Leave and end every task, in a few seconds at most."""
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
        async with self._changing:
            try:
                await self._have(channel_id)
            except CannotJoinError as exc:
                self._lost_by = self._lost_by or exc.reason
                self._report(VoiceLost(exc.code, exc.reason, exc.may_retry))
                return
        self._report(VoiceReady(channel_id))
        if self._lost_by:
            self._metrics.voice_reconnects.labels(reason=self._lost_by).inc()
            self._lost_by = ""

    async def _have(self, channel_id: int) -> None:
        """Be connected in that channel. Raises CannotJoinError."""
        if (voice := self._voice) is not None:
            if voice.is_connected() and (
                voice.channel.id == channel_id or await connections.move(self._client, voice, channel_id)
            ):
                return
            self._voice = None
            await connections.leave(voice)
        if self._lost_by:
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
            # A join that was given up leaves a connection behind that only discord.py knows.
            left = voice or (guild.voice_client if guild is not None and self._voice is None else None)
            if isinstance(left, WatchedVoiceClient) and not left.over:
                await connections.leave(left)
            if self._last is not None and self._last.halted:
                await self._last.silent_or_left()

    async def _watch(self, voice: WatchedVoiceClient) -> None:
        watch = VoiceWatch()
        while self._voice is voice:
            await asyncio.sleep(_LOOK_SECONDS)
            play = self._play
            if play is not None:
                self._count(play)
            sending = play is not None and play.started and not play.held
            trouble = watch.look(
                time.monotonic(),
                connected=voice.is_connected(),
                dead=voice.dead,
                handed_out=play.source.handed_out if play is not None and sending else None,
                next_frame=self.next_frame,
            )
            if trouble is not None and self._voice is voice:
                code = voice.close_code
                voice.stop_runner()
                self._lose(VoiceLost(code, trouble.reason, connections.may_retry(code)), trouble.next_frame)
                self._spawn(self._exit(voice), "abandon")

    def _connection_ended(self, voice: WatchedVoiceClient) -> None:
        """Hear from discord.py that it has given the connection up."""
        if self._voice is not voice:
            return
        if voice.removed:
            channel_id = voice.channel.id
            self._interrupt(self.next_frame)
            self._voice = None
            self._spawn(self._removed(channel_id), "thrown out")
        else:
            code = voice.close_code
            self._lose(VoiceLost(code, "closed", connections.may_retry(code)), self.next_frame)

    async def _removed(self, channel_id: int) -> None:
        """Say why the bot is in no channel: the news that the channel was deleted may come a moment later."""
        async with self._changing:
            if self._channel_exists(channel_id):
                gone = self._client.wait_for(
                    "guild_channel_delete",
                    check=lambda channel: channel.id == channel_id,
                    timeout=_CHANNEL_NEWS_SECONDS,
                )
                await asyncio.gather(gone, return_exceptions=True)
            reason = "kicked" if self._channel_exists(channel_id) else "channel_deleted"
            log.info("voice.thrown_out", guild_id=self._guild_id, reason=reason)
            self._report(VoiceLost(None, reason, may_retry=False))

    def _lose(self, lost: VoiceLost, next_frame: int) -> None:
        log.warning("voice.lost", guild_id=self._guild_id, code=lost.code, reason=lost.reason, frame=next_frame)
        self._lost_by = str(lost.code) if lost.code is not None else lost.reason
        self._interrupt(next_frame)
        self._voice = None
        self._report(lost)

    def _interrupt(self, next_frame: int) -> None:
        play = self._play
        if play is None or play.source.exhausted:
            return
        self.halt()
        self._report(TrackEnded(play.play_id, next_frame, finished=False, reason=INTERRUPTED))

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
            # Whoever plays it reads it again, and reports what is wrong with it.
            log.warning("voice.prefetch_failed", media_id=track.video_id, code=exc.code)

    def _count(self, play: Playback) -> None:
        sent, starved, waited = play.count()
        self._metrics.frames_sent.inc(sent)
        self._metrics.frames_starved.inc(starved)
        if waited is not None:
            self._metrics.first_packet_seconds.observe(waited)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run work that `close` waits for."""
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
