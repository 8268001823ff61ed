"""Constants, options and results of the audio functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from common.errors import MediaCorrupt

SAMPLE_RATE = 48_000
FRAME_SAMPLES = 960
FRAME_MS = 20
CHANNELS = 2
"""Channels of a DCA file at most; more are mixed down."""

COMPLETE_SHARE = 0.9
"""Media that reaches this share of its stated length counts as complete: stated lengths are rough."""

Mode = Literal["passthrough", "repacketised", "transcoded"]

OnFrames = Callable[[int], None]
"""Called with the number of 20 ms frames written so far; must be cheap, may raise to abort."""


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
    """What a file holds. `sample_rate` in Hz; `duration_ms` as stated or derived, None: not known."""

    codec: str
    container: str
    sample_rate: int
    channels: int
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class Origin:
    """The `origin` metadata of a DCA file."""

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
    """This media cannot be read forward only (index at the end, a change of mode midway): the caller waits for the
    complete file and calls again with a seekable one.
    """


def check_reached(reached_ms: int, stated_ms: int) -> None:
    """Raise MediaCorrupt for media that ends well before the duration it states."""
    if reached_ms < stated_ms * COMPLETE_SHARE:
        raise MediaCorrupt(f"ends at {reached_ms} ms of {stated_ms}")
