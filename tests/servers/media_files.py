"""Makes media files for tests on demand, with PyAV: the repository holds no binary files.

`make("webm_opus", directory, seconds=3)` returns a path; the same parameters return the same file again. Sounds
longer than a few seconds repeat the encoded packets with growing timestamps where the codec allows it, so an hour
takes seconds. No assertions here: what a file must become is for the tests to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
import numpy as np
import numpy.typing as npt
from av.packet import Packet

from tests.servers.media_damage import set_opus_gain

Sound = Literal["tone", "sweep", "silence", "noise"]

Untyped = Any
"""PyAV's muxing side (OutputContainer.mux, Stream.encode): its stubs leave the packets' type parameter open."""

LOOP_SECONDS = 20
_REPEATABLE = frozenset({"libopus", "aac", "mp3"})
_CHUNK_SECONDS = 1
_AMPLITUDE = 8000


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a kind of file is made. `rate` in Hz; `layout` as FFmpeg names it; options go to codec and muxer."""

    suffix: str
    muxer: str
    codec: str
    rate: int = 48_000
    layout: str = "stereo"
    codec_options: Mapping[str, str] = field(default_factory=dict[str, str])
    muxer_options: Mapping[str, str] = field(default_factory=dict[str, str])
    with_video: bool = False
    with_audio: bool = True


_FRAGMENTED = {"movflags": "empty_moov+default_base_moof", "frag_duration": "500000"}

RECIPES: dict[str, Recipe] = {
    "webm_opus": Recipe("webm", "webm", "libopus"),
    "webm_vorbis": Recipe("webm", "webm", "vorbis", codec_options={"strict": "experimental"}),
    "ogg_opus": Recipe("ogg", "ogg", "libopus"),
    "mp4_opus": Recipe("mp4", "mp4", "libopus", muxer_options={"movflags": "faststart"}),
    "m4a": Recipe("m4a", "ipod", "aac"),
    "m4a_faststart": Recipe("m4a", "ipod", "aac", muxer_options={"movflags": "faststart"}),
    "fmp4": Recipe("mp4", "mp4", "aac", muxer_options=_FRAGMENTED),
    "fmp4_opus": Recipe("mp4", "mp4", "libopus", muxer_options=_FRAGMENTED),
    "mp4_video": Recipe("mp4", "mp4", "aac", with_video=True),
    "mp4_video_faststart": Recipe("mp4", "mp4", "aac", with_video=True, muxer_options={"movflags": "faststart"}),
    "mp4_silent_film": Recipe("mp4", "mp4", "", with_video=True, with_audio=False),
    "mp3": Recipe("mp3", "mp3", "mp3", rate=44_100),
    "flac": Recipe("flac", "flac", "flac", rate=44_100),
    "wav": Recipe("wav", "wav", "pcm_s16le", rate=44_100, layout="mono"),
    "aac": Recipe("aac", "adts", "aac", rate=44_100),
    "mpegts": Recipe("ts", "mpegts", "aac"),
    "hls": Recipe("m3u8", "hls", "aac", muxer_options={"hls_time": "2", "hls_list_size": "0"}),
}

CONTENT_TYPES: dict[str, str] = {
    "webm": "audio/webm",
    "ogg": "audio/ogg",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "aac": "audio/aac",
    "ts": "video/mp2t",
    "m3u8": "application/vnd.apple.mpegurl",
}


def make(  # noqa: PLR0913 - each option is one independent property of the file
    kind: str,
    directory: Path,
    seconds: float = 3.0,
    *,
    sound: Sound = "tone",
    layout: str | None = None,
    rate: int | None = None,
    gain: int = 0,
    start: float = 0.0,
    codec_options: Mapping[str, str] | None = None,
) -> Path:
    """Return the path of a media file in `directory`, made now unless the same was made before.

    Args:
        kind: a key of RECIPES.
        directory: where it goes; "hls" makes a folder there, and the path is the playlist's.
        seconds: length of the sound.
        sound: a 440 Hz tone, a sweep from 100 Hz to 8 kHz, silence, or noise.
        layout: "mono", "stereo", "5.1", …, instead of the recipe's.
        rate: sample rate in Hz instead of the recipe's.
        gain: Opus output gain in 1/256 dB, written into OpusHead.
        start: when the first packet begins on the file's clock, in seconds.
        codec_options: for the encoder, e.g. `{"frame_duration": "60"}`, `{"application": "voip", "b": "16000"}`.
    """
    base = RECIPES[kind]
    recipe = replace(
        base,
        rate=rate or base.rate,
        layout=layout or base.layout,
        codec_options={**base.codec_options, **(codec_options or {})},
    )
    name = _name(kind, recipe, seconds, sound, gain, start)
    folder = directory / name if kind == "hls" else directory
    path = folder / f"{name}.{recipe.suffix}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    # The playlist names its segments after itself, so only single files are renamed into place.
    target = path if kind == "hls" else path.with_suffix(f".part.{recipe.suffix}")
    _write(recipe, target, seconds, sound, start)
    if gain:
        target.write_bytes(set_opus_gain(target.read_bytes(), gain))
    return target.rename(path)


