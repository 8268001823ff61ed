from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import pytest
from av.packet import Packet

from audio_service.audio.base import ENCODER_DELAY, Encoded, EncodeOptions, Origin, WholeFileNeededError
from audio_service.audio.files import KEPT_BYTES
from audio_service.audio.opus import encode_dca
from audio_service.audio.packets import parse
from common.dca import DcaReader, scan
from common.errors import MediaCorrupt, MediaTooLong, MediaUnsupported, SourceTruncated
from tests.servers.media_damage import flipped, truncated
from tests.servers.media_files import make
from tests.unit.audio_service.audio.pcm import (
    Decoder,
    OnceOnly,
    decoded_file,
    decoded_packets,
    demuxed,
    encode,
    once_only,
    strongest_frequency,
)

LOW_SPEECH = {"application": "voip", "b": "12000"}


def ignore(_frames: int) -> None:
    pass


@pytest.mark.parametrize("kind", ["webm_opus", "ogg_opus", "mp4_opus", "fmp4_opus"])
@pytest.mark.parametrize("layout", ["stereo", "mono"])
@pytest.mark.parametrize("codec_options", [{}, {"vbr": "off"}, LOW_SPEECH])
def test_20_ms_packets_are_copied_byte_for_byte(
    kind: str, layout: str, codec_options: Mapping[str, str], media: Path
) -> None:
    path = make(kind, media, layout=layout, codec_options=codec_options)
    result, frames = encode(path)
    assert (result.mode, result.reason, result.source_codec) == ("passthrough", "opus 48k 20ms", "opus")
    assert frames == demuxed(path)
    assert encode(once_only(path)) == (result, frames)


@pytest.mark.parametrize("milliseconds", [10, 40, 60, 80, 100, 120])
@pytest.mark.parametrize(("seconds", "layout"), [(2.97, "stereo"), (3.0, "mono")])
@pytest.mark.parametrize("decoder", ["opus", "libopus"])
def test_other_packet_lengths_become_20_ms_and_decode_to_the_same_samples(
    milliseconds: int, seconds: float, layout: str, decoder: Decoder, media: Path
) -> None:
    options = {"frame_duration": str(milliseconds)}
    path = make("ogg_opus", media, seconds, sound="sweep", layout=layout, codec_options=options)
    channels = 1 if layout == "mono" else 2
    result, frames = encode(path)
    assert (result.mode, result.reason) == ("repacketised", f"opus {milliseconds}ms packets")
    assert {parse(frame).samples for frame in frames} == {960}
    before = decoded_packets(demuxed(path), channels=channels, decoder=decoder)
    after = decoded_packets(frames, channels=channels, decoder=decoder)
    # Whole frames of padding are left out; an odd number of 10 ms frames ends in 10 ms of concealment.
    assert len(frames) == -(-(round(seconds * 48_000) + ENCODER_DELAY) // 960)
    both = min(before.shape[1], after.shape[1])
    assert np.abs(before[:, :both] - after[:, :both]).max() == 0
    assert np.abs(before).max() > 0.1


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("m4a", {}, "codec aac"),
        ("m4a_faststart", {}, "codec aac"),
        ("fmp4", {}, "codec aac"),
        ("mp4_video", {}, "codec aac"),
        ("mp4_video_faststart", {}, "codec aac"),
        ("aac", {}, "codec aac"),
        ("mpegts", {}, "codec aac"),
        ("mp3", {}, "codec mp3"),
        ("flac", {}, "codec flac"),
        ("wav", {}, "codec pcm_s16le"),
        ("webm_vorbis", {}, "codec vorbis"),
        ("ogg_opus", {"gain": 256}, "opus gain 256"),
        ("webm_opus", {"gain": -1536}, "opus gain -1536"),
        ("ogg_opus", {"layout": "5.1"}, "channels 6"),
        ("ogg_opus", {"codec_options": {"mapping_family": "1"}}, "mapping family 1"),
        ("ogg_opus", {"codec_options": {"frame_duration": "2.5"}}, "opus 2.5ms frames"),
        ("webm_opus", {"codec_options": {"frame_duration": "5"}}, "opus 5ms frames"),
        ("ogg_opus", {"layout": "mono", "codec_options": {**LOW_SPEECH, "frame_duration": "60"}}, "opus 60ms frames"),
    ],
)
def test_what_cannot_be_copied_is_transcoded_and_sounds_the_same(
    kind: str, options: dict[str, Any], reason: str, media: Path
) -> None:
    path = make(kind, media, **options)
    result, frames = encode(path)
    assert (result.mode, result.reason) == ("transcoded", reason)
    # 3 s are 150 frames; the encoder's look-ahead and the source codec's padding may add some.
    assert 150 <= result.frames <= 153
    heard = decoded_packets(frames)
    assert heard.shape[0] == 2
    assert strongest_frequency(heard) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("kind", ["flac", "wav", "m4a"])
