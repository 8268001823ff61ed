"""One playback of a song from a frame on: reads ahead, starts the sending, reports the end.

Callbacks of the pacer's thread become calls on the event loop here. A playback is not reusable: a seek, a reconnect or
a repeat is a new one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import discord

from bot_service.player.rules.events import INTERRUPTED
from bot_service.player.voice.dca_source import LOW_WATER, DcaSource
from bot_service.player.voice.frames import FrameStore, Head
from bot_service.store.base import Track
from common.errors import AppError, InternalError
from common.observability.telemetry import get_logger
from common.observability.tracing import current_trace_context
from common.tasks import time_limit

log = get_logger(__name__)

_SILENCE_SECONDS = 2.0


class Playback:
    """See the module.

    Args:
        ended: called on the loop when no further packet will be sent, halted or not.
        asked_at: `time.monotonic()` of the command that requested this song; None if none waits for it.

    Attributes:
        failure: code of the error that ended it; "" otherwise.
        halted: ended by `halt`; its end is not reported.
        started: sending has begun.
    """

    def __init__(
        self,
        play_id: int,
        track: Track,
        start_frame: int,
        *,
        ended: Callable[[Playback], None],
        asked_at: float | None = None,
    ) -> None:
        self.play_id = play_id
        self.track = track
        self.asked_at = asked_at
        self._asked_in, self._began = current_trace_context(), time.monotonic()
        self.source = DcaSource(start_frame, on_low=self._ask_for_more)
        self.failure = ""
        self.halted = False
        self.started = False
        self._ended = ended
        self._over = False
        self._counted = (0, 0)
        self._voice: discord.VoiceClient | None = None
        self._loop = asyncio.get_running_loop()
        self._low = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._silent = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether it is paused."""
        return not self._free.is_set()

    @property
    def finished(self) -> bool:
        """Whether the last frame of the file was sent without an error."""
        return self.source.exhausted and not self.failure

    async def run(
        self, voice: discord.VoiceClient, frames: FrameStore, head: Head | None, previous: Playback | None
    ) -> None:
        """Read ahead to the end, and start sending with the first frames. Cancelling stops only the reading.

        `previous`: the playback before. Sending starts after its last packet: two threads must never use the same
        sequence numbers and nonces, even if one of them is stuck.
        """
        try:
            async with frames.open(self.track, self.source.first_frame, head=head) as blocks:
                async for block in blocks:
                    self.source.feed(block)
                    if not self.started and not await self._start(voice, previous):
                        return
                    await self._until_low()
        except AppError as exc:
            log.warning("playback.source_failed", media_id=self.track.video_id, code=exc.code, detail=exc.detail)
            self.failure = exc.code
        except Exception:
            log.exception("playback.crashed", media_id=self.track.video_id)
            self.failure = InternalError.code
        self.source.finish()
        if not self.started:
            self.source.exhausted = True
            self._conclude()

    def halt(self) -> None:
        """End the sending. The owner cancels the task of `run`."""
        self.halted = True
        if self._voice is not None:
            self._voice.stop()
        else:
            self._conclude()

    def hold(self) -> None:
        """Pause; a playback that has not started waits with its first frame."""
        self._free.clear()
        if self._voice is not None:
            self._voice.pause()

    def proceed(self) -> None:
        """Resume at the next frame."""
        self._free.set()
        if self._voice is not None:
            self._voice.resume()

    def count(self) -> tuple[int, int, float | None]:
        """Return frames sent and starved since the last call, and, once, the seconds from command to first packet."""
        source = self.source
        sent, starved = source.sent - self._counted[0], source.starved - self._counted[1]
        self._counted = (self._counted[0] + sent, self._counted[1] + starved)
        if self.asked_at is None or source.first_sent_at is None:
            return sent, starved, None
        waited, self.asked_at = source.first_sent_at - self.asked_at, None
        self._asked_in.record_span("first packet", self._began, source.first_sent_at, waited_seconds=waited)
        return sent, starved, waited

    async def silent(self) -> None:
        """Wait for its last packet, at most about 20 ms. Raises TimeoutError if the sender is stuck in it."""
        async with time_limit(_SILENCE_SECONDS):
            await self._silent.wait()

    async def silent_or_left(self) -> None:
        """As `silent`, but only log a stuck sender: its connection is closed."""
        try:
            await self.silent()
        except TimeoutError:
            log.warning("voice.thread_stuck", media_id=self.track.video_id)

    async def _start(self, voice: discord.VoiceClient, previous: Playback | None) -> bool:
        try:
            if previous is not None and previous._voice is voice:  # noqa: SLF001 - of the same class
                await previous.silent()
            await self._free.wait()
            voice.play(self.source, after=self._thread_ended)
        except (TimeoutError, discord.ClientException) as exc:
            # The connection ended while the frames were read, or the previous playback is stuck in it.
            log.warning("playback.no_voice", media_id=self.track.video_id, error=repr(exc))
            self.failure = INTERRUPTED
            self._conclude()
            return False
        self._voice = voice
        self.started = True
        return True

    async def _until_low(self) -> None:
        while self.source.buffered > LOW_WATER:
            self._low.clear()
            # The pacer may have reached the mark before `clear`.
            if self.source.buffered > LOW_WATER:
                await self._low.wait()

    def _ask_for_more(self) -> None:
        self._on_loop(self._low.set)

    def _thread_ended(self, error: Exception | None) -> None:
        """Called by the pacer's thread after the last packet."""
        if error is not None:
            log.error("playback.thread_failed", media_id=self.track.video_id, error=repr(error))
        self._on_loop(self._conclude)

    def _on_loop(self, work: Callable[[], None]) -> None:
        # A closed loop has no waiters.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def _conclude(self) -> None:
        if not self._over:
            self._over = True
            self._silent.set()
            self._ended(self)
