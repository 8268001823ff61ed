"""Copied Opus streams end where their containers say that the sound ends, to the frame."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import av
import pytest

from audio_service.audio.lead_in import PRE_ROLL
from audio_service.audio.sink import MOST_PADDING_FRAMES, HeldBack
from tests.servers.media_files import make
from tests.unit.audio_service.audio.ogg_bytes import PRE_SKIP, opus_file
from tests.unit.audio_service.audio.pcm import OnceOnly, demuxed, encode
from tests.unit.audio_service.audio.webm import webm_bytes as webm

FRAME = 960


def packets_of(media: Path, milliseconds: int) -> list[bytes]:
    options = {"frame_duration": str(milliseconds)}
    return demuxed(make("ogg_opus", media, sound="sweep", codec_options=options))


def in_ogg(packets: Sequence[bytes], samples: int, trim: int, *, begins: int = 0, ended: bool = True) -> bytes:
    """Return the packets, of so many samples each, on pages of ten; `trim` samples of the last page are padding."""
    pages = [packets[at : at + 10] for at in range(0, len(packets), 10)]
    clock, made = begins, list[tuple[Sequence[bytes], int]]()
    for page in pages:
        clock += samples * len(page)
        made.append((page, clock))
    made[-1] = (made[-1][0], clock - trim)
    return opus_file(made, ended=ended)


def in_webm(packets: Sequence[bytes], milliseconds: int, trim: int) -> bytes:
    blocks = [webm.block(packet, milliseconds * number) for number, packet in enumerate(packets[:-1])]
    padding = webm.element(0x75A2, (trim * 10**9 // 48_000 + 1).to_bytes(5, "big"))
    last = webm.group(packets[-1], milliseconds * (len(packets) - 1), more=padding)
    return webm.header() + webm.segment(webm.info(), webm.tracks(webm.track()), webm.cluster(0, [*blocks, last]))


def frames_of(data: bytes) -> list[bytes]:
    """Return the frames of a file, which are the same when it is read while it comes."""
    result, frames = encode(io.BytesIO(data))
    again, same = encode(cast("BinaryIO", OnceOnly(data)))
    assert (result.mode, frames) == (again.mode, same)
    assert result.mode in {"passthrough", "repacketised"}
    return frames


@pytest.mark.parametrize(
    ("milliseconds", "trim", "left_out"),
    [
        (20, 0, 0),
        (20, 959, 0),
        (20, 960, 1),
        (20, 4 * 960 + 100, 4),
        (60, 959, 0),
        (60, 2160, 2),
        (60, 2879, 2),
        (60, 2880, 3),
        (10, 959, 0),
        (10, 960, 1),
    ],
)
def test_frames_of_padding_alone_are_left_out(milliseconds: int, trim: int, left_out: int, media: Path) -> None:
    packets = packets_of(media, milliseconds)[:100]
    whole = frames_of(in_ogg(packets, 48 * milliseconds, 0))
    for data in (
        in_ogg(packets, 48 * milliseconds, trim),
        in_ogg(packets, 48 * milliseconds, trim, begins=1_000_000),
        in_webm(packets, milliseconds, trim),
    ):
        assert frames_of(data) == whole[: len(whole) - left_out]


def test_the_half_frame_that_fills_the_last_packet_is_padding_as_well(media: Path) -> None:
    packets = packets_of(media, 10)[:91]
    assert len(frames_of(in_ogg(packets, 480, 0))) == 46
    assert len(frames_of(in_ogg(packets, 480, 479))) == 46
    assert len(frames_of(in_ogg(packets, 480, 480))) == 45


def test_without_an_end_page_nothing_is_left_out(media: Path) -> None:
    packets = packets_of(media, 20)[:100]
    assert frames_of(in_ogg(packets, FRAME, 5 * FRAME, ended=False)) == packets


def test_an_end_that_cannot_be_is_not_believed(media: Path) -> None:
    packets = packets_of(media, 20)[:100]
    assert frames_of(in_ogg(packets, FRAME, 90 * FRAME)) == packets
    assert frames_of(in_ogg(packets, FRAME, -90 * FRAME)) == packets


def test_a_stream_on_one_page_ends_where_it_says(media: Path) -> None:
    packets = packets_of(media, 20)[:8]
    assert frames_of(in_ogg(packets, FRAME, 3 * FRAME)) == packets[:5]


def test_every_link_ends_where_it_says(media: Path) -> None:
    packets = packets_of(media, 20)[:100]
    first, second = in_ogg(packets, FRAME, 2 * FRAME), in_ogg(packets, FRAME, 5 * FRAME + 10)
    assert frames_of(first + second) == [*packets[:98], *packets[:95]]


@pytest.mark.parametrize(("ends_ms", "frames"), [(2500, 126), (2980, 150), (1000, 51)])
def test_an_edit_list_of_an_mp4_ends_the_sound(ends_ms: int, frames: int, media: Path) -> None:
    path = make("mp4_opus", media, sound="sweep")
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    data[at : at + 4] = ends_ms.to_bytes(4, "big")
    # The encoder's delay is left in: so many samples, begun frames counted.
    assert frames == -(-(ends_ms * 48 + PRE_SKIP) // FRAME)
    assert frames_of(bytes(data)) == demuxed(path)[:frames]


def in_fragments(path: Path, start: int) -> bytes:
    """Return the sound of a file in fragments, behind an edit list that begins after `start` samples of it."""
    copy = path.with_name(f"fragments-{start}-{path.name}")
    options = {"movflags": "delay_moov+default_base_moof", "frag_duration": "500000"}
    with av.open(str(path)) as opened, av.open(str(copy), "w", format="mp4", options=options) as target:
        given = opened.streams.audio[0]
        stream = target.add_stream_from_template(given)  # pyright: ignore[reportUnknownMemberType] - open parameters
        for packet in opened.demux(given):
            if packet.size:
                packet.stream = stream
                target.mux(packet)  # pyright: ignore[reportUnknownMemberType] - as above
    data = bytearray(copy.read_bytes())
    assert data.count(b"moof") > 4
    begins = data.index(b"elst") + 16
    data[begins : begins + 4] = start.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(("start", "left_out"), [(PRE_SKIP, 0), (1272, 1), (48_312, 50), (65_535, 67)])
def test_an_edit_list_before_fragments_begins_the_sound(start: int, left_out: int, media: Path) -> None:
    path = make("mp4_opus", media, sound="sweep")
    frames, packets = frames_of(in_fragments(path, start)), demuxed(path)
    assert len(frames) == len(packets) - left_out
    assert frames[PRE_ROLL:] == packets[left_out + PRE_ROLL :]


def test_an_edit_list_before_fragments_begins_what_is_decoded(media: Path) -> None:
    data = in_fragments(make("m4a", media), 1024 + 48_000)
    for source in (io.BytesIO(data), cast("BinaryIO", OnceOnly(data))):
        result, frames = encode(source)
        assert result.mode == "transcoded"
        assert len(frames) in {101, 102}


@pytest.mark.parametrize("count", [0, 1, MOST_PADDING_FRAMES, MOST_PADDING_FRAMES + 1, 3 * MOST_PADDING_FRAMES])
@pytest.mark.parametrize("left_out", [0, 1, MOST_PADDING_FRAMES])
def test_held_back_frames_are_passed_on_in_order(count: int, left_out: int) -> None:
    out: list[bytes] = []
    held = HeldBack(out.append)
    frames = [bytes((number,)) for number in range(count)]
    for frame in frames:
        held.put(frame)
    held.finish(left_out * FRAME)
    assert out == frames[: max(0, count - left_out)]
