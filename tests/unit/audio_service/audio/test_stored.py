from __future__ import annotations

from pathlib import Path

import pytest

from audio_service.audio.base import EncodeOptions, Origin
from audio_service.audio.opus import encode_dca
from audio_service.audio.stored import examine
from common.dca import DcaMetadata, DcaWriter
from tests.servers.media_files import make


@pytest.mark.parametrize("kind", ["webm_opus", "mp3", "aac", "fmp4"])
def test_a_file_of_ours_says_what_its_making_said(tmp_path: Path, kind: str) -> None:
    song = tmp_path / "song.dca"
    with make(kind, tmp_path, 1.0).open("rb") as source, song.open("w+b") as out:
        made = encode_dca(source, out, origin=Origin(), options=EncodeOptions(), on_frames=lambda _: None)
    assert examine(song) == made


def test_a_damaged_file_is_not_described(tmp_path: Path) -> None:
    song = tmp_path / "song.dca"
    with make("webm_opus", tmp_path, 1.0).open("rb") as source, song.open("w+b") as out:
        encode_dca(source, out, origin=Origin(), options=EncodeOptions(), on_frames=lambda _: None)
    song.write_bytes(song.read_bytes()[:-3])
    assert examine(song) is None


def test_a_file_that_somebody_else_made_is_not_described(tmp_path: Path) -> None:
    song = tmp_path / "song.dca"
    with song.open("wb") as out:
        writer = DcaWriter(out, DcaMetadata())
        writer.write(b"\xfc\xff\xfe")
        writer.flush()
    assert examine(song) is None
