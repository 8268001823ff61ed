from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_service.audio.ogg import dca_to_ogg
from tests.servers.media_damage import ogg_crc
from tests.servers.media_files import make
from tests.unit.audio_service.audio.pcm import decoded_file, decoded_packets, encode


def pages(stream: bytes) -> Iterator[tuple[int, int, list[int], bytes]]:
    """Yield (flags, granule position, lacing values, body), checking what every page must have (RFC 3533 §6)."""
    position = sequence = 0
    while position < len(stream):
        capture, version, flags, granule, serial, number, crc, count = struct.unpack_from(
            "<4sBBqIIIB", stream, position
        )
        lacing = list(stream[position + 27 : position + 27 + count])
        end = position + 27 + count + sum(lacing)
        page = stream[position:end]
        assert (capture, version, serial, number) == (b"OggS", 0, 7, sequence)
        assert ogg_crc(page[:22] + bytes(4) + page[26:]) == crc
        yield flags, granule, lacing, page[27 + count :]
        position, sequence = end, sequence + 1


def packets_in(stream: bytes) -> list[bytes]:
    packets = [b""]
    for _, _, lacing, body in pages(stream):
        at = 0
        for value in lacing:
            packets[-1] += body[at : at + value]
            at += value
            if value < 255:
                packets.append(b"")
    assert packets.pop() == b""
    return packets


@given(
    frames=st.lists(
        st.one_of(st.binary(min_size=1, max_size=600), st.sampled_from([b"x" * 255, b"y" * 510])), max_size=130
    )
)
def test_every_packet_goes_through_unchanged(frames: list[bytes]) -> None:
    stream = b"".join(dca_to_ogg(iter(frames), serial=7))
    assert packets_in(stream)[2:] == frames
    found = list(pages(stream))
    assert [flags for flags, *_ in found] == [2, *[0] * (len(found) - 2), 4]
    assert found[-1][1] == len(frames) * 960


def test_audio_pages_hold_at_most_a_second_and_count_samples() -> None:
    found = list(pages(b"".join(dca_to_ogg([b"x" * 100] * 120, serial=7))))[2:]
    assert [granule for _, granule, _, _ in found] == [48_000, 96_000, 115_200]


def test_large_packets_share_pages_only_as_far_as_they_fit() -> None:
    frames = [b"z" * 32_767, b"y" * 1275, b"x" * 32_767, b"w" * 32_767]
    assert packets_in(b"".join(dca_to_ogg(frames, serial=7)))[2:] == frames


@pytest.mark.parametrize("layout", ["stereo", "mono"])
def test_players_hear_what_the_packets_hold(layout: str, media: Path) -> None:
    channels = 1 if layout == "mono" else 2
    _, frames = encode(make("webm_opus", media, sound="sweep", layout=layout))
    stream = io.BytesIO(b"".join(dca_to_ogg(frames, channels=channels, title="t")))
    heard = decoded_file(stream)
    expected = decoded_packets(frames, channels=channels)[:, 312:]
    assert heard.shape == expected.shape
    assert np.abs(heard - expected).max() == 0


def test_the_stream_tells_title_and_length(media: Path) -> None:
    _, frames = encode(make("ogg_opus", media))
    title = "ñandú 🎵 = \n\0 שלום"
    with av.open(io.BytesIO(b"".join(dca_to_ogg(frames, title=title))), "r") as container:
        stream = container.streams.audio[0]
        assert container.format.name == "ogg"
        assert stream.metadata["TITLE"] == title.partition("\0")[0]
        assert stream.duration == 151 * 960
        assert stream.codec_context.extradata == b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"


@pytest.mark.parametrize("title", ["", "x" * 100_000, "\ud800 alone"])
def test_odd_titles_make_sound_streams(title: str, media: Path) -> None:
    _, frames = encode(make("ogg_opus", media))
    assert packets_in(b"".join(dca_to_ogg(frames, title=title, serial=7)))[2:] == frames


def test_pages_come_while_frames_still_arrive() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 300

    stream = dca_to_ogg(endless())
    for _ in range(2 + 3):
        next(stream)
    assert taken == 3 * 50 + 1


def test_a_source_that_breaks_leaves_no_end_of_stream() -> None:
    def breaking() -> Iterator[bytes]:
        yield from [b"x"] * 60
        raise OSError("gone")

    got: list[bytes] = []
    with pytest.raises(OSError, match="gone"):
        got.extend(dca_to_ogg(breaking(), serial=7))
    assert [flags for flags, *_ in pages(b"".join(got))] == [2, 0, 0]


def test_wrapping_needs_no_ffmpeg() -> None:
    """The API's process serves these pages; it must not load the decoders of untrusted media."""
    code = "import sys, audio_service.audio.ogg; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