def test_a_transcode_stays_close_to_its_source(kind: str, media: Path) -> None:
    path = make(kind, media, rate=48_000)
    source = decoded_file(path)
    heard = decoded_packets(encode(path)[1])[:, 312:]
    length = min(source.shape[1], heard.shape[1]) - 960
    middle = slice(4800, length)
    difference = source[0, middle] - heard[0, middle]
    ratio = 10 * np.log10(np.mean(source[0, middle] ** 2) / np.mean(difference**2))
    assert ratio > 25


@pytest.mark.parametrize(("gain", "factor"), [(1536, 1.995), (-1536, 0.501)])
def test_output_gain_is_applied(gain: int, factor: float, media: Path) -> None:
    plain = decoded_packets(encode(make("ogg_opus", media), force_transcode=True)[1])
    louder = decoded_packets(encode(make("ogg_opus", media, gain=gain))[1])
    middle = slice(9600, 120_000)
    assert np.std(louder[0, middle]) / np.std(plain[0, middle]) == pytest.approx(factor, rel=0.03)


def test_more_than_two_channels_are_mixed_down(media: Path) -> None:
    heard = decoded_packets(encode(make("ogg_opus", media, layout="5.1"))[1])
    assert np.std(heard[0]) > 0.05
    assert np.std(heard[1]) > 0.05


@pytest.mark.parametrize("layout", ["mono", "3.0", "5.1", "7.1"])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_any_number_of_channels_becomes_two_at_the_same_level(kind: str, layout: str, media: Path) -> None:
    heard = decoded_packets(encode(make(kind, media, layout=layout))[1])
    # A sine of amplitude 8000/32768 has this standard deviation; mixing down keeps it within the pan law.
    assert np.std(heard[:, 4800:120_000], axis=1) == pytest.approx([0.1726] * 2, rel=0.03 if layout == "mono" else 0.7)


def test_copying_can_be_switched_off(media: Path) -> None:
    result, _ = encode(make("webm_opus", media), force_transcode=True)
    assert (result.mode, result.reason) == ("transcoded", "forced")


def test_equal_input_gives_equal_bytes(media: Path) -> None:
    path = make("m4a_faststart", media)
    first, second, in_order = encode(path)[0], encode(path)[0], encode(once_only(path))[0]
    assert first.sha256 == second.sha256 == in_order.sha256


def test_bitrate_and_complexity_are_the_options(media: Path) -> None:
    path = make("flac", media, sound="noise")
    small, large = encode(path, bitrate=32_000)[0], encode(path, bitrate=256_000)[0]
    assert small.size * 3 < large.size
    assert encode(path, complexity=0)[0].sha256 != encode(path, complexity=10)[0].sha256


