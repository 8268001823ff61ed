"""A short song for the first run, synthesised here: a first run needs neither network nor a media file.

Eight seconds of a milonga's arpeggio over the Andalusian cadence (A minor, G, F, E) on plucked strings. Deterministic:
the bytes are the same every time.
"""

from __future__ import annotations

import random
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
_AMPLITUDE = 20_000
_LOSS = 0.498  # of each of the two samples: the string loses 0.4 % per pass
_FADE = 480
_PAN = 0.35
# MIDI notes: the milonga's 3+3+2 in the bass, the chord broken above it.
_CHORDS = ((45, 57, 60, 64), (43, 55, 59, 62), (41, 53, 57, 60), (40, 52, 56, 59))
_PATTERN = (0, 2, 1, 0, 3, 2, 0, 1)


def write_song(path: Path) -> None:
    """Write the song as WebM with Opus packets of 20 ms, stereo, 48 kHz. No-op if the file exists.

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
    strings = {note: _pluck(note) for chord in _CHORDS for note in chord}
    for step in range(round(SECONDS / _STEP_SECONDS)):
        chord = _CHORDS[step // len(_PATTERN) % len(_CHORDS)]
        voice = _PATTERN[step % len(_PATTERN)]
        to_the_right = 0.5 + _PAN * (voice / (len(chord) - 1) - 0.5)
        begin = round(step * _STEP_SECONDS * _RATE)
        for at, value in zip(range(begin, total), strings[chord[voice]], strict=False):
            left[at] += value * (1 - to_the_right)
            right[at] += value * to_the_right
    for at in range(_FADE):
        left[-1 - at] *= at / _FADE
        right[-1 - at] *= at / _FADE
    mixed = array("h", bytes(4 * total))
    mixed[0::2] = array("h", [_clip(value) for value in left])
    mixed[1::2] = array("h", [_clip(value) for value in right])
    return mixed


def _pluck(note: int) -> list[float]:
    """Return a plucked string: noise in a delay line with feedback, low-pass filtered at each pass.

    Source: Karplus and Strong, "Digital Synthesis of Plucked-String and Drum Timbres", Computer Music Journal 7:2,
    1983.
    """
    period = round(_RATE / (440 * 2 ** ((note - 69) / 12)))
    noise = random.Random(note)  # noqa: S311 - not a secret, and the same every time
    string = [noise.uniform(-_AMPLITUDE, _AMPLITUDE) for _ in range(period + 1)]
    length = round(_PLUCK_SECONDS * _RATE)
    for at in range(length - len(string)):
        string.append(_LOSS * (string[at] + string[at + 1]))
    for at in range(_FADE):
        string[-1 - at] *= at / _FADE
    return string


def _clip(value: float) -> int:
    return max(-32_768, min(32_767, round(value)))


def _frame(samples: array[int], start: int) -> AudioFrame:
    frame = AudioFrame(format="s16", layout=AudioLayout("stereo"), samples=len(samples) // 2)
    frame.planes[0].update(samples.tobytes())
    frame.sample_rate = _RATE
    frame.time_base = Fraction(1, _RATE)
    frame.pts = start
    return frame
