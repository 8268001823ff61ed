"""What is made of an audio message, in this process."""

from __future__ import annotations

import json
import math
from array import array
from pathlib import Path
from typing import Any

import av
import pytest

from audio_service.audio.base import EncodeOptions
from audio_service.audio.message import AUDIO, DCA, WAVEFORM, Message, make_message
from audio_service.audio.peaks import FIRST_PIXEL, MOST_PIXELS, Peaks
from common.errors import MediaCorrupt, MediaTooLong, MediaUnsupported, SourceTruncated
from tests.servers.media_files import Untyped, make

PLACE = b"+38.8951-077.0364/"


def made(source: Path, directory: Path, demuxer: str, *, most_ms: int = 60_000) -> Message:
    directory.mkdir()
    with source.open("rb") as file:
        return make_message(
            file,
            directory,
            demuxer=demuxer,
            options=EncodeOptions(max_duration_ms=most_ms),
            on_played=lambda _made, _stated: None,
        )


def samples(values: list[float]) -> array[float]:
    return array("f", values)


@pytest.mark.parametrize(
    ("kind", "demuxer"), [("webm_opus", "matroska"), ("mp3", "mp3"), ("wav", "wav"), ("mp4_video", "mov")]
)
def test_every_format_becomes_the_same(tmp_path: Path, kind: str, demuxer: str) -> None:
    message = made(make(kind, tmp_path, seconds=2), tmp_path / "out", demuxer)
    assert abs(message.duration_ms - 2000) < 100
    with av.open(str(tmp_path / "out" / AUDIO)) as file:
        assert [stream.type for stream in file.streams] == ["audio"]
        context = file.streams.audio[0].codec_context
        assert (context.name, context.profile, context.sample_rate) == ("aac", "LC", 44_100)
        assert context.layout.nb_channels == 1
        assert file.duration is not None
        assert abs(file.duration / av.time_base - 2) < 0.1
    data = (tmp_path / "out" / AUDIO).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert (tmp_path / "out" / DCA).read_bytes().startswith(b"DCA1")
    waveform = json.loads((tmp_path / "out" / WAVEFORM).read_bytes())
    assert waveform["sample_rate"] * 2 / waveform["samples_per_pixel"] == pytest.approx(waveform["length"], rel=0.05)


def test_nothing_but_the_sound_is_taken_over(tmp_path: Path) -> None:
    source = make("m4a", tmp_path, seconds=1)
    noted = tmp_path / "noted.m4a"
    with av.open(str(source)) as original, av.open(str(noted), "w", format="ipod") as copy:
        copy.metadata.update({"title": "secret title", "comment": "<script>", "location": PLACE.decode()})
        muxer: Untyped = copy
        stream = muxer.add_stream_from_template(original.streams.audio[0])
        for packet in original.demux(original.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                muxer.mux(packet)
    assert b"secret title" in noted.read_bytes()
    made(noted, tmp_path / "out", "mov")
    for name in (AUDIO, DCA, WAVEFORM):
        data = (tmp_path / "out" / name).read_bytes()
        assert b"secret" not in data
        assert b"script" not in data
        assert PLACE not in data
        assert b"Lavf" not in data
        assert b"Lavc" not in data


def heard(path: Path) -> list[float]:
    """Return what is heard of a mono file, 44.1 kHz."""
    sound = array("f")
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            sound.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
    return list(sound)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(file.streams.audio[0]) if packet.size]


@pytest.mark.parametrize("kind", ["m4a", "m4a_faststart"])
def test_what_is_as_it_shall_be_is_not_encoded_again(tmp_path: Path, kind: str) -> None:
    source = make(kind, tmp_path, seconds=3, sound="sweep", layout="mono", rate=44_100, codec_options={"b": "48000"})
    message = made(source, tmp_path / "out", "mov")
    served = tmp_path / "out" / AUDIO
    assert packets(served) == packets(source)
    assert heard(served) == pytest.approx(heard(source), abs=1e-6)
    assert abs(message.duration_ms - 3000) < 50
    with av.open(str(served)) as file:
        assert abs((file.duration or 0) / av.time_base - 3) < 0.05
        assert not {"location", "title", "comment"} & set(file.metadata)
    data = served.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    "other",
    [{"layout": "stereo"}, {"rate": 48_000}, {"codec_options": {"b": "128000"}}],
    ids=lambda other: next(iter(other)),
)
def test_what_is_nearly_so_is_encoded(tmp_path: Path, other: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"layout": "mono", "rate": 44_100, "codec_options": {"b": "48000"}}
    source = make("m4a", tmp_path, seconds=2, sound="noise", **usual | other)
    made(source, tmp_path / "out", "mov")
    assert packets(tmp_path / "out" / AUDIO) != packets(source)


