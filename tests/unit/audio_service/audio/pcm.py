"""Decoding for the tests' eyes: packets and files to arrays of samples, without the code under test."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.packet import Packet

from audio_service.audio.base import Encoded, EncodeOptions, Origin
from audio_service.audio.opus import encode_dca
from common.dca import DcaReader

Samples = npt.NDArray[np.float32]
Decoder = Literal["opus", "libopus"]


class OnceOnly(io.RawIOBase):
    """A download: bytes in order, no seek. `at_end` tells whether the reader has asked for the last byte."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self._size = len(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(size)

    @property
    def at_end(self) -> bool:
        return self._data.tell() >= self._size


def once_only(path: Path) -> BinaryIO:
    return cast("BinaryIO", OnceOnly(path.read_bytes()))


def encode(source: Path | BinaryIO, **options: Any) -> tuple[Encoded, list[bytes]]:  # noqa: ANN401 - fields of EncodeOptions
    """Run `encode_dca` and return its result and the frames of the file it wrote."""
    out = io.BytesIO()
    file = source.open("rb") if isinstance(source, Path) else source
    with file:
        result = encode_dca(
            file, out, origin=Origin(title="song"), options=EncodeOptions(**options), on_frames=lambda _frames: None
        )
    assert result.size == len(out.getvalue())
    out.seek(0)
    frames = list(DcaReader(out))
    assert result.frames == len(frames)
    return result, frames


def demuxed(path: Path) -> list[bytes]:
    """Return the audio packets as FFmpeg's command line would copy them."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def decoded_packets(packets: Iterable[bytes], *, channels: int = 2, decoder: Decoder = "opus") -> Samples:
    """Decode bare Opus packets from a fresh decoder on, nothing skipped; shaped (channels, samples)."""
    context = av.CodecContext.create(decoder, "r")
    context.extradata = struct.pack("<8sBBHIhB", b"OpusHead", 1, channels, 0, 48_000, 0, 0)
    frames: list[AudioFrame] = []
    for packet in packets:
        frames.extend(cast("Any", context).decode(Packet(packet)))
    return joined(frames)


def decoded_file(file: Path | BinaryIO) -> Samples:
    """Decode a file's audio as a player would: pre-skip and padding cut."""
    with av.open(str(file) if isinstance(file, Path) else file, "r") as container:
        return joined(container.decode(container.streams.audio[0]))


def joined(frames: Iterable[AudioFrame]) -> Samples:
    blocks: list[Samples] = []
    for frame in frames:
        block = frame.to_ndarray()
        if block.dtype == np.int16:
            block = block.astype(np.float32) / 32768
        if not frame.format.is_planar:
            block = block.reshape(-1, frame.layout.nb_channels).T
        blocks.append(np.asarray(block, dtype=np.float32))
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((0, 0), dtype=np.float32)


def strongest_frequency(samples: Samples, rate: int = 48_000) -> float:
    """Return the frequency (Hz) of the highest peak of the first channel's spectrum."""
    signal = samples[0] * np.hanning(samples.shape[1])
    return float(np.argmax(np.abs(np.fft.rfft(signal))) * rate / samples.shape[1])
