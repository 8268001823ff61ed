"""A short song for the first run: written by this file, so that a newcomer needs neither network nor a media file.

Eight seconds of a milonga's arpeggio over the Andalusian cadence (A minor, G, F, E), plucked strings made of a few
harmonics each. The same bytes every time.
"""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout

_Untyped = Any  # PyAV leaves the parameter of Packet open, so whatever takes or gives packets has no full type

TITLE = "Butakero - Milonga de prueba"
SECONDS = 8
_RATE = 48_000
_BITRATE = 96_000
_FRAME = 960
_STEP_SECONDS = 0.25
_PLUCK_SECONDS = 1.2
_AMPLITUDE = 5200
_PAN = 0.35
# MIDI notes: the milonga's 3+3+2 in the bass, the chord broken above it.
_CHORDS = ((45, 57, 60, 64), (43, 55, 59, 62), (41, 53, 57, 60), (40, 52, 56, 59))
_PATTERN = (0, 2, 1, 0, 3, 2, 0, 1)


def write_song(path: Path) -> None:
    """Write the song as WebM with Opus packets of 20 ms, stereo, 48 kHz. A file that is there already stays.

    Raises:
        OSError: the file cannot be written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    samples = _render()
    with av.open(str(part), "w", format="webm", container_options={"fflags": "+bitexact"}) as opened:
        opened.metadata["title"] = TITLE
        container = cast("_Untyped", opened)
        stream = container.add_stream("libopus", rate=_RATE, layout="stereo", bit_rate=_BITRATE)
        for start in range(0, len(samples), 2 * _FRAME):
            container.mux(stream.encode(_frame(samples[start : start + 2 * _FRAME], start // 2)))
        container.mux(stream.encode(None))
    part.replace(path)


def _render() -> array[int]:
    """Return interleaved 16-bit stereo samples."""
    total = SECONDS * _RATE
    left, right = [0.0] * total, [0.0] * total
    for step in range(round(SECONDS / _STEP_SECONDS)):
        chord = _CHORDS[step // len(_PATTERN) % len(_CHORDS)]
        voice = _PATTERN[step % len(_PATTERN)]
        to_the_right = 0.5 + _PAN * (voice / (len(chord) - 1) - 0.5)
        begin = round(step * _STEP_SECONDS * _RATE)
        for offset, value in enumerate(_pluck(chord[voice], total - begin)):
            left[begin + offset] += value * (1 - to_the_right)
            right[begin + offset] += value * to_the_right
    mixed = array("h", bytes(4 * total))
    mixed[0::2] = array("h", [_clip(value) for value in left])
    mixed[1::2] = array("h", [_clip(value) for value in right])
    return mixed


def _pluck(note: int, room: int) -> list[float]:
    """Return a string's decay from its attack, at most `room` samples of it."""
    turn = 2 * math.pi * 440 * 2 ** ((note - 69) / 12) / _RATE
    length = min(round(_PLUCK_SECONDS * _RATE), room)
    return [
        _AMPLITUDE
        * min(1.0, at / 200)
        * math.exp(-3.5 * at / _RATE)
        * (math.sin(turn * at) + 0.45 * math.sin(2 * turn * at) + 0.2 * math.sin(3 * turn * at))
        * min(1.0, (length - at) / 400)
        for at in range(length)
    ]


def _clip(value: float) -> int:
    return max(-32_768, min(32_767, round(value)))


def _frame(samples: array[int], start: int) -> AudioFrame:
    frame = AudioFrame(format="s16", layout=AudioLayout("stereo"), samples=len(samples) // 2)
    frame.planes[0].update(samples.tobytes())
    frame.sample_rate = _RATE
    frame.time_base = Fraction(1, _RATE)
    frame.pts = start
    return frame
