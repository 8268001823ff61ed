"""Makes what is served of an audio message: AAC-LC in MP4, a DCA copy and the waveform, out of one pass of decoding.

Nothing of the source is copied but its sound: tags, pictures, chapters and places are left behind.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import av
import orjson
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from audio_service.audio.base import CHANNELS, EncodeOptions
from audio_service.audio.peaks import Peaks
from audio_service.audio.probe import FfmpegAudio, open_media
from audio_service.audio.shaping import Shape, Shaping
from audio_service.audio.transcode import decoded, encode, opus_encoder, opus_shaping
from common.dca import DcaMetadata, DcaWriter, OpusInfo, OriginInfo
from common.errors import MediaCorrupt, MediaTooLong

AUDIO, DCA, WAVEFORM = "audio.m4a", "audio.dca", "waveform.json"
"""The names of the files that are made."""

SAMPLE_RATE = 44_100
BIT_RATE = 64_000
# What is stated is an average, and encoders are not exact.
_SAME_RATE = 1.05
_FRAME_SAMPLES = 1024
# Without +bitexact the file names the program that made it and its version.
_MUXER = {"movflags": "+faststart", "fflags": "+bitexact"}

OnPlayed = Callable[[int, int | None], None]
"""Called once for each second of sound with what was made and what the source states, in ms; must be cheap."""

Untyped = Any
"""PyAV's muxing side: its stubs leave the packets' type parameter open."""


@dataclass(frozen=True, slots=True)
class Message:
    """What was made. `waveform`: `peaks.BARS` bars of 0 to 100; `codec` is the source's."""

    duration_ms: int
    waveform: list[int]
    codec: str


def make_message(
    source: BinaryIO, directory: Path, *, demuxer: str, options: EncodeOptions, on_played: OnPlayed
) -> Message:
    """Make the three files in `directory`.

    Args:
        source: complete and seekable.
        directory: empty; the files are left as they are after a failure.
        demuxer: the only one that may read the source (see `contents`).
        options: the longest duration, the language of the track to take, and how the DCA copy is encoded.
        on_played: may raise to abort.

    Raises:
        MediaCorrupt, MediaUnsupported, MediaEncrypted, SourceTruncated: as `open_media`, and for files without sound.
        MediaTooLong: more than `options.max_duration_ms`.
    """
    peaks, played = Peaks(), 0
    with (
        open_media(source, language=options.language, kind=demuxer) as media,
        _m4a(directory / AUDIO) as container,
        (directory / DCA).open("wb") as dca,
    ):
        packets = _packets(media)
        first = next(packets, None)
        if first is None:
            raise MediaCorrupt("no audio in the stream")
        stated = media.stated_ms
        _check_length(stated or 0, options)
        copy = _DcaCopy(dca, media, options)
        audio = _Copied(container, first) if _is_ours_already(first) else _Encoded(container)
        mono = Shaping(Shape("fltp", "mono", SAMPLE_RATE, _FRAME_SAMPLES))
        for frame in decoded(chain([first], packets), audio.take_packet):
            copy.push(frame)
            for shaped in mono.push(frame):
                before, played = played, played + shaped.samples
                _take(shaped, before, peaks, audio)
                if before // SAMPLE_RATE != played // SAMPLE_RATE:
                    _check_length(played * 1000 // SAMPLE_RATE, options)
                    on_played(played * 1000 // SAMPLE_RATE, stated)
        for shaped in mono.finish():
            _take(shaped, played, peaks, audio)
            played += shaped.samples
        if not played:
            raise MediaCorrupt("no audio in the stream")
        audio.finish()
        copy.finish()
        peaks.finish()
        duration_ms = played * 1000 // SAMPLE_RATE
        media.check_complete(duration_ms)
        codec = media.probed.codec
    (directory / WAVEFORM).write_bytes(orjson.dumps(peaks.data(SAMPLE_RATE)))
    return Message(duration_ms, peaks.bars(), codec)


def _take(frame: AudioFrame, at: int, peaks: Peaks, audio: _Encoded | _Copied) -> None:
    samples = array("f")
    samples.frombytes(bytes(frame.planes[0])[: frame.samples * samples.itemsize])
    peaks.push(samples)
    frame.pts, frame.time_base = at, Fraction(1, SAMPLE_RATE)
    audio.take_frame(frame)


def _packets(media: FfmpegAudio) -> Iterator[Packet[AudioStream]]:
    for link in media.links():
        yield from link.packets()


def _check_length(length_ms: int, options: EncodeOptions) -> None:
    if length_ms > options.max_duration_ms:
        raise MediaTooLong(f"{length_ms} ms, at most {options.max_duration_ms} ms are taken")


@contextmanager
def _m4a(path: Path) -> Generator[Untyped]:
    """Open an MP4 for writing, whose `moov` will stand before its `mdat`."""
    with av.open(str(path), "w", format="mp4", options=_MUXER) as container:
        yield container


def _is_ours_already(packet: Packet[AudioStream]) -> bool:
    """Whether a packet's stream is as this module makes it, so that encoding it again would only cost quality."""
    stream = packet.stream
    context = stream.codec_context
    is_lc = context.name == "aac" and context.profile == "LC" and context.frame_size == _FRAME_SAMPLES
    is_shaped = context.sample_rate == SAMPLE_RATE and context.layout.nb_channels == 1
    return is_lc and is_shaped and 0 < (stream.bit_rate or 0) <= BIT_RATE * _SAME_RATE


class _Encoded:
    """The sound as AAC-LC."""

    def __init__(self, container: Untyped) -> None:
        self._container = container
        # Without +bitexact the first packet names the encoder and its version.
        self._encoder = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"flags": "+bitexact"})
        self._encoder.bit_rate = BIT_RATE

    def take_packet(self, packet: Packet[AudioStream]) -> None:
        """Do nothing: its frames are taken."""

    def take_frame(self, frame: AudioFrame) -> None:
        """Encode a mono frame."""
        self._container.mux(self._encoder.encode(frame))

    def finish(self) -> None:
        """Write what is left."""
        self._container.mux(self._encoder.encode(None))


