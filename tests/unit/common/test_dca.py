from __future__ import annotations

import hashlib
import io
import struct
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.dca import (
    FRAME_SIZE,
    MAX_FRAME_BYTES,
    DcaError,
    DcaMetadata,
    DcaReader,
    DcaWriter,
    OpusInfo,
    OriginInfo,
    Tool,
    scan,
)

PACKETS = st.lists(st.binary(min_size=1, max_size=400), max_size=40)


def written(packets: list[bytes], metadata: DcaMetadata | None = None) -> bytes:
    out = io.BytesIO()
    writer = DcaWriter(out, metadata or DcaMetadata())
    for packet in packets:
        writer.write(packet)
    writer.flush()
    return out.getvalue()


def frames(*packets: bytes) -> bytes:
    return b"".join(struct.pack("<h", len(packet)) + packet for packet in packets)


class Trickle(io.RawIOBase):
    """A file that gives at most three bytes a time, as pipes and sockets may."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 3) if size >= 0 else 3)


@given(packets=PACKETS)
def test_what_is_written_is_read_back(packets: list[bytes]) -> None:
    assert list(DcaReader(io.BytesIO(written(packets)))) == packets


@given(packets=PACKETS)
def test_short_reads_change_nothing(packets: list[bytes]) -> None:
    assert list(DcaReader(cast("BinaryIO", Trickle(written(packets))))) == packets


def test_frames_that_cross_read_blocks_are_whole() -> None:
    packets = [bytes([index % 251]) * (1 + index * 37 % 4000) for index in range(200)] + [b"z" * MAX_FRAME_BYTES]
    assert list(DcaReader(io.BytesIO(written(packets)))) == packets


def test_the_layout_is_the_contracts() -> None:
    data = written([b"\xfc\xff\xfe", b"\xfcabc"])
    (length,) = struct.unpack_from("<i", data, 4)
    assert data[:4] == b"DCA1"
    assert data[8 + length :] == b"\x03\x00\xfc\xff\xfe\x04\x00\xfcabc"


def test_size_and_hash_are_the_files() -> None:
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata(title="x"))
    for index in range(3000):
        writer.write(bytes([1 + index % 200]) * 50)
        assert writer.size >= len(out.getvalue())
    writer.flush()
    assert writer.frames == 3000
    assert writer.size == len(out.getvalue())
    assert writer.sha256 == hashlib.sha256(out.getvalue()).hexdigest()


def test_frames_reach_the_file_before_the_end() -> None:
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata())
    header = len(out.getvalue())
    for _ in range(100):
        writer.write(b"x" * 400)
    assert header == writer.size - 100 * 402
    assert len(out.getvalue()) > header


@pytest.mark.parametrize("packet", [b"", b"x" * (MAX_FRAME_BYTES + 1)])
def test_a_packet_that_is_no_frame_is_refused_and_leaves_no_trace(packet: bytes) -> None:
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata())
    with pytest.raises(ValueError, match="1 to 32767"):
        writer.write(packet)
    writer.write(b"ok")
    writer.flush()
    assert list(DcaReader(io.BytesIO(out.getvalue()))) == [b"ok"]


def test_metadata_comes_back_as_written() -> None:
    metadata = DcaMetadata(
        opus=OpusInfo(abr=128_000, channels=1, vbr=False, mode="voip"),
        origin=OriginInfo(source="YouTube", abr=131_000, channels=2, encoding="opus", url="https://example.org/ñ"),
        tool=Tool(version="7"),
        title="/../ 🎵 שלום \ud800",
        extra={"mode": "passthrough", "reason": "opus 48k 20ms"},
    )
    assert DcaReader(io.BytesIO(written([], metadata))).metadata == metadata


def test_the_default_header_says_what_others_expect() -> None:
    metadata = DcaMetadata()
    assert FRAME_SIZE == 1920
    assert (metadata.opus.frame_size, metadata.opus.sample_rate, metadata.opus.channels) == (1920, 48_000, 2)
    assert b'"dca":{"version":1,"tool":{"name":' in metadata.to_json()


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"opus": null, "origin": [], "dca": 3, "info": {"title": 4}, "extra": "x"}',
        b'{"opus": {"abr": "many", "sample_rate": null, "channels": true, "vbr": 1, "unknown": {}}}',
    ],
)
def test_missing_and_odd_metadata_reads_as_defaults(text: bytes) -> None:
    metadata = DcaMetadata.from_json(text)
    assert metadata == DcaMetadata(tool=Tool(name="", version=""))


def test_metadata_of_other_writers_is_understood() -> None:
    text = b"""{"dca": {"version": 1, "tool": {"name": "other", "version": "1.0.0", "url": "u", "author": "a"}},
        "opus": {"mode": "voip", "sample_rate": 48000, "frame_size": 960, "abr": 64000, "vbr": true, "channels": 2},
        "info": {"title": "t", "artist": "b"}, "origin": {"source": "file", "abr": 192000, "channels": 2,
        "encoding": "MP3"}, "extra": {"k": [1]}}"""
    metadata = DcaMetadata.from_json(text)
    assert metadata.tool == Tool("other", "1.0.0", "u", "a")
    assert metadata.opus.frame_size == 960
    assert metadata.origin == OriginInfo("file", 192_000, 2, "MP3", "")
    assert (metadata.title, metadata.extra) == ("t", {"k": [1]})


def test_dca0_is_frames_alone() -> None:
    reader = DcaReader(io.BytesIO(frames(b"\xfc\xff\xfe", b"abc", b"d" * 1000)))
    assert reader.version == "DCA0"
    assert reader.metadata is None
    assert list(reader) == [b"\xfc\xff\xfe", b"abc", b"d" * 1000]


HEADER = written([])
SOUND = HEADER + frames(b"abc", b"de")


@pytest.mark.parametrize(
    ("tail", "good", "offset", "message"),
    [
        (struct.pack("<h", -1), 2, 0, "frame length -1"),
        # 40000 in an int16 is what a writer of unsigned lengths would leave.
        (struct.pack("<H", 40_000) + b"x" * 40_000, 2, 0, "frame length -25536"),
        (struct.pack("<h", 0) + frames(b"more"), 2, 0, "frame length 0"),
        (b"\x05", 2, 0, "ends in a frame length"),
        (struct.pack("<h", 5) + b"abc", 2, 0, "ends 2 bytes before the end of a frame of 5"),
        (struct.pack("<h", 5), 2, 0, "ends 5 bytes before the end of a frame of 5"),
    ],
)
def test_damage_is_reported_at_its_byte(tail: bytes, good: int, offset: int, message: str) -> None:
    read: list[bytes] = []
    with pytest.raises(DcaError, match=message) as caught:
        read.extend(DcaReader(io.BytesIO(SOUND + tail)))
    assert caught.value.offset == len(SOUND) + offset
    assert f"at byte {len(SOUND) + offset}" in str(caught.value)
    found = scan(io.BytesIO(SOUND + tail))
    assert (found.frames, found.packet_bytes, found.duration_ms) == (good, 5, good * 20)
    assert found.damage is not None
    assert found.damage.offset == caught.value.offset


@pytest.mark.parametrize(
    ("data", "offset", "message"),
    [
        (b"", 0, "before its first frame"),
        (b"\x03\x00\xfc", 0, "before its first frame"),
        (b"DCA2" + HEADER[4:], 0, "unknown version"),
        (b"<!DOCTYPE html>", 0, "neither"),
        (b"\x00\x00\x00\x00", 0, "neither"),
        (b"DCA1\x02\x00", 4, "in the metadata length"),
        (b"DCA1" + struct.pack("<i", 0) + b"{}", 4, "metadata length 0"),
        (b"DCA1" + struct.pack("<i", -5) + b"{}", 4, "metadata length -5"),
        (b"DCA1" + struct.pack("<i", 2**31 - 1) + b"{}", 4, "metadata length 2147483647"),
        (b"DCA1" + struct.pack("<i", 9) + b"{}", 8, "in the metadata"),
        (b"DCA1" + struct.pack("<i", 2) + b"[]", 8, "no JSON object"),
        (b"DCA1" + struct.pack("<i", 2) + b"\xff\xff", 8, "no JSON object"),
        (b"DCA1" + struct.pack("<i", 200_000) + b"[" * 200_000, 8, "no JSON object"),
    ],
)
def test_a_bad_header_is_reported_at_its_byte(data: bytes, offset: int, message: str) -> None:
    with pytest.raises(DcaError, match=message) as caught:
        DcaReader(io.BytesIO(data))
    assert caught.value.offset == offset


def test_scan_of_a_sound_file_finds_no_damage() -> None:
    found = scan(io.BytesIO(SOUND))
    assert (found.version, found.frames, found.packet_bytes, found.damage) == ("DCA1", 2, 5, None)
    assert found.metadata == DcaMetadata()


def test_a_cut_between_two_frames_looks_like_an_end() -> None:
    assert scan(io.BytesIO(SOUND[: -len(frames(b"de"))])).frames == 1


@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"DCA1", HEADER, SOUND]))
def test_any_bytes_read_or_raise_dca_error(data: bytes, prefix: bytes) -> None:
    whole = prefix + data
    damage: DcaError | None = None
    packets: list[bytes] = []
    try:
        packets.extend(DcaReader(io.BytesIO(whole)))
    except DcaError as exc:
        damage = exc
    end = damage.offset if damage else len(whole)
    assert 0 <= end <= len(whole)
    assert whole[:end].endswith(frames(*packets))
