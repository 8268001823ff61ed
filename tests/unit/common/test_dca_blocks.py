from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.dca import DcaError, DcaMetadata, DcaWriter
from common.dca_blocks import FrameCutter
from tests.unit.bot_service.player.songs import dca, frames

packets = st.lists(st.binary(min_size=2, max_size=300), min_size=1, max_size=40)


def a_file(contents: list[bytes], *, header: bool) -> bytes:
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata(title="x" * 50))
    start = writer.size
    for packet in contents:
        writer.write(packet)
    writer.flush()
    return out.getvalue() if header else out.getvalue()[start:]


def cut(content: bytes, skip: int, piece: int) -> list[bytes]:
    cutter = FrameCutter(skip)
    found = [frame for at in range(0, len(content), piece) for frame in cutter.feed(content[at : at + piece])]
    cutter.end()
    return found


@settings(max_examples=60)
@given(contents=packets, skip=st.integers(0, 50), piece=st.integers(1, 400), header=st.booleans())
def test_any_pieces_give_the_frames_from_any_frame_on(
    contents: list[bytes], skip: int, piece: int, *, header: bool
) -> None:
    assert cut(a_file(contents, header=header), skip, piece) == contents[skip:]


def test_the_frames_before_a_damage_are_given_first() -> None:
    cutter = FrameCutter()
    assert cutter.feed(dca(3) + b"\x00\x00" + dca(3)) == frames(3)
    with pytest.raises(DcaError, match="frame length 0"):
        cutter.feed(b"")
    with pytest.raises(DcaError, match="frame length 0"):
        cutter.end()


def test_a_damage_among_skipped_frames_is_found() -> None:
    with pytest.raises(DcaError, match="frame length 0"):
        FrameCutter(10).feed(dca(3) + b"\x00\x00")


@pytest.mark.parametrize("cut_off", [1, 50])
def test_a_file_that_ends_in_a_frame_is_damaged(cut_off: int) -> None:
    cutter = FrameCutter()
    assert cutter.feed(dca(3)[:-cut_off]) == frames(2)
    with pytest.raises(DcaError, match="ends in a frame"):
        cutter.end()


def test_a_file_that_ends_in_its_header_is_damaged() -> None:
    cutter = FrameCutter()
    cutter.feed(dca(3)[:20])
    with pytest.raises(DcaError, match="ends in its header"):
        cutter.end()


def test_a_header_of_impossible_length_is_refused() -> None:
    with pytest.raises(DcaError, match="metadata length -1"):
        FrameCutter().feed(b"DCA1" + b"\xff" * 4)


def test_frames_are_counted_with_those_that_were_passed_over() -> None:
    cutter = FrameCutter(5)
    cutter.feed(dca(8))
    assert cutter.frames == 8
