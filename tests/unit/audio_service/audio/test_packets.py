from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_service.audio.base import FRAME_SAMPLES
from audio_service.audio.packets import (
    FRAME_SAMPLES_OF_TOC,
    WHOLE_FRAME_TOCS,
    NotCopyableError,
    PacketError,
    Repacketiser,
    build,
    parse,
)

CELT_20, CELT_10, CELT_5, CELT_2_5 = 31 << 3, 30 << 3, 29 << 3, 28 << 3
SILK_10, SILK_20, SILK_40, SILK_60 = 0 << 3, 1 << 3, 2 << 3, 3 << 3
STEREO = 4
# Lengths on both sides of 252, where they take a second byte, matter more than contents.
FRAMES = st.one_of(st.binary(max_size=20), st.integers(0, 1275).map(lambda size: bytes([size % 251]) * size))


def code3(kind: int, frames: list[bytes], *, varied: bool, padding: int | None = None) -> bytes:
    """Build a code 3 packet the long way, as an encoder with padding would (RFC 6716 §3.2.5)."""
    body = bytearray([kind | 3, len(frames) | (0x80 if varied else 0) | (0 if padding is None else 0x40)])
    if padding is not None:
        body += b"\xff" * (padding // 254) + bytes([padding % 254])
    if varied:
        for frame in frames[:-1]:
            size = len(frame)
            body += bytes([size]) if size < 252 else bytes([252 + size % 4, (size - 252 - size % 4) // 4])
    return bytes(body) + b"".join(frames) + bytes(padding or 0)


def pushed(*packets: bytes) -> list[bytes]:
    repacketiser = Repacketiser()
    return [out for packet in packets for out in repacketiser.push(packet)] + repacketiser.finish()


def coded_frames(packets: list[bytes]) -> list[bytes]:
    return [frame for packet in packets for frame in parse(packet).frames]


@pytest.mark.parametrize(
    ("config", "milliseconds"),
    [
        (0, 10),
        (1, 20),
        (2, 40),
        (3, 60),
        (11, 60),
        (12, 10),
        (13, 20),
        (15, 20),
        (16, 2.5),
        (17, 5),
        (30, 10),
        (31, 20),
    ],
)
def test_frame_sizes_are_the_rfcs(config: int, milliseconds: float) -> None:
    assert {FRAME_SAMPLES_OF_TOC[config << 3 | low] for low in range(8)} == {milliseconds * 48}


def test_one_look_tells_single_frames_of_20_ms() -> None:
    assert {toc >> 3 for toc in WHOLE_FRAME_TOCS} == {1, 5, 9, 13, 15, 19, 23, 27, 31}
    assert all(toc & 3 == 0 for toc in WHOLE_FRAME_TOCS)
    assert len(WHOLE_FRAME_TOCS) == 18


@given(frame=FRAMES, kind=st.sampled_from([CELT_20, SILK_60 | STEREO]))
def test_one_frame_is_taken_as_it_is(frame: bytes, kind: int) -> None:
    assert list(parse(bytes([kind]) + frame).frames) == [frame]


@given(frames=st.lists(FRAMES, min_size=2, max_size=2), kind=st.sampled_from([CELT_10, SILK_20 | STEREO]))
def test_two_frames_share_a_packet_and_come_back(frames: list[bytes], kind: int) -> None:
    parsed = parse(build(kind, frames))
    assert list(parsed.frames) == frames
    assert parsed.kind == kind
    assert parsed.stereo == bool(kind & STEREO)


@given(
    frames=st.lists(FRAMES, min_size=1, max_size=6),
    padding=st.one_of(st.none(), st.integers(0, 1200)),
)
def test_counted_frames_of_any_length_are_found(frames: list[bytes], padding: int | None) -> None:
    assert list(parse(code3(CELT_20, frames, varied=True, padding=padding)).frames) == frames


@given(frame=FRAMES, count=st.integers(1, 6), padding=st.one_of(st.none(), st.integers(0, 1200)))
def test_counted_frames_of_one_length_are_found(frame: bytes, count: int, padding: int | None) -> None:
    assert list(parse(code3(CELT_20, [frame] * count, varied=False, padding=padding)).frames) == [frame] * count


@given(frames=st.lists(FRAMES, min_size=2, max_size=6), stereo=st.sampled_from([0, STEREO]))
def test_packets_of_several_20_ms_frames_are_split(frames: list[bytes], stereo: int) -> None:
    out = pushed(code3(CELT_20 | stereo, frames, varied=True))
    assert out == [bytes([CELT_20 | stereo]) + frame for frame in frames]


@given(frames=st.lists(FRAMES, min_size=1, max_size=9), kind=st.sampled_from([CELT_10, SILK_10 | STEREO]))
def test_10_ms_packets_are_joined_in_pairs(frames: list[bytes], kind: int) -> None:
    out = pushed(*[bytes([kind]) + frame for frame in frames])
    assert all(parse(packet).samples == FRAME_SAMPLES for packet in out)
    assert {parse(packet).kind for packet in out} == {kind}
    # An odd one is filled up with an empty frame: no audio is lost, 10 ms are concealed.
    assert coded_frames(out) == frames + [b""] * (len(frames) % 2)


@given(data=st.data())
def test_packets_of_several_10_ms_frames_keep_every_frame_in_order(data: st.DataObject) -> None:
    packets = data.draw(st.lists(st.lists(FRAMES, min_size=1, max_size=12), min_size=1, max_size=4))
    out = pushed(*[code3(CELT_10, frames, varied=True) for frames in packets])
    total = [frame for frames in packets for frame in frames]
    assert coded_frames(out) == total + [b""] * (len(total) % 2)


@pytest.mark.parametrize(
    "packet",
    [
        bytes([CELT_20]) + b"x" * 50,
        bytes([CELT_20]),
        code3(CELT_20, [b"x"], varied=False, padding=3),
        code3(CELT_10, [b"ab", b"c"], varied=True),
        code3(CELT_5, [b"ab"] * 4, varied=False),
        code3(CELT_2_5, [b"ab"] * 8, varied=False, padding=0),
    ],
)
def test_a_packet_that_lasts_20_ms_is_not_touched(packet: bytes) -> None:
    assert pushed(packet) == [packet]


@pytest.mark.parametrize(
    ("packets", "reason"),
    [
        ([bytes([SILK_40]) + b"x"], "opus 40ms frames"),
        ([bytes([SILK_60 | STEREO]) + b"x"], "opus 60ms frames"),
        ([code3(SILK_40, [b"x", b"y"], varied=False)], "opus 40ms frames"),
        ([bytes([CELT_5]) + b"x"], "opus 5ms frames"),
        ([bytes([CELT_2_5]) + b"x"], "opus 2.5ms frames"),
        ([bytes([CELT_10]) + b"x", bytes([CELT_10 | STEREO]) + b"x"], "opus 10ms frames change mode within 20ms"),
        ([bytes([CELT_10]) + b"x", bytes([CELT_20]) + b"x"], "opus 10ms and 20ms frames out of step"),
        (
            [bytes([CELT_10]) + b"x", code3(CELT_10 | STEREO, [b"x", b"y"], varied=False)],
            "opus 10ms frames change mode",
        ),
    ],
)
def test_what_cannot_be_copied_says_why(packets: list[bytes], reason: str) -> None:
    with pytest.raises(NotCopyableError, match=reason):
        pushed(*packets)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes([CELT_20]) + b"x" * 1276,
        bytes([CELT_20 | 1]) + b"xyz",
        bytes([CELT_20 | 2]),
        bytes([CELT_20 | 2, 252]),
        bytes([CELT_20 | 2, 3]) + b"xy",
        bytes([CELT_20 | 3]),
        bytes([CELT_20 | 3, 0]),
        bytes([CELT_20 | 3, 7]) + b"x" * 7,
        bytes([SILK_60 | 3, 3]) + b"xyz",
        bytes([CELT_20 | 3, 2]) + b"xyz",
        bytes([CELT_20 | 3, 0x41, 255]),
        bytes([CELT_20 | 3, 0x41, 9]) + b"x" * 8,
        bytes([CELT_20 | 3, 0x82, 252]),
        bytes([CELT_20 | 3, 0x83, 5, 5]) + b"x" * 9,
    ],
)
def test_malformed_packets_are_refused(packet: bytes) -> None:
    with pytest.raises(PacketError):
        parse(packet)


@given(packet=st.binary(max_size=400))
def test_any_bytes_parse_within_the_rules_or_are_refused(packet: bytes) -> None:
    try:
        parsed = parse(packet)
    except PacketError:
        return
    assert 0 < parsed.samples <= 5760
    assert sum(map(len, parsed.frames)) < len(packet)