def test_the_file_says_how_it_was_made(media: Path) -> None:
    out = io.BytesIO()
    origin = Origin(source="YouTube", url="https://example.org/x", title="Ñandú 🎵")
    with make("fmp4", media).open("rb") as file:
        result = encode_dca(file, out, origin=origin, options=EncodeOptions(), on_frames=ignore)
    assert result.sha256 == hashlib.sha256(out.getvalue()).hexdigest()
    out.seek(0)
    metadata = DcaReader(out).metadata
    assert metadata is not None
    assert (metadata.opus.abr, metadata.opus.channels, metadata.opus.frame_size) == (128_000, 2, 1920)
    assert (metadata.origin.source, metadata.origin.encoding, metadata.origin.url) == ("YouTube", "aac", origin.url)
    assert metadata.title == origin.title
    made = {"mode": "transcoded", "reason": "codec aac", "container": "mov", "length": "stated"}
    assert metadata.extra == made


def opus_stream(path: Path, *, packets: list[bytes], muxer: str = "ogg") -> Path:
    """Mux bare Opus packets, whatever their lengths, as one stereo stream."""
    with av.open(str(path), "w", format=muxer) as opened:
        container = cast("Any", opened)
        stream = container.add_stream("libopus", rate=48_000)
        stream.codec_context.layout = "stereo"
        container.start_encoding()
        clock = 0
        for body in packets:
            packet = cast("Any", Packet(body))
            packet.stream, packet.time_base = stream, stream.codec_context.time_base
            packet.pts = packet.dts = clock
            packet.duration = parse(body).samples
            clock += packet.duration
            container.mux(packet)
    return path


def mixed(media: Path, first: str, then: str, tmp_path: Path, seconds: float = 3) -> Path:
    parts = [
        demuxed(make("ogg_opus", media, seconds, codec_options={"frame_duration": each})) for each in (first, then)
    ]
    return opus_stream(tmp_path / f"{first}-{then}.ogg", packets=parts[0] + parts[1])


@pytest.mark.parametrize(
    ("first", "then", "way"),
    [
        ("20", "60", ("repacketised", "opus 60ms packets")),
        ("40", "20", ("repacketised", "opus 40ms packets")),
        ("20", "2.5", ("transcoded", "opus 2.5ms frames")),
        ("60", "5", ("transcoded", "opus 5ms frames")),
    ],
)
def test_a_stream_that_changes_midway_is_started_again(
    first: str, then: str, way: tuple[str, str], media: Path, tmp_path: Path
) -> None:
    path = mixed(media, first, then, tmp_path)
    result, frames = encode(path)
    assert (result.mode, result.reason) == way
    assert strongest_frequency(decoded_packets(frames)) == pytest.approx(440, abs=2)
    assert result.frames == pytest.approx(301, abs=4)


def test_starting_again_leaves_nothing_of_the_first_try(media: Path, tmp_path: Path) -> None:
    long = demuxed(make("ogg_opus", media, 10, sound="noise"))
    short = demuxed(make("ogg_opus", media, codec_options={"frame_duration": "5"}))
    path = opus_stream(tmp_path / "mixed.ogg", packets=long + short)
    result, _ = encode(path, bitrate=16_000)
    assert result.mode == "transcoded"
    assert result.size < sum(map(len, long)) / 2


def test_a_change_midway_in_a_download_asks_for_the_whole_file(media: Path, tmp_path: Path) -> None:
    path = mixed(media, "20", "2.5", tmp_path, 20)
    assert len(demuxed(path)) * 200 > KEPT_BYTES
    with pytest.raises(WholeFileNeededError, match="opus 2"):
        encode(once_only(path))


def test_a_change_at_the_start_of_a_download_does_not(media: Path, tmp_path: Path) -> None:
    result, _ = encode(once_only(mixed(media, "20", "2.5", tmp_path)))
    assert (result.mode, result.reason) == ("transcoded", "opus 2.5ms frames")


def test_a_lower_start_needs_no_second_look(media: Path, tmp_path: Path) -> None:
    result, _ = encode(once_only(mixed(media, "40", "20", tmp_path)))
    assert result.mode == "repacketised"


