"""One thread that sends the packets of all voice connections of a process, instead of discord.py's thread for each.

To encrypt and send a packet costs the same either way; a hundred threads that wake up fifty times a second and queue
for the interpreter's lock cost twice as much again. Refuses PCM: nothing is encoded here. A connection that is away is
waited for as long as it takes: to give it up is the watchdog's decision. Figures: docs/adr/0023-voice-sender.md.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import ClassVar

import discord

from bot_service.player.voice.dca_source import SILENCE
from common.observability.telemetry import get_logger

log = get_logger(__name__)

# For sys.setswitchinterval: so long may the event loop keep the interpreter's lock when the sender wants it, which is
# twice a packet and at every waking. Python's own 5 ms are for threads that compute.
SWITCH_SECONDS = 0.0005

_FRAME_NS = 20_000_000
# Streams begin at multiples of this: one waking sends for several, and a hundred streams do not all send at once.
_SLOT_NS = 4_000_000
_STUCK_NS = 500_000_000
_STUCK_SECONDS = _STUCK_NS / 1e9
# As Discord's documentation asks for where sound ends.
_SILENCE_FRAMES = 5

After = Callable[[Exception | None], object]


class Stream:
    """One source on its way to one voice connection. `step` is for the pacer; the two flags are for the event loop."""

    def __init__(self, client: discord.VoiceClient, source: discord.AudioSource, after: After | None) -> None:
        self.paused = False
        self.ended = False
        self._client = client
        self._source = source
        self._after = after
        # The voice WebSocket that was told that something is heard. Another voice server has another one.
        self._told: object = None

    def step(self) -> bool:
        """Send what is due now; False after the last packet, when `after` was called (with the error that ended it)."""
        error: Exception | None = None
        try:
            if not self.ended and self._send():
                return True
            self._hush()
        except Exception as exc:  # noqa: BLE001 - what goes wrong in one guild is told there, and stops no other
            error = exc
        self.ended = True
        try:
            if self._after is not None:
                self._after(error)
            self._source.cleanup()
        except Exception:
            log.exception("voice.after_failed")
        return False

    def _send(self) -> bool:
        if not self._client.is_connected():
            return True
        if self.paused:
            self._hush()
        elif frame := self._source.read():
            if self._told is not self._client.ws:
                self._told = self._client.ws
                self._tell(discord.SpeakingState.voice)
            self._client.send_audio_packet(frame, encode=False)
        else:
            return False
        return True

    def _hush(self) -> None:
        if self._told is not None and self._client.is_connected():
            self._tell(discord.SpeakingState.none)
            for _ in range(_SILENCE_FRAMES):
                self._client.send_audio_packet(SILENCE, encode=False)
        self._told = None

    def _tell(self, state: discord.SpeakingState) -> None:
        asyncio.run_coroutine_threadsafe(self._client.ws.speak(state), self._client.loop)


class Pacer:
    """Sends streams, each every 20 ms. Its threads are there while there are streams; nobody has to close it."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Stream]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._sender: threading.Thread | None = None
        self._watch: threading.Thread | None = None
        self._stepping_since: int | None = None

    def add(self, stream: Stream) -> None:
        """Send a stream from now on, to its end."""
        now = time.monotonic_ns()
        self._put(now - now % _SLOT_NS + _SLOT_NS, stream)

    def _put(self, at: int, stream: Stream) -> None:
        with self._changed:
            heapq.heappush(self._due, (at, next(self._numbers), stream))
            if self._sender is None:
                self._sender = _started(self._send)
            if self._watch is None:
                self._watch = _started(self._look)
            self._changed.notify()

    def _send(self) -> None:
        me = threading.current_thread()
        while (found := self._next(me)) is not None:
            at, stream = found
            if stream.step():
                self._put(at + _FRAME_NS, stream)

    def _next(self, me: threading.Thread) -> tuple[int, Stream] | None:
        """Wait for what is due first; None when nothing is left, or when another thread sends in place of this one."""
        with self._changed:
            while self._sender is me:
                self._stepping_since = None
                if not self._due:
                    self._sender = None
                    break
                now = time.monotonic_ns()
                if self._due[0][0] <= now:
                    self._stepping_since = now
                    at, _, stream = heapq.heappop(self._due)
                    return at, stream
                self._changed.wait((self._due[0][0] - now) / 1e9)
            return None

    def _look(self) -> None:
        """Let another thread send when one stream holds up all others; it finds its own way out of that."""
        while True:
            time.sleep(_STUCK_SECONDS)
            with self._changed:
                if self._sender is None:
                    self._watch = None
                    return
                since = self._stepping_since
                if since is not None and time.monotonic_ns() - since > _STUCK_NS:
                    log.warning("voice.sender_stuck", streams=len(self._due))
                    self._stepping_since = None
                    self._sender = _started(self._send)


class PacedVoiceClient(discord.VoiceClient):
    """A voice connection whose sound the pacer of the process sends. It plays Opus alone, and keeps to one source."""

    pacer: ClassVar = Pacer()
    _stream: Stream | None = None

    def play(self, source: discord.AudioSource, *, after: After | None = None, **_encoder: object) -> None:
        """See `discord.VoiceClient`. Raises ClientException: not connected, already playing, or no Opus."""
        if not self.is_connected() or self.is_playing() or not source.is_opus():
            raise discord.ClientException("not connected, already playing, or no source of Opus")
        self._stream = Stream(self, source, after)
        self.pacer.add(self._stream)

    def is_playing(self) -> bool:
        """See `discord.VoiceClient`."""
        return self._stream is not None and not self._stream.ended and not self._stream.paused

    def is_paused(self) -> bool:
        """See `discord.VoiceClient`."""
        return self._stream is not None and not self._stream.ended and self._stream.paused

    def stop(self) -> None:
        """See `discord.VoiceClient`; discord.py calls it, too, when the connection ends."""
        if self._stream is not None:
            self._stream.ended = True
            self._stream = None

    def pause(self) -> None:
        """See `discord.VoiceClient`."""
        if self._stream is not None:
            self._stream.paused = True

    def resume(self) -> None:
        """See `discord.VoiceClient`."""
        if self._stream is not None:
            self._stream.paused = False


def _started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name="voice pacer", daemon=True)
    thread.start()
    return thread