def samples(sound: Sound, seconds: float, rate: int, channels: int) -> Iterator[npt.NDArray[np.int16]]:
    """Yield interleaved s16 samples in chunks of a second, shaped (1, samples * channels)."""
    total = round(seconds * rate)
    random = np.random.default_rng(7)
    for start in range(0, total, rate * _CHUNK_SECONDS):
        time = np.arange(start, min(start + rate * _CHUNK_SECONDS, total)) / rate
        if sound == "silence":
            wave = np.zeros(time.size)
        elif sound == "noise":
            wave = random.uniform(-1, 1, time.size)
        elif sound == "sweep":
            wave = np.sin(2 * np.pi * (100 * time + (8000 - 100) / (2 * max(seconds, 1)) * time**2))
        else:
            wave = np.sin(2 * np.pi * 440 * time)
        yield np.repeat((wave * _AMPLITUDE).astype(np.int16), channels)[None, :]


def _name(kind: str, recipe: Recipe, seconds: float, sound: Sound, gain: int, start: float) -> str:  # noqa: PLR0913, PLR0917 - the options of `make`
    facts = repr((kind, recipe, seconds, sound, gain, start)).encode()
    return f"{kind}-{hashlib.sha256(facts).hexdigest()[:12]}"


def _write(recipe: Recipe, path: Path, seconds: float, sound: Sound, start: float) -> None:
    with av.open(str(path), "w", format=recipe.muxer, options=dict(recipe.muxer_options)) as opened:
        container = cast("Untyped", opened)
        video = _video_stream(container) if recipe.with_video else None
        stream = _audio_stream(container, recipe) if recipe.with_audio else None
        if video is not None:
            _write_video(container, video, seconds)
        if stream is None:
            return
        if recipe.codec in _REPEATABLE and seconds > LOOP_SECONDS:
            _write_repeated(container, stream, seconds, sound)
        else:
            for packet in _encode(stream, seconds, sound):
                packet.pts = packet.dts = packet.pts + round(start / packet.time_base)
                container.mux(packet)


def _audio_stream(container: Untyped, recipe: Recipe) -> Untyped:
    stream = container.add_stream(recipe.codec, rate=recipe.rate, options=dict(recipe.codec_options))
    stream.codec_context.layout = recipe.layout
    return stream


def _encode(stream: Untyped, seconds: float, sound: Sound) -> Iterator[Untyped]:
    context = stream.codec_context
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.sample_rate)
    done = 0
    for chunk in samples(sound, seconds, context.sample_rate, context.layout.nb_channels):
        frame = av.AudioFrame.from_ndarray(chunk, format="s16", layout=context.layout)
        frame.sample_rate = context.sample_rate
        frame.pts = done
        done += frame.samples
        for part in resampler.resample(frame):
            yield from stream.encode(part)
    for part in resampler.resample(None):
        yield from stream.encode(part)
    yield from stream.encode(None)


def _write_repeated(container: Untyped, stream: Untyped, seconds: float, sound: Sound) -> None:
    """Mux the packets of LOOP_SECONDS again and again; each copy keeps the length its codec gives it."""
    encoded = list(_encode(stream, LOOP_SECONDS, sound))
    bodies = [bytes(packet) for packet in encoded]
    step: int = encoded[1].duration
    unit: Fraction = encoded[0].time_base
    for index in range(round(seconds / (step * unit))):
        packet = cast("Untyped", Packet(bodies[index % (len(bodies) - 1)]))
        packet.stream, packet.time_base, packet.duration = stream, unit, step
        packet.pts = packet.dts = index * step
        packet.is_keyframe = True
        container.mux(packet)


def _video_stream(container: Untyped) -> Untyped:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    return stream


def _write_video(container: Untyped, stream: Untyped, seconds: float) -> None:
    for index in range(round(seconds * 10)):
        picture = np.full((64, 64, 3), index * 16 % 256, dtype=np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))
