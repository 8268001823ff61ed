"""Decodes any audio, brings it to 48 kHz stereo, and encodes it with libopus into packets of 20 ms.

The same input and options give the same packets. The decoder, the resampler and the encoder buffer
well under a second of sound, so memory does not grow with the length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet

from audio_service.audio.base import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE, EncodeOptions
from audio_service.audio.shaping import Shape, Shaping
from common.errors import MediaCorrupt

# Interleaved floats, libopus's internal format; 16 bits would be rounded and clipped.
_SAMPLES = "flt"
# Single damaged packets are skipped, as players do; more than one in twenty make the media corrupt.
_BAD_PACKETS_ALLOWED = 3
_BAD_PACKETS_SHARE = 20
# libswresample puts mono on both channels at -3 dB, as a centre channel; players of a copied mono stream do not.
_UNDO_PAN_LAW = math.sqrt(2)


def transcode(packets: Iterable[Packet[AudioStream]], options: EncodeOptions) -> Iterator[bytes]:
    """Yield Opus packets of 20 ms, 48 kHz, stereo.

    Multichannel sound is mixed down (libswresample's defaults) and mono is put on both sides. The decoder applies
    pre-skip, end trimming and Opus output gain. The encoder's look-ahead (312 samples) stays
    at the front, as in any Opus file.

    Raises:
        MediaCorrupt: more than a few packets cannot be decoded.
    """
    encoder = opus_encoder(options)
    for frame in opus_shaping().all_of(decoded(packets)):
        yield from encode(encoder, frame)
    yield from encode(encoder, None)


def opus_shaping() -> Shaping:
    """Return what brings decoded sound to the encoder's shape."""
    return Shaping(Shape(_SAMPLES, "stereo", SAMPLE_RATE, FRAME_SAMPLES), mono_gain=_UNDO_PAN_LAW)


def decoded(
    packets: Iterable[Packet[AudioStream]], on_good: Callable[[Packet[AudioStream]], None] | None = None
) -> Iterator[AudioFrame]:
    """Yield the sound of packets, of one stream after the other. Raises MediaCorrupt.

    `on_good` is called with each packet that could be decoded, once its frames were taken.
    """
    good = bad = 0
    stream: AudioStream | None = None
    for packet in packets:
        if stream is not None and packet.stream is not stream:
            yield from stream.decode(None)  # pyright: ignore[reportUnknownMemberType] - as below
        stream = packet.stream
        try:
            yield from packet.decode()
            good += 1
            if on_good is not None:
                on_good(packet)
        except FFmpegError as exc:
            bad += 1
            if bad > _BAD_PACKETS_ALLOWED + good // _BAD_PACKETS_SHARE:
                raise MediaCorrupt(f"{bad} of {good + bad} packets cannot be decoded") from exc
    if not good and bad:
        raise MediaCorrupt("no packet can be decoded")
    if stream is not None:
        yield from stream.decode(None)  # pyright: ignore[reportUnknownMemberType] - Packet's parameter is open there


def opus_encoder(options: EncodeOptions, layout: str = "stereo") -> AudioCodecContext:
    """Return an encoder of interleaved floats into packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate = SAMPLE_RATE
    encoder.layout = layout
    encoder.format = _SAMPLES
    encoder.bit_rate = options.bitrate
    encoder.options = {
        "application": "audio",
        "frame_duration": str(FRAME_MS),
        "compression_level": str(options.complexity),
        "vbr": "on",
    }
    return encoder


def encode(encoder: AudioCodecContext, frame: AudioFrame | None) -> Iterator[bytes]:
    """Yield the packets that a frame completes; None: those that are left."""
    packets_of = encoder.encode  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - as in decoded
    for packet in cast("list[Packet[AudioStream]]", packets_of(frame)):
        yield bytes(packet)
