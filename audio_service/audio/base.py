"""Constants, options and results of the audio functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from common.errors import SourceTruncated

SAMPLE_RATE = 48_000
FRAME_SAMPLES = 960
FRAME_MS = 20
ENCODER_DELAY = 312
"""Samples before the first one of the sound, as libopus' encoder makes them: every Opus stream has them as a rule."""

CHANNELS = 2
"""Channels of a DCA file at most; more are mixed down."""

MISSING_SHARE = 0.02
"""Media that ends short of its stated length by more than this share of it was cut off."""
ROUGH_MS = 100
"""Stated lengths are rounded and count padding: less than this is never missing."""

STATED, BY_ITS_END, NOT_STATED = "stated", "by its end", "not stated"
"""Where the source says how long it is, as DCA files of ours note it: before its sound, by its last page, nowhere."""

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
        language: of the sound track to take when several are as good as each other (ISO 639-1).
        length_stated: whether the length is stated elsewhere (a playlist), so that the caller checks the end.
        force_transcode: decode and encode even where packets could be copied (benchmarks and tests).
    """

    bitrate: int = 128_000
    complexity: int = 5
    max_duration_ms: int = 3 * 3600 * 1000
    language: str = ""
    length_stated: bool = False
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
    """A finished DCA file. Sizes in bytes; `sha256` is of the whole file, in hex; `reason` says why this mode.

    `states_length`: whether the source says how long it is, so that its end was checked; None when that is not known
    any more. `title` is by the file's own tags, as they are in it; "" without them.
    """

    mode: Mode
    reason: str
    frames: int
    size: int
    sha256: str
    source_codec: str
    source_container: str
    states_length: bool | None = True
    title: str = ""

    @property
    def duration_ms(self) -> int:
        """Playing time."""
        return self.frames * FRAME_MS


class WholeFileNeededError(Exception):
    """This media cannot be read forward only (index at the end, a change of mode midway): the caller waits for the
    complete file and calls again with a seekable one.
    """


def check_reached(reached_ms: int, stated_ms: int, first_ms: int = 0) -> None:
    """Raise SourceTruncated for media that ends well before the duration it states.

    `first_ms` is when its sound begins on the clock of the two others: what is missing is missing from the sound.
    """
    if stated_ms - reached_ms > max((stated_ms - first_ms) * MISSING_SHARE, ROUGH_MS):
        raise SourceTruncated(f"ends at {reached_ms} ms of {stated_ms}")
