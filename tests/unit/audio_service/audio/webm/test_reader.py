from __future__ import annotations

import io
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_service.audio import opus
from audio_service.audio.base import Encoded, EncodeOptions, Origin, WholeFileNeededError
from audio_service.audio.files import KEPT_BYTES
from audio_service.audio.webm.ebml import NotPlainError
from audio_service.audio.webm.reader import WebmAudio
from common.errors import MediaCorrupt, MediaTooLong, MediaUnsupported, SourceTruncated
from tests.servers.media_damage import truncated
from tests.servers.media_files import RECIPES, make
from tests.unit.audio_service.audio.pcm import OnceOnly, demuxed
from tests.unit.audio_service.audio.webm import webm_bytes as webm

Outcome = tuple[Encoded, bytes] | tuple[type[Exception], str]

SIMPLE_BLOCK = 0xA3
WAYS: list[tuple[dict[str, str], str]] = [
    ({}, "stereo"),
    ({}, "mono"),
    ({"vbr": "off"}, "stereo"),
    ({"application": "voip", "b": "12000"}, "mono"),
    ({"frame_duration": "10"}, "stereo"),
    ({"frame_duration": "60"}, "stereo"),
    ({"frame_duration": "120"}, "mono"),
]
# One frame of 20 ms, CELT, stereo, of any content.
PACKETS = [b"\xfc" + bytes((index, 255 - index)) * 60 for index in range(100)]


class ByFfmpeg:
    """In the place of the reader under test: sends every file to FFmpeg."""

    def __init__(self, _file: BinaryIO) -> None:
        raise NotPlainError("for comparison")


