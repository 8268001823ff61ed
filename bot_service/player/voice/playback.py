"""One song, played once from a frame on: its frames are read ahead, its sending is started, its end is told.

The pacer's thread calls back from outside of the event loop; here that is turned into one call on the loop. A playback
is never started again: a seek, a resume after a lost connection, a repeat are new ones.
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
from common.observability.tracing import here

log = get_logger(__name__)

_SILENCE_SECONDS = 2.0


class Playback:
    """See the module.

    Args:
        ended: called on the loop when nothing more of this playback will be sent, halted or not.
        asked_at: `time.monotonic()` when somebody asked for what starts now; None when nobody waits for it.

    Attributes:
        failure: the code of the error that ended it; "" otherwise.
        halted: it was ended from here: nobody wants to hear of its end.
        started: it is being sent, or was.
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
        self._asked_in, self._began = here(), time.monotonic()
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
        """Whether the last frame of the file was sent."""
        return self.source.exhausted and not self.failure

    async def run(
        self, voice: discord.VoiceClient, frames: FrameStore, head: Head | None, before: Playback | None
    ) -> None:
        """Read ahead until all was read, and have it sent from the first frames on. Cancelling it halts nothing else.

        `before` is what was on until now: its silence stands between the two, and a pacer that had to leave a thread
        behind must not use the same sequence numbers and nonces in two.
        """
        try:
            async with frames.open(self.track, self.source.first_frame, head=head) as blocks:
                async for block in blocks:
                    self.source.feed(block)
                    if not self.started and not await self._start(voice, before):
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
        """End it now. The task of `run` is its owner's to cancel."""
        self.halted = True
        if self._voice is not None:
            self._voice.stop()
        else:
            self._conclude()

    def hold(self) -> None:
        """Pause; a playback that has not begun waits with its first frame."""
        self._free.clear()
        if self._voice is not None:
            self._voice.pause()

    def proceed(self) -> None:
        """Go on with the next frame."""
        self._free.set()
        if self._voice is not None:
            self._voice.resume()

    def count(self) -> tuple[int, int, float | None]:
        """Return what came since the last call: frames sent, frames starved, and seconds from the command to the first
        packet, once, when both are known.
        """
        source = self.source
        sent, starved = source.sent - self._counted[0], source.starved - self._counted[1]
        self._counted = (self._counted[0] + sent, self._counted[1] + starved)
        if self.asked_at is None or source.first_sent_at is None:
            return sent, starved, None
        waited, self.asked_at = source.first_sent_at - self.asked_at, None
        self._asked_in.record("first packet", self._began, source.first_sent_at, waited_seconds=waited)
        return sent, starved, waited

    async def silent(self) -> None:
        """Wait until nothing of it is sent any more, 20 ms or so. Raises TimeoutError when a sender sticks in it."""
        async with asyncio.timeout(_SILENCE_SECONDS):
            await self._silent.wait()

    async def silent_or_left(self) -> None:
        """As `silent`; a sender that is stuck is left behind, for it has nothing to send to any more."""
        try:
            await self.silent()
        except TimeoutError:
            log.warning("voice.thread_stuck", media_id=self.track.video_id)

    async def _start(self, voice: discord.VoiceClient, before: Playback | None) -> bool:
        try:
            if before is not None and before._voice is voice:  # noqa: SLF001 - of the same class
                await before.silent()
            await self._free.wait()
            voice.play(self.source, after=self._thread_ended)
        except (TimeoutError, discord.ClientException) as exc:
            # The connection went away while the frames were read, or the playback before is stuck in it.
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
            # The pacer may have passed the mark before it was cleared.
            if self.source.buffered > LOW_WATER:
                await self._low.wait()

    def _ask_for_more(self) -> None:
        self._on_loop(self._low.set)

    def _thread_ended(self, error: Exception | None) -> None:
        """Run by the pacer's thread, after the last packet."""
        if error is not None:
            log.error("playback.thread_failed", media_id=self.track.video_id, error=repr(error))
        self._on_loop(self._conclude)

    def _on_loop(self, work: Callable[[], None]) -> None:
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def _conclude(self) -> None:
        if not self._over:
            self._over = True
            self._silent.set()
            self._ended(self)