def test_packets_that_cannot_be_decoded_are_not_copied(tmp_path: Path) -> None:
    source = make("m4a", tmp_path, seconds=3, sound="noise", layout="mono", rate=44_100, codec_options={"b": "48000"})
    whole = packets(source)
    bad = bytes([0xFF]) * len(whole[40])
    source.write_bytes(source.read_bytes().replace(whole[40], bad))
    made(source, tmp_path / "out", "mov")
    served = packets(tmp_path / "out" / AUDIO)
    assert bad not in served
    assert served == [*whole[:40], *whole[41:]]


def test_another_demuxer_than_the_named_one_does_not_read_it(tmp_path: Path) -> None:
    with pytest.raises((MediaUnsupported, MediaCorrupt)):
        made(make("mp3", tmp_path, seconds=1), tmp_path / "out", "mov")


def test_a_film_without_sound_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(MediaUnsupported):
        made(make("mp4_silent_film", tmp_path, seconds=1), tmp_path / "out", "mov")


@pytest.mark.parametrize(("kind", "demuxer"), [("m4a", "mov"), ("wav", "wav"), ("ogg_opus", "ogg")])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, kind: str, demuxer: str) -> None:
    whole = make(kind, tmp_path, seconds=2).read_bytes()
    # An Ogg that ends between two pages does not say that more was to come.
    left = len(whole) - 20 if demuxer == "ogg" else len(whole) // 2
    cut = tmp_path / "cut"
    cut.write_bytes(whole[:left])
    with pytest.raises((MediaCorrupt, SourceTruncated)):
        made(cut, tmp_path / "out", demuxer)


def test_what_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaTooLong):
        made(make("webm_opus", tmp_path, seconds=3), tmp_path / "out", "matroska", most_ms=1500)


class TestPeaks:
    def test_bars_are_the_peak_of_each_slice_against_the_loudest(self) -> None:
        peaks = Peaks()
        for level in (0.1, -0.5, 0.25, 0.0):
            peaks.push(samples([0.0, level] * (FIRST_PIXEL * 50)))
        peaks.finish()
        assert peaks.bars(4) == [20, 100, 50, 0]
        assert len(peaks.bars(10)) == 10

    def test_silence_is_zeros(self) -> None:
        peaks = Peaks()
        peaks.push(samples([0.0] * 1000))
        peaks.finish()
        assert peaks.bars(100) == [0] * 100

    def test_fewer_samples_than_bars(self) -> None:
        peaks = Peaks()
        peaks.push(samples([0.5, -1.0]))
        peaks.finish()
        assert peaks.bars(10) == [100] * 10

    def test_a_long_sound_has_larger_pixels_and_the_same_peaks(self) -> None:
        peaks, count = Peaks(), MOST_PIXELS * FIRST_PIXEL * 2 + 10
        wave = [math.sin(math.pi * at / 1000) for at in range(1000)]
        block = samples(wave)
        for _ in range(count // 1000):
            peaks.push(block)
        peaks.push(samples(wave[: count % 1000]))
        peaks.finish()
        data = peaks.data(44_100)
        assert data["length"] <= MOST_PIXELS
        assert data["samples_per_pixel"] == FIRST_PIXEL * 4
        assert -(-count // data["samples_per_pixel"]) == data["length"]
        assert peaks.bars(100) == [100] * 100

    def test_the_data_file_is_8_bits_of_minimum_and_maximum(self) -> None:
        peaks = Peaks()
        peaks.push(samples([-1.0, 1.0] * (FIRST_PIXEL // 2)))
        peaks.push(samples([0.5] * 3))
        peaks.finish()
        data = peaks.data(44_100)
        assert (data["length"], data["data"]) == (2, [-127, 127, 64, 64])
