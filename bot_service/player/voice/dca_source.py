"""What the pacer reads: frames as they are in the file, every 20 ms, without ever waiting.

It takes from a ring that a task of the event loop fills. Refuses to decode, encode or judge a frame. A ring
that runs empty before the end gives silence, which is counted and is no frame of the song: nothing of it is lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import discord

# Opus' frame of silence, as Discord's documentation gives it for pauses.
SILENCE = b"\xf8\xff\xfe"
# Below so many frames (4 s) the ring asks for more.
LOW_WATER = 200


class DcaSource(discord.AudioSource):
    """The frames of one play. `feed` and `finish` are for the event loop, `read` is for the pacer's thread.

    Args:
        first_frame: number in the file of the first frame that will be fed.
        on_low: called by the pacer's thread when the ring falls to LOW_WATER frames; must not block.

    Attributes:
        sent: frames of the song handed to Discord; silence is not counted.
        starved: silence frames handed out because the ring was empty before the end.
        first_sent_at: `time.monotonic()` when the first frame was taken, None before.
        exhausted: the player was told that there is no more.
    """

    def __init__(self, first_frame: int = 0, *, on_low: Callable[[], None] | None = None) -> None:
        self.first_frame = first_frame
        self.sent = 0
        self.starved = 0
        self.first_sent_at: float | None = None
        self.exhausted = False
        self._on_low = on_low
        # Its append, extend and popleft are atomic, so that neither side waits for the other.
        self._ring: deque[bytes] = deque()
        self._finished = False

    def is_opus(self) -> bool:
        """Frames are Opus packets: discord.py loads no libopus and encodes nothing."""
        return True

    def read(self) -> bytes:
        """Return the next frame, silence when there is none yet, b"" at the end."""
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
        """Say that nothing follows what was fed."""
        self._finished = True

    @property
    def buffered(self) -> int:
        """Frames in the ring."""
        return len(self._ring)

    @property
    def handed_out(self) -> int:
        """Packets handed to Discord, silence included."""
        return self.sent + self.starved

    @property
    def next_frame(self) -> int:
        """Number in the file of the next frame to send."""
        return self.first_frame + self.sent

    def _nothing(self) -> bytes:
        # The last frames may have been fed between the look into the ring and the mark of the end.
        if self._finished and not self._ring:
            self.exhausted = True
            return b""
        self.starved += 1
        return SILENCE