def test_headers_inside_the_stream_are_not_audio(media: Path, tmp_path: Path) -> None:
    audio = demuxed(make("ogg_opus", media))
    head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"
    # MP4, because its demuxer passes on whatever a sample holds.
    container = make("mp4_opus", media).read_bytes()
    # Two packets of the file are overwritten by headers, padded to the packets' own lengths.
    for victim, header in ((audio[10], head), (audio[11], b"OpusTags")):
        assert container.count(victim) == 1
        container = container.replace(victim, header.ljust(len(victim), b"\0"))
    path = tmp_path / "headers.mp4"
    path.write_bytes(container)
    assert encode(path)[1] == audio[:10] + audio[12:]


@pytest.mark.parametrize("start", [b"\xff\x00", b"\xfe\xff\xff", b"\xff\x02"])
def test_a_malformed_opus_packet_is_corrupt(start: bytes, media: Path, tmp_path: Path) -> None:
    """In MP4, whose demuxer does not look into packets (those of WebM and Ogg drop malformed ones)."""
    victim = demuxed(make("ogg_opus", media))[10]
    container = make("mp4_opus", media).read_bytes()
    assert container.count(victim) == 1
    path = tmp_path / "malformed.mp4"
    path.write_bytes(container.replace(victim, start.ljust(len(victim), b"\0")))
    with pytest.raises(MediaCorrupt, match="opus packet"):
        encode(path)


@pytest.mark.parametrize(("kind", "frames"), [("webm_opus", 200), ("ogg_opus", 200), ("m4a_faststart", 0), ("flac", 0)])
def test_too_much_audio_stops_the_work(kind: str, frames: int, media: Path) -> None:
    """At the limit where packets are copied, before the first frame where a stated length tells."""
    path = make(kind, media, 10)
    seen: list[int] = []
    with path.open("rb") as file, pytest.raises(MediaTooLong):
        encode_dca(
            file, io.BytesIO(), origin=Origin(), options=EncodeOptions(max_duration_ms=4000), on_frames=seen.append
        )
    assert max(seen, default=0) <= frames
    assert bool(seen) == bool(frames)
    assert encode(path, max_duration_ms=11_000)[0].frames >= 500


def test_a_bomb_of_silence_is_stopped_by_what_it_decodes_to(media: Path) -> None:
    path = make("flac", media, 120, sound="silence")
    assert path.stat().st_size < 60_000
    with pytest.raises(MediaTooLong):
        encode(path, max_duration_ms=5000)


