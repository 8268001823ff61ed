from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

import pytest

from audio_service.sources.ytdlp.growing import AbandonedError, GrowingFile
from common.errors import MediaLive, SourceTruncated, SourceUnavailable


@pytest.fixture
def growing(tmp_path: Path) -> GrowingFile:
    return GrowingFile(tmp_path / "source")


@pytest.fixture
def part(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "source.part").open("wb", buffering=0) as file:
        yield file


def test_a_reader_gets_what_is_there_and_waits_for_the_rest(growing: GrowingFile, part: BinaryIO) -> None:
    part.write(b"first ")
    seen, has_first = list[bytes](), Event()

    def read() -> None:
        with growing.open() as file:
            while data := file.read(100):
                seen.append(data)
                has_first.set()

    reader = Thread(target=read)
    reader.start()
    assert has_first.wait(10)
    assert seen == [b"first "]
    part.write(b"second")
    growing.grew()
    part_path = growing.path.with_name("source.part")
    part_path.rename(growing.path)
    growing.finish()
    reader.join(10)
    assert b"".join(seen) == b"first second"


def test_the_end_comes_only_when_the_download_says_so(growing: GrowingFile, part: BinaryIO) -> None:
    part.write(b"all")
    growing.finish()
    with growing.open() as file:
        assert [file.read(10), file.read(10)] == [b"all", b""]


def test_a_failed_download_fails_the_reader_with_its_own_error(growing: GrowingFile, part: BinaryIO) -> None:
    part.write(b"some")
    with growing.open() as file:
        assert file.read(10) == b"some"
        growing.finish(SourceTruncated("broke off"))
        with pytest.raises(SourceTruncated, match="broke off"):
            file.read(10)


def test_a_download_that_never_wrote_fails_the_opening(growing: GrowingFile) -> None:
    growing.finish(SourceTruncated())
    with pytest.raises(SourceTruncated):
        growing.open()
    with pytest.raises(SourceTruncated):
        growing.wait_complete()


def test_there_is_no_way_back(growing: GrowingFile, part: BinaryIO) -> None:
    part.write(b"x")
    with growing.open() as file:
        assert not file.seekable()


def test_an_abandoned_download_is_told_so(growing: GrowingFile) -> None:
    growing.grew()
    growing.abandon()
    with pytest.raises(AbandonedError):
        growing.grew()


def test_a_source_that_sends_next_to_nothing_is_given_up(tmp_path: Path) -> None:
    growing = GrowingFile(tmp_path / "source", window_seconds=0.1)
    with pytest.raises(SourceUnavailable, match="0 bytes in"):
        growing.open()
    (tmp_path / "source.part").write_bytes(b"x")
    with growing.open() as file:
        assert file.read(1) == b"x"
        with pytest.raises(SourceUnavailable, match="1 bytes in"):
            file.read(1)


def test_what_has_come_is_read_however_slowly(tmp_path: Path) -> None:
    growing = GrowingFile(tmp_path / "source", window_seconds=0.1)
    (tmp_path / "source").write_bytes(b"x")
    growing.finish()
    growing.wait()
    growing.wait_complete()
    with growing.open() as file:
        assert file.read(1) == b"x"


def live_after(path: Path, seconds: float = 0.1) -> GrowingFile:
    """A body of no stated length, that is live when the sound of `seconds` takes as long to come."""
    (path / "source.part").write_bytes(b"x")
    growing = GrowingFile(path / "source", live_window_seconds=seconds, whole_seconds=seconds)
    growing.open_ended = True
    return growing


def test_sound_of_no_stated_length_that_comes_as_it_plays_is_live(tmp_path: Path) -> None:
    growing = live_after(tmp_path)
    growing.heard(119)
    with pytest.raises(MediaLive, match="119 ms of sound"):
        growing.wait()


def test_what_comes_at_once_on_connecting_does_not_hide_a_live_stream(tmp_path: Path) -> None:
    growing = live_after(tmp_path)
    growing.heard(30_000)
    growing.wait()
    growing.heard(30_100)
    with pytest.raises(MediaLive, match="100 ms of sound"):
        growing.wait()


def test_sound_that_comes_faster_than_it_plays_is_a_song(tmp_path: Path) -> None:
    growing = live_after(tmp_path)
    for seconds in range(1, 4):
        growing.heard(seconds * 1000)
        growing.wait()


def test_sound_that_is_made_again_counts_once(tmp_path: Path) -> None:
    growing = live_after(tmp_path)
    growing.heard(30_000)
    growing.wait()
    growing.heard(1000)
    growing.heard(29_000)
    with pytest.raises(MediaLive, match="0 ms of sound"):
        growing.wait()


def test_a_large_picture_before_the_sound_is_no_live_stream(tmp_path: Path) -> None:
    growing = live_after(tmp_path)
    (tmp_path / "source.part").write_bytes(bytes(4 * 1024 * 1024))
    growing.wait()
    with pytest.raises(MediaLive):
        growing.wait()


def test_a_stated_length_and_an_ended_body_are_never_live(tmp_path: Path) -> None:
    growing = live_after(tmp_path)
    growing.open_ended = False
    growing.wait()
    growing.open_ended = True
    growing.finish()
    growing.wait()
    growing.wait_complete()


def test_a_whole_file_of_no_stated_length_is_not_waited_for_without_end(tmp_path: Path) -> None:
    growing = live_after(tmp_path)
    with pytest.raises(MediaLive, match="no end came"):
        growing.wait_complete()
