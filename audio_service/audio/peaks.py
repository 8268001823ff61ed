"""The waveform of a sound: minimum and maximum of each pixel, in memory that does not grow with the length.

A pixel begins as FIRST_PIXEL samples. Whenever there are MOST_PIXELS, each two become one.

The data file is version 2 of audiowaveform's JSON (https://github.com/bbc/audiowaveform, `doc/DataFormat.md`), 8 bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

FIRST_PIXEL = 64
MOST_PIXELS = 32_768
BARS = 1000
"""Bars that are kept: those of any smaller number are taken from them."""

_FULL_SCALE = 127


class Peaks:
    """Takes mono samples, floats from -1 to 1."""

    def __init__(self) -> None:
        self._pixel = FIRST_PIXEL
        self._rest = array("f")
        self._low = array("f")
        self._high = array("f")

    def push(self, samples: array[float]) -> None:
        """Take the next samples."""
        self._rest.extend(samples)
        at, pixel = 0, self._pixel
        while at + pixel <= len(self._rest):
            part = self._rest[at : at + pixel]
            self._low.append(min(part))
            self._high.append(max(part))
            at += pixel
            if len(self._low) == MOST_PIXELS:
                pixel = self._halve()
        del self._rest[:at]

    def finish(self) -> None:
        """Count what is left as a pixel of its own."""
        if self._rest:
            self._low.append(min(self._rest))
            self._high.append(max(self._rest))
            del self._rest[:]

    def bars(self, count: int = BARS) -> list[int]:
        """Return the peak of each slice against the loudest, 0 to 100; zeros for silence."""
        peaks = [max(-low, high, 0.0) for low, high in zip(self._low, self._high, strict=True)]
        loudest = max(peaks, default=0.0)
        if loudest < 1 / (1 << 15):
            return [0] * count
        return [round(peak * 100 / loudest) for peak in slices(peaks, count)]

    def data(self, sample_rate: int) -> dict[str, Any]:
        """Return the data file's JSON."""
        pairs = [_byte(value) for pair in zip(self._low, self._high, strict=True) for value in pair]
        return {
            "version": 2,
            "channels": 1,
            "sample_rate": sample_rate,
            "samples_per_pixel": self._pixel,
            "bits": 8,
            "length": len(self._low),
            "data": pairs,
        }

    def _halve(self) -> int:
        self._low = array("f", map(min, self._low[::2], self._low[1::2]))
        self._high = array("f", map(max, self._high[::2], self._high[1::2]))
        self._pixel *= 2
        return self._pixel


def slices(peaks: Sequence[float], count: int) -> list[float]:
    """Return the largest value of each of `count` slices, which cover all of them; a value may be in two."""
    length = len(peaks)
    if not length:
        return [0.0] * count
    return [
        max(peaks[at * length // count : max(at * length // count + 1, -(-(at + 1) * length // count))])
        for at in range(count)
    ]


def _byte(value: float) -> int:
    return max(-_FULL_SCALE - 1, min(_FULL_SCALE, round(value * _FULL_SCALE)))
