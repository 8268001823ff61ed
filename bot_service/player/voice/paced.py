"""A few threads that send the packets of all voice connections of a process, instead of discord.py's thread for each.

Encrypting and sending a packet costs the same either way; a hundred threads that wake up fifty times a second and
contend for the GIL cost twice as much again. But where more threads want to run than there are processors, one thread
gets the share of one, too little for many streams: so the sender's priority is raised where the system lets it; where
it does not, one sends at most 16 streams. What is late by more than a short burst all the same is not caught up: after
a stall listeners hear a gap, not everything at once.

Opus only: nothing is encoded here. The pacer waits for a disconnected connection without limit: giving it up is the
watchdog's decision. Figures: docs/adr/0023-voice-sender.md.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import ClassVar

import discord

from bot_service.player.voice.dca_source import SILENCE
from common.observability.telemetry import get_logger

log = get_logger(__name__)

# For sys.setswitchinterval: how long the event loop may keep the GIL while the sender waits for it, which is twice per
# packet and at every wake-up. Python's default of 5 ms suits threads that compute.
SWITCH_SECONDS = 0.0005

_FRAME_NS = 20_000_000
# Streams start at multiples of this: one wake-up serves several, and not all streams send at once.
_SLOT_NS = 4_000_000
# At most five packets of a stream go out in one go: one, and these after it.
_BURST_NS = 4 * _FRAME_NS
# As `nice`: ten times the share of a thread at 0.
_PRIORITY = -10
# With and without that priority. More threads cost more CPU and come later, so there are no more than are needed.
_STREAMS_WITH_PRIORITY = 100
_STREAMS_WITHOUT_PRIORITY = 16
_STUCK_NS = 500_000_000
_STUCK_SECONDS = _STUCK_NS / 1e9
# Discord's documentation, "Voice Data Interpolation": five frames of silence at the end of sound.
_SILENCE_FRAMES = 5

After = Callable[[Exception | None], object]


class Stream:
    """One source sent to one voice connection. `step` is called by the pacer; the event loop sets the two flags."""

    def __init__(self, client: discord.VoiceClient, source: discord.AudioSource, after: After | None) -> None:
        self.paused = False
        self.ended = False
        self._client = client
        self._source = source
        self._after = after
        # The voice WebSocket that was sent "speaking"; another voice server has another one.
        self._speaking_on: object = None

    def step(self) -> bool:
        """Send the packet that is due; False after the last one, when `after` was called (with the error, if any)."""
        error: Exception | None = None
        try:
            if not self.ended and self._send():
                return True
            self._send_silence()
        except Exception as exc:  # noqa: BLE001 - an error of one guild is reported there and stops no other
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
            self._send_silence()
        elif frame := self._source.read():
            try:
                self._send_frame(frame)
            except Exception:
                if self._client.is_connected():
                    raise
                # The connection was lost since it was looked at; the next one has no key yet.
        else:
            return False
        return True

    def _send_frame(self, frame: bytes) -> None:
        if self._speaking_on is not self._client.ws:
            self._speaking_on = self._client.ws
            self._set_speaking(discord.SpeakingState.voice)
        self._client.send_audio_packet(frame, encode=False)

    def _send_silence(self) -> None:
        if self._speaking_on is not None and self._client.is_connected():
            self._set_speaking(discord.SpeakingState.none)
            for _ in range(_SILENCE_FRAMES):
                self._client.send_audio_packet(SILENCE, encode=False)
        self._speaking_on = None

    def _set_speaking(self, state: discord.SpeakingState) -> None:
        asyncio.run_coroutine_threadsafe(self._client.ws.speak(state), self._client.loop)


def scheduled(at: int, now: int) -> int:
    """Return the time that counts for a packet which was due at `at`; its stream's next one is due 20 ms after that.

    A short delay is caught up; a longer one shifts the stream's clock, so that a burst is at most five packets. In ns.
    """
    return max(at, now - _BURST_NS)


class Pacer:
    """Sends streams, one packet each per 20 ms. Its threads run while there are streams; it needs no closing."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Stream]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._sender: threading.Thread | None = None
        self._watch: threading.Thread | None = None
        self._stepping_since: int | None = None

    @property
    def streams(self) -> int:
        """How many streams it sends, give or take the one that is being sent."""
        return len(self._due)

    def add(self, stream: Stream) -> None:
        """Send a stream, to its end."""
        now = time.monotonic_ns()
        self._put(now - now % _SLOT_NS + _SLOT_NS, stream)

    def _put(self, at: int, stream: Stream) -> None:
        with self._changed:
            heapq.heappush(self._due, (at, next(self._numbers), stream))
            if self._sender is None:
                self._sender = _started(self._send)
            if self._watch is None:
                self._watch = _started(self._watch_sender)
            self._changed.notify()

    def _send(self) -> None:
        _raise_priority()
        me = threading.current_thread()
        while (found := self._next(me)) is not None:
            at, stream = found
            if stream.step():
                self._put(at + _FRAME_NS, stream)

    def _next(self, me: threading.Thread) -> tuple[int, Stream] | None:
        """Wait for the stream due first; return it with the time of its packet, at most _BURST_NS ago.

        None if none is left, or if another thread has replaced this one.
        """
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
                    return scheduled(at, now), stream
                self._changed.wait((self._due[0][0] - now) / 1e9)
            return None

    def _watch_sender(self) -> None:
        """Start another sender when one stream blocks all others; the blocked thread ends when it returns."""
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


