"""Formats beyond those that the recipes of the test media make, and what is told of those that are not taken."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import pytest
from av.codec import Codec
from av.format import ContainerFormat

from audio_service.audio.base import WholeFileNeededError
from audio_service.audio.probe import DECODERS, DEMUXERS
from common.dca import DcaMetadata, DcaWriter
from common.errors import MediaCorrupt, MediaUnsupported, SourceTruncated
from tests.servers.media_files import make
from tests.unit.audio_service.audio.pcm import (
    OnceOnly,
    decoded_packets,
    demuxed,
    encode,
    once_only,
    strongest_frequency,
)

FORMATS = [
    ("asf", "wmav1", 44_100, "stereo", "wmav1"),
    ("asf", "wmav2", 44_100, "stereo", "wmav2"),
    ("avi", "mp3", 44_100, "stereo", "mp3"),
    ("avi", "ac3", 48_000, "stereo", "ac3"),
    ("wav", "adpcm_ms", 44_100, "stereo", "adpcm_ms"),
    ("wv", "wavpack", 44_100, "stereo", "wavpack"),
    ("tta", "tta", 44_100, "stereo", "tta"),
    ("ac3", "ac3", 48_000, "5.1", "ac3"),
    ("eac3", "eac3", 48_000, "stereo", "eac3"),
    ("amr", "libopencore_amrnb", 8_000, "mono", "amrnb"),
]


def written(  # noqa: PLR0913, PLR0917 - each is one property of the file
    path: Path, muxer: str, codec: str, rate: int, layout: str, tags: Mapping[str, str] | None = None
) -> Path:
    with av.open(str(path), "w", format=muxer) as opened:
        container = cast("Any", opened)
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=rate, layout=layout)
        context = stream.codec_context
        if codec.startswith("wma"):  # which knows no bit rate of its own
            context.bit_rate = 128_000
        wave = (np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate) * 8000).astype(np.int16)
        channels = context.layout.nb_channels
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None, :], format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        size = context.frame_size or 1024
        resampler = av.AudioResampler(context.format, layout, rate, frame_size=size)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(part))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_it_is_decoded(form: tuple[str, str, int, str, str], tmp_path: Path) -> None:
    muxer, codec, rate, layout, name = form
    path = written(tmp_path / "song", muxer, codec, rate, layout)
    result, frames = encode(path)
    assert (result.mode, result.reason) == ("transcoded", f"codec {name}")
    assert result.frames == pytest.approx(150, abs=10)
    assert strongest_frequency(decoded_packets(frames)) == pytest.approx(440, abs=3)
    try:
        assert encode(once_only(path))[0].frames == pytest.approx(150, abs=10)
    except (MediaCorrupt, MediaUnsupported, SourceTruncated, WholeFileNeededError):
        # The whole file decides then: see test_whole_file.
        assert muxer in {"avi", "tta", "wv"}


@pytest.mark.parametrize(("muxer", "codec"), [("mp3", "mp3"), ("ogg", "libopus"), ("flac", "flac"), ("ipod", "aac")])
@pytest.mark.parametrize(
    ("tags", "title"),
    [
        ({"title": "Corazón", "artist": "Ñandú"}, "Ñandú - Corazón"),
        ({"title": "Corazón"}, "Corazón"),
        ({"artist": "Ñandú"}, ""),
        ({}, ""),
    ],
)
def test_the_tags_name_the_song(muxer: str, codec: str, tags: dict[str, str], title: str, tmp_path: Path) -> None:
    path = written(tmp_path / "song", muxer, codec, 48_000, "stereo", tags)
    assert encode(path)[0].title == title


def dsf(seconds: int) -> bytes:
    """Return a DSF file of one channel of DSD64: a pattern of as many ones as zeros, which is silence."""
    rate, block = 2_822_400, 4096
    blocks = seconds * rate // 8 // block
    data = b"\x69" * (blocks * block)
    head = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, rate, 1, len(data) * 8, block, 0)
    body = head + b"data" + struct.pack("<Q", 12 + len(data)) + data
    return b"DSD " + struct.pack("<QQQ", 28, 28 + len(body), 0) + body


def test_dsd_is_decoded() -> None:
    result, _ = encode(io.BytesIO(dsf(1)))
    assert result.reason == "codec dsd_lsbf_planar"
    assert result.frames == pytest.approx(50, abs=2)


def test_every_name_is_one_that_this_ffmpeg_has() -> None:
    for name in DEMUXERS.split(","):
        ContainerFormat(name, "r")
    for name in DECODERS:
        Codec(name, "r")


def test_a_dca_file_is_not_media_and_not_damaged(media: Path) -> None:
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata())
    for packet in demuxed(make("ogg_opus", media)):
        writer.write(packet)
    writer.flush()
    for source in (io.BytesIO(out.getvalue()), cast("BinaryIO", OnceOnly(out.getvalue()))):
        with pytest.raises(MediaUnsupported):
            encode(source)
