"""The audio source that the pacer reads every 20 ms: the file's frames, unchanged, without blocking.

Frames come from a ring buffer that a task of the event loop fills. On an underrun before the end, silence is sent and
counted; no frame of the song is skipped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import discord

# Opus silence frame; Discord's documentation, "Voice Data Interpolation".
SILENCE = b"\xf8\xff\xfe"
# Frames (4 s) at which the buffer is refilled.
LOW_WATER = 200


class DcaSource(discord.AudioSource):
    """The frames of one playback. `feed` and `finish` are for the event loop, `read` is for the pacer's thread.

    Args:
        first_frame: number in the file of the first frame that will be fed.
        on_low: called by the pacer's thread when the buffer falls to LOW_WATER frames; must not block.

    Attributes:
        sent: frames of the song read by the pacer; silence is not counted.
        starved: silence frames sent because of underruns.
        first_sent_at: `time.monotonic()` when the first frame was read, None before.
        exhausted: the end was signalled to the pacer.
    """

    def __init__(self, first_frame: int = 0, *, on_low: Callable[[], None] | None = None) -> None:
        self.first_frame = first_frame
        self.sent = 0
        self.starved = 0
        self.first_sent_at: float | None = None
        self.exhausted = False
        self._on_low = on_low
        # append, extend and popleft are atomic: no lock between the two threads.
        self._ring: deque[bytes] = deque()
        self._finished = False

    def is_opus(self) -> bool:
        """Frames are Opus packets: discord.py loads no libopus and encodes nothing."""
        return True

    def read(self) -> bytes:
        """Return the next frame, silence on an underrun, b"" at the end."""
        try:
            frame = self._ring.popleft()
        except IndexError:
            return self._nothing()
        self.sent += 1
        if self.sent == 1:
            self.first_sent_at = time.monotonic()
        if len(self._ring) == LOW_WATER and self._on_low is not None:
            self._on_low()
        return frame

    def feed(self, frames: Sequence[bytes]) -> None:
        """Append frames, in order."""
        self._ring.extend(frames)

    def finish(self) -> None:
        """Signal that no frames follow."""
        self._finished = True

    @property
    def buffered(self) -> int:
        """Frames in the buffer."""
        return len(self._ring)

    @property
    def handed_out(self) -> int:
        """Packets sent, silence included."""
        return self.sent + self.starved

    @property
    def next_frame(self) -> int:
        """Number in the file of the next frame to send."""
        return self.first_frame + self.sent

    def _nothing(self) -> bytes:
        # The last frames may have been fed between `popleft` and this check.
        if self._finished and not self._ring:
            self.exhausted = True
            return b""
        self.starved += 1
        return SILENCE