class _Copied:
    """The source's own packets, those that could be decoded, one behind the other."""

    def __init__(self, container: Untyped, first: Packet[AudioStream]) -> None:
        self._container = container
        self._stream = container.add_stream_from_template(first.stream)
        self._stream.metadata.clear()
        # Below zero where the encoder's delay is to be skipped, at most that.
        begin = round((first.pts or 0) * first.time_base * SAMPLE_RATE) if first.time_base else 0
        self._next = max(-2 * _FRAME_SAMPLES, min(0, begin))

    def take_packet(self, packet: Packet[AudioStream]) -> None:
        """Copy a packet, onto a clock without gaps."""
        # A packet of its own: what the source's says of time is still needed.
        copied: Untyped = av.Packet(bytes(packet))
        copied.is_keyframe = True
        copied.time_base = Fraction(1, SAMPLE_RATE)
        copied.pts = copied.dts = self._next
        copied.duration = _FRAME_SAMPLES
        copied.stream = self._stream
        self._next += _FRAME_SAMPLES
        self._container.mux(copied)

    def take_frame(self, frame: AudioFrame) -> None:
        """Do nothing: its packet is taken."""

    def finish(self) -> None:
        """Do nothing: no packet is held back."""


class _DcaCopy:
    """The same sound as DCA, for voice channels."""

    def __init__(self, out: BinaryIO, media: FfmpegAudio, options: EncodeOptions) -> None:
        probed = media.probed
        metadata = DcaMetadata(
            opus=OpusInfo(abr=options.bitrate, channels=CHANNELS),
            origin=OriginInfo(source="file", channels=probed.channels, encoding=probed.codec),
        )
        self._writer = DcaWriter(out, metadata)
        self._encoder = opus_encoder(options)
        self._shaping = opus_shaping()

    def push(self, frame: AudioFrame) -> None:
        """Take a decoded frame."""
        for shaped in self._shaping.push(frame):
            self._write(shaped)

    def finish(self) -> None:
        """Write what is left."""
        for shaped in self._shaping.finish():
            self._write(shaped)
        self._write(None)
        self._writer.flush()

    def _write(self, frame: AudioFrame | None) -> None:
        for packet in encode(self._encoder, frame):
            self._writer.write(packet)
