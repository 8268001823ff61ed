"""What the audio functions agree on: what a file holds, what a finished DCA file is, its limits, how they say no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from common.errors import MediaCorrupt

SAMPLE_RATE = 48_000
FRAME_SAMPLES = 960
FRAME_MS = 20
CHANNELS = 2
"""A DCA file has at most these; what has more is mixed down."""

COMPLETE_SHARE = 0.9
"""Media that reaches this part of its stated length is taken as whole: stated lengths are rough."""

Mode = Literal["passthrough", "repacketised", "transcoded"]

OnFrames = Callable[[int], None]
"""Told the number of 20 ms frames written so far; called often, must be cheap, may raise to abort."""


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How to encode when packets cannot be copied, and where to stop.

    Attributes:
        bitrate: bits per second.
        complexity: libopus complexity, 0..10.
        max_duration_ms: more audio than this raises MediaTooLong, whatever the container claims.
        force_transcode: decode and encode even where packets could be copied (benchmarks and tests).
    """

    bitrate: int = 128_000
    complexity: int = 5
    max_duration_ms: int = 3 * 3600 * 1000
    force_transcode: bool = False


@dataclass(frozen=True, slots=True)
class Probed:
    """What a file holds: `sample_rate` in Hz; `duration_ms` as announced or derived, None when nothing is known."""

    codec: str
    container: str
    sample_rate: int
    channels: int
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Goes into the DCA file's `origin` metadata."""

    source: str = "file"
    url: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished DCA file. Sizes in bytes; `sha256` is of the whole file, in hex; `reason` says why this mode."""

    mode: Mode
    reason: str
    frames: int
    size: int
    sha256: str
    source_codec: str
    source_container: str

    @property
    def duration_ms(self) -> int:
        """Playing time."""
        return self.frames * FRAME_MS


class WholeFileNeededError(Exception):
    """This media cannot be read in order (an index at the end, a decision to change midway): the caller waits for
    the complete file and calls again with a seekable one.
    """


def check_reached(reached_ms: int, stated_ms: int) -> None:
    """Raise MediaCorrupt for media that ends well before the duration it states."""
    if reached_ms < stated_ms * COMPLETE_SHARE:
        raise MediaCorrupt(f"ends at {reached_ms} ms of {stated_ms}")
