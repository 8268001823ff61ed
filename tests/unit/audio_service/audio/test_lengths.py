"""What a file says about its length, and what of it is there."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from audio_service.audio import opus
from audio_service.audio.mp3 import ID3_HEADER_BYTES, frame_header, id3_end
from audio_service.audio.stated_size import stated_size
from common.errors import MediaTooLong, MediaUnsupported, SourceTruncated
from tests.servers.media_damage import truncated
from tests.servers.media_files import make
from tests.unit.audio_service.audio.ogg_bytes import opus_file
from tests.unit.audio_service.audio.pcm import encode, once_only
from tests.unit.audio_service.audio.test_formats import written

LATE_SECONDS = 4.0
FIRST_FRAMES = range(150, 153)
"""3 s are 150 frames; the encoder's look-ahead and the source codec's padding may add some."""


@pytest.mark.parametrize("kind", ["webm_opus", "webm_vorbis", "m4a_faststart", "mp4_opus", "fmp4"])
def test_sound_that_begins_late_is_whole(kind: str, media: Path) -> None:
    path = make(kind, media, start=LATE_SECONDS)
    assert encode(path)[0].frames in FIRST_FRAMES
    assert encode(once_only(path))[0].frames in FIRST_FRAMES


@pytest.mark.parametrize("kind", ["webm_opus", "webm_vorbis", "m4a_faststart", "mp4_opus"])
@pytest.mark.parametrize("keep", [0.5, 0.93])
def test_sound_that_begins_late_and_breaks_off_is_truncated(kind: str, keep: float, media: Path) -> None:
    path = truncated(make(kind, media, 10, sound="noise", start=30.0), keep)
    with pytest.raises(SourceTruncated, match=r"ends at \d+ ms of "):
        encode(path)
    with pytest.raises(SourceTruncated, match=r"ends at \d+ ms of "):
        encode(once_only(path))


@pytest.mark.parametrize("kind", ["webm_opus", "m4a_faststart", "flac", "wav"])
@pytest.mark.parametrize(("keep", "whole"), [(0.95, False), (0.995, True)])
def test_two_in_a_hundred_may_be_missing(kind: str, keep: float, media: Path, *, whole: bool) -> None:
    path = truncated(make(kind, media, 20, sound="noise"), keep)
    if whole:
        assert encode(path)[0].states_length
        return
    with pytest.raises(SourceTruncated):
        encode(path)
    with pytest.raises(SourceTruncated):
        encode(once_only(path))


def test_what_follows_the_samples_of_a_wav_counts_as_there(media: Path, tmp_path: Path) -> None:
    """A chunk of tags that FFmpeg has no reason to read."""
    data = bytearray(make("wav", media, 1).read_bytes())
    tags = b"LIST" + (200_000).to_bytes(4, "little") + bytes(200_000)
    data[4:8] = (len(data) + len(tags) - 8).to_bytes(4, "little")
    path = tmp_path / "tags.wav"
    path.write_bytes(data + tags)
    assert encode(path)[0].frames == encode(once_only(path))[0].frames


@pytest.mark.parametrize("tag", [0, 300_000])
def test_an_mp3_that_states_more_than_there_is_breaks_off(tag: int, media: Path, tmp_path: Path) -> None:
    whole = make("mp3", media, 10).read_bytes()
    body = whole[id3_end(whole[:ID3_HEADER_BYTES]) :]
    if tag:
        size = bytes((tag >> shift & 0x7F) for shift in (21, 14, 7, 0))
        body = b"ID3\x04\0\0" + size + bytes(tag) + body
    path = tmp_path / "song.mp3"
    path.write_bytes(body)
    assert encode(path)[0].states_length
    assert encode(once_only(path))[0].states_length
    path = truncated(path, 0.5 if not tag else 0.85)
    with pytest.raises(SourceTruncated):
        encode(path)
    with pytest.raises(SourceTruncated):
        encode(once_only(path))


def test_an_mp3_that_states_nothing_is_read_to_its_end(media: Path, tmp_path: Path) -> None:
    whole = make("mp3", media, 10).read_bytes()
    start = id3_end(whole[:ID3_HEADER_BYTES])
    header = frame_header(whole, start)
    assert header is not None
    path = tmp_path / "bare.mp3"
    path.write_bytes(whole[start + header.size : len(whole) // 2])
    for source in (path, once_only(path)):
        made = encode(source)[0]
        assert not made.states_length
        assert made.frames == pytest.approx(250, abs=5)


@pytest.mark.parametrize(("muxer", "codec"), [("aiff", "pcm_s16be"), ("flv", "mp3"), ("tta", "tta")])
def test_half_of_what_states_its_length_is_told_as_that(muxer: str, codec: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"whole.{muxer}", muxer, codec, 44_100, "stereo")
    assert encode(path)[0].states_length
    assert encode(once_only(path))[0].states_length
    half = truncated(path, 0.5)
    with pytest.raises(SourceTruncated):
        encode(half)
    with pytest.raises(SourceTruncated):
        encode(once_only(half))


SIZED = [
    ("w64", "pcm_s16le"),
    ("caf", "pcm_s16le"),
    ("caf", "adpcm_ima_qt"),
    ("asf", "wmav2"),
    ("avi", "mp3"),
    ("avi", "pcm_s16le"),
]


@pytest.mark.parametrize(("muxer", "codec"), SIZED)
def test_half_of_what_states_its_size_is_told_as_that(muxer: str, codec: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"whole.{muxer}", muxer, codec, 44_100, "stereo")
    assert encode(path)[0].states_length
    half = truncated(path, 0.5)
    with pytest.raises(SourceTruncated, match=f"ends at {half.stat().st_size} bytes of "):
        encode(half)
    with pytest.raises(SourceTruncated):
        encode(once_only(half))


def test_a_file_whose_tables_are_cut_off_with_its_end_is_truncated(tmp_path: Path) -> None:
    """FFmpeg cannot open a CAF of ALAC without the table behind the sound."""
    half = truncated(written(tmp_path / "whole.caf", "caf", "alac", 44_100, "stereo"), 0.5)
    with pytest.raises(SourceTruncated, match="ends at"):
        encode(half)


def rf64(seconds: int, *, keep: float = 1.0) -> bytes:
    """Return a WAV with its sizes in a ds64 chunk, as of recordings over 4 GB; `keep`: the share that is there."""
    data = bytes(seconds * 16_000)
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 16_000, 2, 16)
    size = 4 + 36 + len(form) + 8 + len(data)
    sizes = b"ds64" + struct.pack("<IQQQI", 28, size, len(data), len(data) // 2, 0)
    whole = b"RF64\xff\xff\xff\xffWAVE" + sizes + form + b"data\xff\xff\xff\xff" + data
    return whole[: int(len(whole) * keep)]


def test_a_wav_of_64_bits_states_its_size() -> None:
    assert encode(io.BytesIO(rf64(3)))[0].states_length
    with pytest.raises(SourceTruncated):
        encode(io.BytesIO(rf64(3, keep=0.5)))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"RIFF",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"RIFF\x24\xf0\xff\x7fWAVE",  # SoX into a pipe
        b"RIFF\x24\x00\x00\x80WAVE",  # arecord into a pipe
        b"RF64\xff\xff\xff\xffWAVEfmt ",
        b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + b"\xff" * 8,
        b"caff\x00\x01\x00\x00data" + b"\xff" * 8,
        b"caff\x00\x01\x00\x00desc\x00\x00\x00\x00\x00\x01",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(80),
    ],
)
def test_what_was_written_without_an_end_states_no_size(head: bytes) -> None:
    assert stated_size(head) is None


@pytest.mark.parametrize("kind", ["aac", "mpegts"])
def test_what_states_no_length_says_so(kind: str, media: Path) -> None:
    assert not encode(make(kind, media))[0].states_length


def one_hertz(seconds: int) -> bytes:
    """Return a WAV of a sample a second."""
    data = b"\x80" * seconds
    sound = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 1, 1, 1, 8) + b"data" + struct.pack("<I", seconds) + data
    return b"RIFF" + struct.pack("<I", 4 + len(sound)) + b"WAVE" + sound


def silence_without_end(minutes: int) -> bytes:
    """Return an Ogg without an end page, of DTX packets: one byte for 60 ms, in a mode that has to be decoded."""
    packets = [b"\x18"] * 250
    return opus_file(((packets, 2880 * 250 * (number + 1)) for number in range(minutes * 4)), ended=False)


@pytest.mark.parametrize("as_download", [False, True])
def test_bytes_that_are_too_few_for_any_sound_are_given_up_soon(
    *, as_download: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opus, "_FRAMES_PER_LOOK", 500)
    path = tmp_path / "dtx.opus"
    path.write_bytes(silence_without_end(1))
    with pytest.raises(MediaUnsupported, match=r"\d{3} bytes for 10 s"):
        encode(once_only(path) if as_download else path, complexity=0)


def test_a_long_silence_is_taken(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "_FRAMES_PER_LOOK", 500)
    made = encode(once_only(make("aac", media, 15, sound="silence")), complexity=0)[0]
    assert (made.states_length, made.frames) == (False, pytest.approx(750, abs=10))


@pytest.mark.parametrize("as_download", [False, True])
def test_what_states_that_it_is_too_long_is_not_encoded(*, as_download: bool, tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    path.write_bytes(one_hertz(20_000))
    with pytest.raises(MediaTooLong, match="states 20000000 ms"):
        encode(once_only(path) if as_download else path, complexity=0)