class InChunks(OnceOnly):
    """A download that arrives in pieces of these sizes, again and again."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self._sizes = sizes
        self._turn = 0

    def read(self, size: int = -1, /) -> bytes:
        self._turn += 1
        return super().read(min(size, self._sizes[self._turn % len(self._sizes)]))


def outcome(file: BinaryIO) -> Outcome:
    """Say what becomes of a file: the result with every byte of it, or the error with its words."""
    out = io.BytesIO()
    options = EncodeOptions(max_duration_ms=60_000)
    try:
        result = opus.encode_dca(file, out, origin=Origin(), options=options, on_frames=lambda _frames: None)
    except (MediaCorrupt, MediaUnsupported, MediaTooLong, SourceTruncated, WholeFileNeededError) as exc:
        return type(exc), str(exc)
    return result, out.getvalue()


def by_ffmpeg(file: BinaryIO) -> Outcome:
    with mock.patch.object(opus, "WebmAudio", ByFfmpeg):
        return outcome(file)


def plain_packets(data: bytes) -> list[bytes]:
    return list(WebmAudio(io.BytesIO(data)).packets())


def in_order(data: bytes) -> BinaryIO:
    return cast("BinaryIO", OnceOnly(data))


@pytest.mark.parametrize(("codec_options", "layout"), WAYS)
def test_packets_and_files_are_those_of_ffmpeg(codec_options: Mapping[str, str], layout: str, media: Path) -> None:
    path = make("webm_opus", media, layout=layout, codec_options=codec_options)
    data = path.read_bytes()
    assert plain_packets(data) == demuxed(path)
    assert outcome(io.BytesIO(data)) == outcome(in_order(data)) == by_ffmpeg(io.BytesIO(data))


@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20), which=st.sampled_from(WAYS))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_how_a_download_is_cut_makes_no_difference(
    sizes: list[int], which: tuple[dict[str, str], str], media: Path
) -> None:
    path = make("webm_opus", media, layout=which[1], codec_options=which[0])
    source = cast("BinaryIO", InChunks(path.read_bytes(), sizes))
    assert list(WebmAudio(source).packets()) == demuxed(path)


@pytest.mark.parametrize("kind", sorted(set(RECIPES) - {"hls", "webm_opus"}))
def test_every_other_kind_is_left_to_ffmpeg(kind: str, media: Path) -> None:
    with make(kind, media).open("rb") as file, pytest.raises(NotPlainError):
        WebmAudio(file)


@pytest.mark.parametrize("options", [{"gain": 256}, {"layout": "5.1"}, {"codec_options": {"mapping_family": "1"}}])
def test_opus_that_must_be_decoded_is_left_to_ffmpeg(options: dict[str, object], media: Path) -> None:
    path = make("webm_opus", media, **options)  # pyright: ignore[reportArgumentType] - the keys are make's
    with path.open("rb") as file, pytest.raises(NotPlainError):
        WebmAudio(file)


def damaged(whole: bytes, seed: int) -> Iterator[bytes]:
    """Yield copies that are cut, and with flipped bits in the header, in block headers, at the end, anywhere."""
    chooser = random.Random(seed)
    blocks = [at for at in range(300, len(whole) - 4) if whole[at] == SIMPLE_BLOCK and whole[at + 3] == 0x81]
    block = chooser.choice(blocks)
    yield whole[: chooser.randrange(len(whole))]
    for low, high in ((0, 700), (block, block + 9), (len(whole) - 200, len(whole)), (0, len(whole))):
        data = bytearray(whole)
        for _ in range(chooser.choice((1, 1, 5))):
            data[chooser.randrange(low, high)] ^= 1 << chooser.randrange(8)
        yield bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_damage_has_the_outcome_it_has_with_ffmpeg(seed: int, media: Path) -> None:
    codec_options, layout = WAYS[seed % len(WAYS)]
    whole = make("webm_opus", media, 7, layout=layout, codec_options=codec_options).read_bytes()
    for data in damaged(whole, seed):
        assert outcome(io.BytesIO(data)) == by_ffmpeg(io.BytesIO(data))
        # What FFmpeg makes of a damaged header depends on whether it can seek.
        assert outcome(in_order(data)) == by_ffmpeg(in_order(data))


def test_half_a_file_is_truncated_in_the_same_words(media: Path) -> None:
    data = truncated(make("webm_opus", media, 10), 0.5).read_bytes()
    failed, words = by_ffmpeg(io.BytesIO(data))
    assert failed is SourceTruncated
    assert "ms of 10008" in str(words)
    assert plain_packets(data)
    assert outcome(in_order(data)) == (failed, words)


def test_late_damage_in_a_long_download_asks_for_the_whole_file(media: Path) -> None:
    path = make("webm_opus", media, 40)
    data = bytearray(path.read_bytes())
    late = data.index(demuxed(path)[-100])
    assert late > KEPT_BYTES
    assert data[late - 7] == SIMPLE_BLOCK
    data[late - 7] ^= 1
    with pytest.raises(NotPlainError):
        plain_packets(bytes(data))
    assert outcome(in_order(bytes(data)))[0] is WholeFileNeededError
    found = outcome(io.BytesIO(bytes(data)))
    assert found == by_ffmpeg(io.BytesIO(bytes(data)))
    assert isinstance(found[0], Encoded)


def plain(*parts: bytes, unknown: bool = False, before: bytes = b"", doc_type: bytes = b"webm") -> bytes:
    """Return a file of one Opus track."""
    return webm.header(doc_type) + webm.segment(before, webm.info(), webm.tracks(webm.track()), *parts, unknown=unknown)


def blocks(start: int = 0, count: int = 20, **options: int) -> list[bytes]:
    return [webm.block(PACKETS[start + index], index * 20, **options) for index in range(count)]


VOID, CUES, TAGS = webm.element(0xEC, bytes(200)), webm.element(0x1C53BB6B, bytes(50)), webm.element(0x1254C367, b"")
FILM = webm.track(2, kind=1, codec=b"V_VP9", private=b"")
PICTURES = [webm.block(bytes(100_000), 0, number_=2), webm.group(bytes(900), 20, number_=2)]

PLAIN: dict[str, bytes] = {
    "two clusters": plain(webm.cluster(0, blocks()), webm.cluster(400, blocks(20))),
    "matroska": plain(webm.cluster(0, blocks(count=40)), doc_type=b"matroska"),
    "clusters of unknown size": plain(
        webm.cluster(0, blocks(), unknown=True), webm.cluster(400, blocks(20), unknown=True), CUES
    ),
    "a segment of unknown size": plain(webm.cluster(0, blocks()), webm.cluster(400, blocks(20)), unknown=True),
    "everything of unknown size": plain(
        webm.cluster(0, blocks(), unknown=True), webm.cluster(400, blocks(20), unknown=True), unknown=True
    ),
    "long sizes": plain(webm.cluster(0, blocks(size_bytes=8)), webm.cluster(400, blocks(20, size_bytes=4))),
    "short sizes": plain(webm.cluster(0, [webm.block(PACKETS[0][:2] + bytes((index,))) for index in range(40)])),
    "groups": plain(webm.cluster(0, [webm.group(PACKETS[index], index * 20) for index in range(40)])),
    "voids and a checksum": plain(
        webm.cluster(0, [VOID, *blocks(), webm.element(0xBF, b"abcd"), VOID, *blocks(20)]), VOID, TAGS, before=VOID
    ),
    "cues in front": plain(webm.cluster(0, blocks(count=40)), before=CUES + TAGS),
    "a film": webm.header()
    + webm.segment(
        webm.info(),
        webm.tracks(FILM, webm.track()),
        webm.cluster(0, [*PICTURES, *blocks(), *PICTURES, *blocks(20)]),
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_files_of_every_make_give_the_packets_that_ffmpeg_gives(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.webm"
    path.write_bytes(PLAIN[name])
    packets = plain_packets(PLAIN[name])
    assert len(packets) == 40
    assert packets == demuxed(path)
    assert list(WebmAudio(cast("BinaryIO", InChunks(PLAIN[name], [1]))).packets()) == packets
    assert outcome(in_order(PLAIN[name])) == by_ffmpeg(io.BytesIO(PLAIN[name]))


def one_track(entry: bytes) -> bytes:
    return webm.header() + webm.segment(webm.info(), webm.tracks(entry), webm.cluster(0, blocks()))


LACED = webm.block(b"\x01" + PACKETS[0] + PACKETS[1], 0, flags=0x84)
NOT_PLAIN: dict[str, bytes] = {
    "nothing": b"",
    "another document type": plain(webm.cluster(0, blocks()), doc_type=b"other"),
    "lacing": plain(webm.cluster(0, [*blocks(), LACED])),
    "lacing in a group": plain(webm.cluster(0, [webm.element(0xA0, LACED.replace(b"\xa3", b"\xa1", 1))])),
    "content encodings": one_track(webm.track(more=webm.element(0x6D80, webm.element(0x6240, b"")))),
    "a track clock of its own": one_track(webm.track(more=webm.element(0x23314F, b"\x3f\x80\0\0"))),
    "an operation on tracks": one_track(webm.track(more=webm.element(0xE2, b""))),
    "an OpusHead that differs from the track": one_track(webm.track(channels=1)),
    "no OpusHead": one_track(webm.track(private=b"")),
    "another codec": one_track(webm.track(codec=b"A_VORBIS")),
    "no audio": one_track(webm.track(kind=1, codec=b"V_VP9")),
    "no tracks": webm.header() + webm.segment(webm.info(), webm.cluster(0, blocks())),
    "a block before the clock": plain(webm.element(0x1F43B675, b"".join(blocks()) + webm.number(0xE7, 0))),
    "a block of no track": plain(webm.cluster(0, [*blocks(), webm.block(PACKETS[0], number_=5)])),
    "an encrypted block": plain(webm.cluster(0, [webm.element(0xAF, PACKETS[0])])),
    "an empty block": plain(webm.cluster(0, [*blocks(), webm.block(b"")])),
    "an unknown element": plain(webm.cluster(0, [webm.element(0x7777, b"abc"), *blocks()])),
    "tracks twice": plain(webm.tracks(webm.track()), webm.cluster(0, blocks())),
    "more after the segment": plain(webm.cluster(0, blocks())) + VOID,
    "no cluster": plain(),
    "a block that is larger than its cluster": plain(
        webm.cluster(0, [*blocks(), b"\xa3\x50\x00\x81\0\0\x80" + b"a" * 9])
    ),
    "a block of unknown size": plain(webm.cluster(0, [*blocks(), b"\xa3\x7f\xff\x81\0\0\x80" + bytes(16_379)])),
    "a huge block": plain(
        webm.cluster(0, [*blocks(), b"\xa3\x01\x00\x00\x7f\xff\xff\xff\xff\x81"], unknown=True), unknown=True
    ),
    "huge tracks": webm.header() + b"\x18\x53\x80\x67" + webm.UNKNOWN_SIZE + b"\x16\x54\xae\x6b\x08\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_is_handed_over_from_its_first_byte(name: str) -> None:
    with pytest.raises(NotPlainError):
        plain_packets(NOT_PLAIN[name])
    data = NOT_PLAIN[name]
    assert outcome(in_order(data)) == outcome(io.BytesIO(data)) == by_ffmpeg(io.BytesIO(data))


class Endless(io.RawIOBase):
    """Gives zeros after its start, and counts what it gave."""

    def __init__(self, start: bytes) -> None:
        super().__init__()
        self._start = io.BytesIO(start)
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._start.read(size) or bytes(size)
        self.given += len(data)
        return data


@pytest.mark.parametrize("size", [1 << 20, 1 << 32, 1 << 55])
@pytest.mark.parametrize("kind", [0x1549A966, 0x1654AE6B, 0xA3, 0xA0])
def test_a_huge_declared_size_takes_no_memory_and_no_reading(kind: int, size: int) -> None:
    huge = kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (1 << 56 | size).to_bytes(8, "big") + b"\x81\0\0\x80"
    inside = webm.element(0x1F43B675, webm.number(0xE7, 0) + huge, unknown=True) if kind in {0xA3, 0xA0} else huge
    head = webm.info() + webm.tracks(webm.track()) if inside is not huge else b""
    source = Endless(webm.header() + webm.segment(head + inside, unknown=True))
    with pytest.raises(NotPlainError):
        list(WebmAudio(cast("BinaryIO", source)).packets())
    assert source.given < 300_000


def test_what_is_passed_over_is_not_kept() -> None:
    attachment = webm.element(0x1941A469, bytes(30_000_000))
    data = plain(attachment, webm.cluster(0, blocks()))
    tracemalloc.start()
    try:
        assert len(list(WebmAudio(cast("BinaryIO", OnceOnly(data))).packets())) == 20
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("duration_ms", [1900.0, 2500.0])
def test_a_gap_in_the_clock_counts_as_played(duration_ms: float) -> None:
    parts = (webm.tracks(webm.track()), webm.cluster(0, blocks()), webm.cluster(1500, blocks(20)))
    data = webm.header() + webm.segment(webm.info(duration_ms), *parts)
    found = outcome(io.BytesIO(data))
    assert (found[0] is SourceTruncated) == (duration_ms > 2000)
    assert isinstance(by_ffmpeg(io.BytesIO(data))[0], Encoded) == isinstance(found[0], Encoded)


def test_the_duration_of_a_film_says_nothing_about_its_sound() -> None:
    data = webm.header() + webm.segment(
        webm.info(60_000.0), webm.tracks(webm.track(), FILM), webm.cluster(0, [*blocks(), *PICTURES])
    )
    assert outcome(io.BytesIO(data)) == by_ffmpeg(io.BytesIO(data))
    assert isinstance(outcome(io.BytesIO(data))[0], Encoded)


@pytest.mark.parametrize("frame_ms", ["20", "60"])
def test_ffmpeg_is_not_loaded_to_copy_a_song(frame_ms: str, media: Path, tmp_path: Path) -> None:
    path = make("webm_opus", media, codec_options={"frame_duration": frame_ms})
    script = (
        "import sys\n"
        "from audio_service.audio.base import EncodeOptions, Origin\n"
        "from audio_service.audio.opus import encode_dca\n"
        "with open(sys.argv[1], 'rb') as source, open(sys.argv[2], 'wb') as out:\n"
        "    encode_dca(source, out, origin=Origin(), options=EncodeOptions(), on_frames=lambda frames: None)\n"
        "print('av' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "out.dca")]
    root = Path(opus.__file__).parents[2]
    done = subprocess.run(command, check=True, capture_output=True, cwd=root, text=True)
    assert done.stdout == "False\n"
