"""Takes the frames of a DCA file in the making: writes them, checks the duration, reports progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import BinaryIO

from audio_service.audio.base import FRAME_MS, FRAME_SAMPLES, EncodeOptions, OnFrames
from common.dca import DcaMetadata, DcaWriter
from common.errors import MediaTooLong

# Reported at the first frame (playback can start) and then once for each second of audio.
MOST_PADDING_FRAMES = 50
"""Frames that can be left out at the end: as many as a page of Ogg holds as a rule. More is a mistake of the file."""
_FRAMES_PER_REPORT = 1000 // FRAME_MS


class FrameSink:
    """Takes 20 ms packets. Once for each second of audio, and at the end, it checks the duration limit, flushes, and
    calls the listener: the reported frames can be read from the file.
    """

    def __init__(self, out: BinaryIO, metadata: DcaMetadata, options: EncodeOptions, on_frames: OnFrames) -> None:
        self._writer = DcaWriter(out, metadata)
        self._max_ms = options.max_duration_ms
        self._on_frames = on_frames

    @property
    def frames(self) -> int:
        """Frames taken so far."""
        return self._writer.frames

    def put(self, packet: bytes) -> None:
        """Write one frame. Raises MediaTooLong, and what the listener or the file raises."""
        self._writer.write(packet)
        if self._writer.frames % _FRAMES_PER_REPORT == 1:
            self._report()

    def finish(self) -> tuple[int, str]:
        """Write what is buffered; return the file's size and hash. Raises as `put`."""
        self._report()
        return self._writer.size, self._writer.sha256

    def _report(self) -> None:
        if self.frames * FRAME_MS > self._max_ms:
            raise MediaTooLong(f"over {self._max_ms} ms")
        self._writer.flush()
        self._on_frames(self.frames)


class HeldBack:
    """Passes frames on, MOST_PADDING_FRAMES late, so that the last ones can be left out when the end is known."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._frames: deque[bytes] = deque()

    def put(self, frame: bytes) -> None:
        """Take the next frame. Raises what `put` does."""
        self._frames.append(frame)
        if len(self._frames) > MOST_PADDING_FRAMES:
            self._put(self._frames.popleft())

    def finish(self, padding: int) -> None:
        """Pass on what is left, but for the frames that are nothing but padding (samples)."""
        left_out = max(0, padding) // FRAME_SAMPLES
        if left_out <= MOST_PADDING_FRAMES:
            for _ in range(min(left_out, len(self._frames))):
                self._frames.pop()
        while self._frames:
            self._put(self._frames.popleft())