class Pacers:
    """The pacers of a process: one, and more where there are more streams than one should send."""

    def __init__(self) -> None:
        self._pacers: list[Pacer] = []
        self._most_streams = 0

    def add(self, stream: Stream) -> None:
        """Send a stream, to its end. Event loop thread only."""
        if not self._most_streams:
            self._most_streams = _STREAMS_WITH_PRIORITY if _may_raise_priority() else _STREAMS_WITHOUT_PRIORITY
        pacer = next((one for one in self._pacers if one.streams < self._most_streams), None)
        if pacer is None:
            pacer = Pacer()
            self._pacers.append(pacer)
        pacer.add(stream)


class PacedVoiceClient(discord.VoiceClient):
    """A voice connection whose packets the process's pacers send. Opus sources only, one at a time."""

    pacers: ClassVar = Pacers()
    _stream: Stream | None = None

    def play(self, source: discord.AudioSource, *, after: After | None = None, **_encoder: object) -> None:
        """See `discord.VoiceClient`. Raises ClientException: not connected, already playing, or no Opus."""
        if not self.is_connected() or self.is_playing() or not source.is_opus():
            raise discord.ClientException("not connected, already playing, or no source of Opus")
        self._stream = Stream(self, source, after)
        self.pacers.add(self._stream)

    def is_playing(self) -> bool:
        """See `discord.VoiceClient`."""
        return self._stream is not None and not self._stream.ended and not self._stream.paused

    def is_paused(self) -> bool:
        """See `discord.VoiceClient`."""
        return self._stream is not None and not self._stream.ended and self._stream.paused

    def stop(self) -> None:
        """See `discord.VoiceClient`; also called by discord.py when the connection ends."""
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


def _may_raise_priority() -> bool:
    """Try it on a thread that ends at once."""
    answers: list[bool] = []
    trial = threading.Thread(target=lambda: answers.append(_raise_priority()), name="voice priority")
    trial.start()
    trial.join()
    return answers == [True]


def _raise_priority() -> bool:
    """Raise the calling thread's priority; False without the right to (CAP_SYS_NICE, RLIMIT_NICE)."""
    # On Linux a priority belongs to a thread; elsewhere this would be the whole process.
    if sys.platform != "linux":
        return False
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PRIORITY)
    except OSError:
        return False
    return True


def _started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name="voice pacer", daemon=True)
    thread.start()
    return thread
