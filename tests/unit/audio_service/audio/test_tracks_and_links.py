"""Files that hold more than one sound: several tracks, several links, and something else before the sound."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import pytest
from av.stream import Disposition

from audio_service.audio.mp3 import find_frames
from audio_service.audio.ogg_pages import PagedFile, Part, find_links
from common.errors import MediaUnsupported, SourceTruncated
from tests.servers.media_files import make
from tests.unit.audio_service.audio.pcm import (
    OnceOnly,
    decoded_packets,
    demuxed,
    encode,
    once_only,
    strongest_frequency,
)

TONES = (440, 880, 1320)
Track = tuple[str, str]


def with_tracks(path: Path, tracks: Sequence[Track], *, codec: str = "libopus", muxer: str = "matroska") -> Path:
    """Write a file with a sound track for each language and flag, of the TONES in order, a second long."""
    with av.open(str(path), "w", format=muxer) as opened:
        container = cast("Any", opened)
        streams = [container.add_stream(codec, rate=48_000, layout="stereo") for _ in tracks]
        for stream, (language, flag) in zip(streams, tracks, strict=True):
            stream.metadata["language"] = language
            stream.disposition = Disposition[flag] if flag else Disposition(0)
        time = np.arange(48_000) / 48_000
        for stream, tone in zip(streams, TONES, strict=False):
            wave = (np.sin(2 * np.pi * tone * time) * 8000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None, :], format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, 0
            resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=48_000)
            for part in (*resampler.resample(frame), None):
                container.mux(stream.encode(part))
    return path


@pytest.mark.parametrize(
    ("tracks", "language", "tone"),
    [
        ([("eng", ""), ("spa", "default")], "", 880),
        ([("eng", ""), ("spa", ""), ("fra", "default")], "es", 1320),
        ([("eng", ""), ("spa", "")], "es", 880),
        ([("eng", ""), ("spa", "")], "en", 440),
        ([("deu", ""), ("fra", "")], "es", 440),
        ([("eng", "default"), ("spa", "default")], "es", 880),
        ([("spa", "comment"), ("eng", "")], "es", 880),
        ([("eng", "visual_impaired"), ("eng", "")], "en", 880),
    ],
)
@pytest.mark.parametrize("codec", ["libopus", "aac"])
def test_the_default_track_is_taken_then_the_one_in_the_language(
    tracks: Sequence[Track], language: str, tone: int, codec: str, tmp_path: Path
) -> None:
    path = with_tracks(tmp_path / "tracks.mkv", tracks, codec=codec)
    for source in (path, once_only(path)):
        _, frames = encode(source, language=language)
        assert strongest_frequency(decoded_packets(frames)) == pytest.approx(tone, abs=3)


def chained(path: Path, links: Sequence[Path]) -> Path:
    path.write_bytes(b"".join(link.read_bytes() for link in links))
    return path


def test_links_with_other_channels_are_copied(media: Path, tmp_path: Path) -> None:
    links = [make("ogg_opus", media, 1, layout=layout) for layout in ("stereo", "mono", "stereo")]
    path = chained(tmp_path / "chain.opus", links)
    for source in (path, once_only(path)):
        result, frames = encode(source)
        assert result.mode == "passthrough"
        assert frames == [packet for link in links for packet in demuxed(link)]
        assert result.states_length


def test_a_link_that_cannot_be_copied_has_the_whole_transcoded(media: Path, tmp_path: Path) -> None:
    links = [make("ogg_opus", media, 1), make("ogg_opus", media, 1, gain=256)]
    path = chained(tmp_path / "chain.opus", links)
    for source in (path, once_only(path)):
        result, frames = encode(source)
        assert (result.mode, result.reason) == ("transcoded", "opus gain 256")
        assert len(frames) == pytest.approx(101, abs=2)


@pytest.mark.parametrize("links", [3, 7])
def test_links_with_other_codecs_and_rates_are_transcoded(links: int, media: Path, tmp_path: Path) -> None:
    kinds = [make("ogg_opus", media, 1, layout="5.1"), make("ogg_opus", media, 1, gain=-256), vorbis(tmp_path, 22_050)]
    path = chained(tmp_path / "chain.ogg", [vorbis(tmp_path, 44_100), *(kinds[n % 3] for n in range(links - 1))])
    for source in (path, once_only(path)):
        result, frames = encode(source)
        assert (result.mode, result.reason) == ("transcoded", "codec vorbis")
        assert len(frames) == pytest.approx(50 * links, abs=2 * links)
        heard = decoded_packets(frames)
        for second in range(links):
            part = heard[:, 48_000 * second + 12_000 : 48_000 * second + 36_000]
            assert strongest_frequency(part) == pytest.approx(440, abs=3)


def vorbis(directory: Path, rate: int) -> Path:
    path = directory / f"vorbis-{rate}.ogg"
    with av.open(str(path), "w", format="ogg") as opened:
        container = cast("Any", opened)
        stream = container.add_stream("vorbis", rate=rate, layout="stereo", options={"strict": "experimental"})
        wave = (np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * 0.25).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        for part in (frame, None):
            container.mux(stream.encode(part))
    return path


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_an_ogg_that_ends_within_a_page_breaks_off(cut: int, media: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.opus"
    path.write_bytes(make("ogg_opus", media, 5, sound="noise").read_bytes()[:-cut])
    for source in (path, once_only(path)):
        with pytest.raises(SourceTruncated):
            encode(source)


def test_an_ogg_whose_only_page_of_sound_is_cut_breaks_off(media: Path, tmp_path: Path) -> None:
    """FFmpeg cannot open it at all."""
    data = make("ogg_opus", media, 0.9).read_bytes()
    path = tmp_path / "cut.opus"
    path.write_bytes(data[: len(data) * 2 // 3])
    for source in (path, once_only(path)):
        with pytest.raises(SourceTruncated):
            encode(source)


def test_an_ogg_without_its_last_page_does_not_say_where_it_ends(media: Path, tmp_path: Path) -> None:
    data = make("ogg_opus", media, 5, sound="noise").read_bytes()
    path = tmp_path / "no-end.opus"
    path.write_bytes(data[: data.rindex(b"OggS")])
    for source in (path, once_only(path)):
        result, frames = encode(source)
        assert not result.states_length
        assert len(frames) >= 150


def test_bytes_that_are_no_page_are_passed_on(media: Path) -> None:
    data = make("ogg_opus", media, 2).read_bytes()
    for damaged in (data + b"TAG" + bytes(125), data[:500] + data[501:], b"junk" + data, b"Ogg", b""):
        paged = PagedFile(cast("BinaryIO", OnceOnly(damaged)))
        assert b"".join(iter(lambda source=paged: source.read(100), b"")) == damaged
        assert not paged.next_link()
        assert find_links(io.BytesIO(damaged))[0] == [0]


def test_a_part_is_a_file_of_its_own() -> None:
    part = Part(io.BytesIO(b"0123456789"), 2, 6)
    assert (part.read(), part.read(1)) == (b"2345", b"")
    assert (part.seek(1), part.read(2), part.tell()) == (1, b"34", 3)
    assert (part.seek(-1, io.SEEK_END), part.read()) == (3, b"5")
    assert (part.seek(0), part.seek(2, io.SEEK_CUR), part.read()) == (0, 2, b"45")


@pytest.mark.parametrize("junk", ["zeros", "noise", "text", "picture"])
def test_an_mp3_is_found_behind_other_bytes(junk: str, media: Path, tmp_path: Path) -> None:
    before = {
        "zeros": bytes(200_000),
        "noise": random.Random(3).randbytes(200_000),
        "text": b"X-Powered-By: PHP\r\nWarning: headers already sent in /var/www/index.php\r\n" * 3000,
        "picture": b"\x89PNG\r\n\x1a\n" + random.Random(4).randbytes(150_000),
    }[junk]
    song = make("mp3", media)
    path = tmp_path / "song.mp3"
    path.write_bytes(before + song.read_bytes())
    result, frames = encode(path)
    assert result.source_codec == "mp3"
    assert result.frames == pytest.approx(encode(song)[0].frames, abs=3)
    assert strongest_frequency(decoded_packets(frames)) == pytest.approx(440, abs=2)


def test_chance_makes_no_mp3() -> None:
    noise = random.Random(5).randbytes(1_000_000)
    assert find_frames(noise) is None
    assert find_frames(b"\xff\xfb\x90\x00" * 1000) is None
    with pytest.raises(MediaUnsupported):
        encode(io.BytesIO(noise))
