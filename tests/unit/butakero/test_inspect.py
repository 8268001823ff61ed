"""`inspect` of complete, damaged, headerless (DCA0) and other files."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from butakero.inspect import run_inspect
from common.dca import DcaMetadata, DcaWriter, OpusInfo, OriginInfo
from tests.unit.butakero.conftest import console

STEREO = bytes([0xFC]) + bytes(99)
MONO = bytes([0xF8]) + bytes(99)


def dca(frames: int, **parts: object) -> bytes:
    out = io.BytesIO()
    metadata = DcaMetadata(
        opus=OpusInfo(channels=2),
        origin=OriginInfo(source="YouTube", encoding="opus", url="https://example.org/x"),
        title="A \x1b[31mtitle",
        extra={"mode": "passthrough", "reason": "opus 48k 20ms", **parts},
    )
    writer = DcaWriter(out, metadata)
    for _ in range(frames):
        writer.write(STEREO)
    writer.flush()
    return out.getvalue()


def inspect(tmp_path: Path, content: bytes) -> tuple[int, str, str]:
    path = tmp_path / "song.dca"
    path.write_bytes(content)
    out, said = console()
    err, complained = console()
    return run_inspect(path, "en", out, err), said(), complained()


def facts(said: str) -> dict[str, str]:
    return {line[2:18].strip(): line[18:].strip() for line in said.splitlines()}


def test_a_whole_file(tmp_path: Path) -> None:
    content = dca(250)
    code, said, complained = inspect(tmp_path, content)
    assert (code, complained) == (0, "")
    assert facts(said) == {
        "Format": "DCA1",
        "Title": "A [31mtitle",
        "How it was made": "Opus packets copied (opus 48k 20ms)",
        "Origin": "YouTube opus https://example.org/x",
        "Tool": "butakero 1",
        "Duration": "0:05",
        "Frames": "250 x 20 ms",
        "Average bitrate": "40.0 kbps",
        "Channels": "2",
        "Size": f"{len(content) / 1024:.2f}KB ({len(content)} B)",
        "SHA-256": hashlib.sha256(content).hexdigest(),
        "First damage": "none",
    }


def test_a_cut_file_names_the_byte_and_what_still_plays(tmp_path: Path) -> None:
    content = dca(10)[:-30]
    code, said, complained = inspect(tmp_path, content)
    at = len(dca(10)) - 102
    assert code == 1
    assert facts(said)["First damage"] == f"at byte {at}"
    assert facts(said)["Frames"] == "9 x 20 ms"
    assert f"at byte {at}" in complained
    assert "the 9 frames before" in complained


@pytest.mark.parametrize(("packet", "channels"), [(STEREO, "2"), (MONO, "1")])
def test_dca0_has_its_channels_from_the_first_packet(tmp_path: Path, packet: bytes, channels: str) -> None:
    code, said, _ = inspect(tmp_path, (len(packet).to_bytes(2, "little") + packet) * 50)
    assert code == 0
    assert facts(said)["Format"] == "DCA0"
    assert facts(said)["Channels"] == channels
    assert facts(said)["Duration"] == "0:01"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF....WAVE",
        b"{}",
        b"\x64\x00only the first frame, and that one cut",
        b"DCA1\xff\xff\xff\xff",
        b"DCA9....",
    ],
)
def test_anything_else_is_one_line(tmp_path: Path, content: bytes) -> None:
    code, said, complained = inspect(tmp_path, content)
    assert (code, said) == (2, "")
    assert complained.count("\n") == 1
    assert "not a DCA file" in complained


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.dca", tmp_path):
        out, said = console()
        err, complained = console()
        assert run_inspect(path, "en", out, err) == 2
        assert said() == ""
        assert complained().count("\n") == 1
        assert "cannot be read" in complained()


def test_metadata_of_another_kind_is_shown_as_text(tmp_path: Path) -> None:
    code, said, _ = inspect(tmp_path, dca(1, mode=["x"], reason=None))
    assert code == 0
    assert facts(said)["How it was made"].startswith("['x']")