def test_a_claimed_duration_alone_is_no_reason_to_refuse(media: Path, tmp_path: Path) -> None:
    """A WebM that claims 100 hours is judged by its packets: here, as cut short."""
    data = bytearray(make("webm_opus", media).read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = np.array(360_000_000.0, dtype=">f8").tobytes()
    path = tmp_path / "claims.webm"
    path.write_bytes(data)
    with pytest.raises(SourceTruncated, match=r"ends at \d+ ms of 360000000"):
        encode(path)


def test_the_limit_is_exact_to_the_frame_at_the_end(media: Path) -> None:
    path = make("ogg_opus", media)
    assert encode(path, max_duration_ms=151 * 20)[0].frames == 151
    with pytest.raises(MediaTooLong):
        encode(path, max_duration_ms=150 * 20)


@pytest.mark.parametrize("kind", ["webm_opus", "m4a", "m4a_faststart", "flac", "wav", "mp4_opus"])
def test_half_a_file_is_truncated(kind: str, media: Path) -> None:
    with pytest.raises((SourceTruncated, MediaCorrupt) if kind == "m4a" else SourceTruncated):
        encode(truncated(make(kind, media, 10), 0.5))


@pytest.mark.parametrize("kind", ["webm_opus", "ogg_opus", "m4a", "fmp4", "mp3", "flac", "wav", "mpegts", "aac"])
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_never_crash_the_reader(kind: str, seed: int, media: Path) -> None:
    damaged = flipped(make(kind, media), count=40, seed=seed)
    out = io.BytesIO()
    try:
        with damaged.open("rb") as file:
            encode_dca(file, out, origin=Origin(), options=EncodeOptions(), on_frames=ignore)
    except (MediaCorrupt, MediaUnsupported, MediaTooLong, SourceTruncated):
        return
    assert scan(io.BytesIO(out.getvalue())).damage is None


@pytest.mark.parametrize("kind", ["webm_opus", "m4a_faststart", "ogg_opus", "mp3"])
def test_a_header_without_any_audio_is_corrupt(kind: str, media: Path) -> None:
    whole = make(kind, media)
    first = whole.read_bytes().index(demuxed(whole)[0][:32])
    path = whole.with_name(f"header-{whole.name}")
    path.write_bytes(whole.read_bytes()[:first])
    with pytest.raises((MediaCorrupt, MediaUnsupported)):
        encode(path)


class StopError(Exception):
    pass


@pytest.mark.parametrize("kind", ["webm_opus", "mp3"])
def test_the_listener_may_abort(kind: str, media: Path) -> None:
    def stop(frames: int) -> None:
        if frames > 50:
            raise StopError

    with make(kind, media).open("rb") as file, pytest.raises(StopError):
        encode_dca(file, io.BytesIO(), origin=Origin(), options=EncodeOptions(), on_frames=stop)


def test_a_full_disk_is_told_as_it_was(media: Path) -> None:
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed below, in one with-statement
    file = make("webm_opus", media).open("rb")
    with full, file, pytest.raises(OSError, match="No space left"):
        encode_dca(file, full, origin=Origin(), options=EncodeOptions(), on_frames=ignore)


def test_progress_counts_up_to_the_whole(media: Path) -> None:
    seen: list[int] = []
    with make("ogg_opus", media).open("rb") as file:
        result = encode_dca(file, io.BytesIO(), origin=Origin(), options=EncodeOptions(), on_frames=seen.append)
    assert seen == [1, 51, 101, 151, 151]
    assert seen[-1] == result.frames


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["webm_opus", "fmp4", "fmp4_opus", "ogg_opus", "m4a_faststart", "mp3", "wav"])
def test_the_first_frame_is_out_before_the_source_has_ended(kind: str, media: Path) -> None:
    source = OnceOnly(make(kind, media, 60).read_bytes())
    out = io.BytesIO()
    out_early: list[bool] = []

    def note(frames: int) -> None:
        if frames == 1:
            out.seek(0)
            out_early.append(not source.at_end and next(iter(DcaReader(out)), None) is not None)

    encode_dca(cast("BinaryIO", source), out, origin=Origin(), options=EncodeOptions(), on_frames=note)
    assert out_early == [True]


@pytest.mark.parametrize("kind", ["webm_opus", "fmp4"])
def test_a_download_is_encoded_while_it_grows(kind: str, media: Path) -> None:
    """The second half is sent only after the first frame came out: anything that waits for the end never ends."""
    data = make(kind, media, 60).read_bytes()
    reading, writing = os.pipe()
    first_frame = threading.Event()
    results: list[Encoded] = []

    def send() -> None:
        with open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123 - a file descriptor has no path
            for start in range(0, len(data), 1000):
                if start > len(data) // 2:
                    assert first_frame.wait(60)
                pipe.write(data[start : start + 1000])

    sender = threading.Thread(target=send)
    sender.start()
    with open(reading, "rb", buffering=0) as pipe:  # noqa: PTH123 - as above
        result = encode_dca(
            cast("BinaryIO", pipe),
            io.BytesIO(),
            origin=Origin(),
            options=EncodeOptions(),
            on_frames=lambda _frames: first_frame.set(),
        )
    results.append(result)
    sender.join()
    assert result.frames >= 3000


def test_an_hour_is_copied(media: Path) -> None:
    result, _ = encode(make("webm_opus", media, 3600))
    assert (result.mode, result.frames) == ("passthrough", 180_000)
