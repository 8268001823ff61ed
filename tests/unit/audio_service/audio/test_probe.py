from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import av
import pytest
from av.error import FFmpegError

from audio_service.audio.base import WholeFileNeededError
from audio_service.audio.probe import Probed, open_media, probe
from common.errors import MediaCorrupt, MediaUnsupported, SourceTruncated
from tests.servers.media_damage import truncated
from tests.servers.media_files import RECIPES, make
from tests.unit.audio_service.audio.pcm import OnceOnly, demuxed, once_only

SINGLE_FILES = sorted(set(RECIPES) - {"hls", "mp4_silent_film"})
INDEX_AT_THE_END = {"m4a", "mp4_video"}


class Doorbell:
    """A listening socket that counts who rings, and hangs up."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.rings = 0
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.rings += 1
                connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def doorbell() -> Iterator[Doorbell]:
    bell = Doorbell()
    yield bell
    bell.close()


class Named(io.BytesIO):
    """What somebody stores under a name that makes FFmpeg think of playlists."""

    name = "song.m3u8"


def playlist(target: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{target}\n#EXT-X-ENDLIST\n".encode()


def concatenation(target: str) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\n".encode()


def open_carelessly(text: bytes, options: Mapping[str, str]) -> None:
    with contextlib.suppress(OSError, FFmpegError), av.open(Named(text), "r", options=dict(options)):
        pass


@pytest.mark.parametrize("kind", SINGLE_FILES)
def test_every_kind_of_file_is_recognised(kind: str, media: Path) -> None:
    path = make(kind, media)
    with path.open("rb") as file:
        found = probe(file)
    expected = RECIPES[kind]
    assert found.codec == {"libopus": "opus"}.get(expected.codec, expected.codec)
    assert found.sample_rate == expected.rate
    assert found.channels == (1 if expected.layout == "mono" else 2)
    assert found.duration_ms == pytest.approx(3000, abs=60)


@pytest.mark.parametrize("kind", sorted(set(SINGLE_FILES) - INDEX_AT_THE_END))
def test_what_needs_no_seeking_gives_the_same_packets_in_order(kind: str, media: Path) -> None:
    path = make(kind, media)
    with open_media(once_only(path)) as opened:
        assert opened.sequential
        assert [bytes(packet) for packet in opened.packets()] == demuxed(path)


@pytest.mark.parametrize("kind", sorted(INDEX_AT_THE_END))
def test_an_index_at_the_end_is_known_before_the_media_is_read(kind: str, media: Path) -> None:
    source = OnceOnly(make(kind, media, 30).read_bytes())
    with pytest.raises(WholeFileNeededError):
        probe(cast("BinaryIO", source))
    assert not source.at_end


def test_the_sound_of_a_video_is_found(media: Path) -> None:
    with make("mp4_video_faststart", media).open("rb") as file:
        assert probe(file) == Probed("aac", "mov", 48_000, 2, 3000)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MediaCorrupt),
        (b"not media at all, but a text of some length\n" * 50, MediaUnsupported),
        (b"<!DOCTYPE html><html><body>404</body></html>", MediaUnsupported),
        (bytes(50_000), MediaUnsupported),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), MediaUnsupported),
        (b"RIFF\x00\x00\x00\x00WAVEjunk", MediaCorrupt),
        (b"OggS" + b"\xff" * 3000, MediaCorrupt),
        (b"\x1a\x45\xdf\xa3" + bytes(300), MediaCorrupt),
        (b"\x00\x00\x00\x20ftypisom" + bytes(300), MediaCorrupt),
    ],
)
def test_what_is_not_media_is_told_from_what_is_broken(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        probe(io.BytesIO(data))
    with pytest.raises(error):
        probe(cast("BinaryIO", OnceOnly(data)))


def test_a_format_that_is_not_on_the_list_is_not_tried() -> None:
    """Sun audio: FFmpeg knows it well, and nobody asked for it."""
    sun = struct.pack(">4sIIIII", b".snd", 24, 9600, 3, 48_000, 1) + bytes(9600)
    with av.open(io.BytesIO(sun), "r") as container:
        assert container.format.name == "au"
    with pytest.raises(MediaUnsupported):
        probe(io.BytesIO(sun))


def test_a_file_without_sound_is_unsupported(media: Path) -> None:
    with make("mp4_silent_film", media).open("rb") as file, pytest.raises(MediaUnsupported, match="no audio"):
        probe(file)


def test_a_playlist_makes_a_careless_reader_connect(doorbell: Doorbell) -> None:
    """The control: without this, the next test could not fail."""
    address = f"http://127.0.0.1:{doorbell.port}/a.ts"
    open_carelessly(playlist(address), {"protocol_whitelist": "http,tcp"})
    open_carelessly(
        concatenation(address), {"protocol_whitelist": "http,tcp", "safe": "0", "format_whitelist": "concat"}
    )
    assert doorbell.rings >= 1


@pytest.mark.parametrize("make_text", [playlist, concatenation])
def test_a_text_that_names_other_files_opens_none(
    make_text: Callable[[str], bytes], doorbell: Doorbell, media: Path, tmp_path: Path
) -> None:
    song = make("mpegts", media)
    secret = tmp_path / "song.ts"
    secret.write_bytes(song.read_bytes())
    for target in (
        f"http://127.0.0.1:{doorbell.port}/a.ts",
        f"tcp://127.0.0.1:{doorbell.port}",
        f"file://{secret}",
        str(secret),
    ):
        with pytest.raises(MediaUnsupported):
            probe(Named(make_text(target)))
    assert doorbell.rings == 0


class DownloadBroke(Exception):
    pass


class Breaking(OnceOnly):
    """A download whose connection breaks after so many bytes."""

    def __init__(self, data: bytes, after: int, error: BaseException) -> None:
        super().__init__(data)
        self._left = after
        self._error = error

    def read(self, size: int = -1, /) -> bytes:
        if self._left <= 0:
            raise self._error
        data = super().read(min(size, self._left))
        self._left -= len(data)
        return data


@pytest.mark.parametrize("kind", ["webm_opus", "fmp4", "mp3", "wav", "mpegts", "ogg_opus", "flac", "m4a"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("error", [DownloadBroke("gone"), EOFError("gone"), OSError(5, "gone"), KeyboardInterrupt()])
def test_what_the_source_raises_comes_out_as_it_was(kind: str, share: float, error: BaseException, media: Path) -> None:
    data = make(kind, media).read_bytes()
    source = cast("BinaryIO", Breaking(data, int(len(data) * share), error))
    with pytest.raises((type(error), WholeFileNeededError)) as caught, open_media(source) as opened:
        for _ in opened.packets():
            pass
    assert caught.value is error or (kind == "m4a" and share)


def test_a_source_that_gives_more_than_asked_is_stopped() -> None:
    class Generous(OnceOnly):
        def read(self, size: int = -1, /) -> bytes:
            return super().read(size * 2)

    with pytest.raises(ValueError, match="when asked for"):
        probe(cast("BinaryIO", Generous(b"OggS" * 100_000)))


def read_through(file: BinaryIO) -> None:
    with open_media(file) as opened:
        for _ in opened.packets():
            pass
        opened.check_complete(0)


@pytest.mark.parametrize("kind", ["webm_opus", "m4a_faststart", "wav", "flac"])
def test_a_file_that_ends_long_before_its_stated_length_is_noticed(kind: str, media: Path) -> None:
    whole = make(kind, media, 10)
    path = truncated(whole, 0.5)
    with path.open("rb") as file, pytest.raises(SourceTruncated, match=r"ends at \d+ (ms|bytes) of "):
        read_through(file)
    with pytest.raises((SourceTruncated, WholeFileNeededError)):
        read_through(once_only(path))
    with whole.open("rb") as file:
        read_through(file)
    read_through(once_only(whole))


def test_a_wav_that_was_streamed_and_has_no_length_is_read_to_its_end(media: Path) -> None:
    data = bytearray(make("wav", media).read_bytes())
    data[4:8] = data[data.index(b"data") + 4 : data.index(b"data") + 8] = b"\xff\xff\xff\xff"
    read_through(io.BytesIO(bytes(data)))
