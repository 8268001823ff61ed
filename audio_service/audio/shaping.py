"""Brings decoded sound to one sample format, layout and rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
from av.audio.frame import AudioFrame


@dataclass(frozen=True, slots=True)
class Shape:
    """What an encoder takes; `rate` in Hz, `frame_size` in samples, `options` for libswresample."""

    samples: str
    layout: str
    rate: int
    frame_size: int


class Shaping:
    """A resampler takes one input shape: when that changes, a new one goes on.

    Args:
        shape: what comes out.
        mono_gain: applied to mono that is put on both sides.
    """

    def __init__(self, shape: Shape, *, mono_gain: float | None = None) -> None:
        self._shape = shape
        self._mono_gain = mono_gain
        self._now: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def push(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """Take a frame; yield what is complete."""
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or now != self._now:
            yield from self.finish()
            self._now, self._resampler = now, self._open(frame)
        # Gaps and jumps of the container's clock are not filled: a frame follows the one before it.
        frame.pts = None
        yield from self._resampler.resample(frame)

    def finish(self) -> Iterator[AudioFrame]:
        """Yield what is left."""
        if self._resampler is not None:
            yield from self._resampler.resample(None)
            self._resampler = None

    def all_of(self, frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
        """Take all frames."""
        for frame in frames:
            yield from self.push(frame)
        yield from self.finish()

    def _open(self, frame: AudioFrame) -> av.AudioResampler:
        # Without a highest sum, libswresample lets a mix of many channels overdrive when the samples are floats.
        options = {"rematrix_maxval": "1.0"}
        if self._mono_gain is not None and frame.layout.nb_channels == 1:
            options["rematrix_volume"] = str(self._mono_gain)
        shape = self._shape
        return av.AudioResampler(shape.samples, shape.layout, shape.rate, frame_size=shape.frame_size, options=options)
