"""What cannot be read while it comes is read once it is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from audio_service.audio.base import EncodeOptions, Origin
from audio_service.sources.ytdlp.extractor import Extractor, OnStatus
from audio_service.sources.ytdlp.fetching import FetchJob, fetch
from audio_service.sources.ytdlp.growing import GrowingFile
from common.errors import AppError, MediaCorrupt, MediaTruncated, MediaUnsupported, SourceTruncated
from tests.servers.media_damage import truncated
from tests.servers.media_files import make


class Downloaded:
    """Stands in for the Extractor: the media is in a file, and comes at once."""

    def __init__(self, source: Path, *, whole: bool = True) -> None:
        self._source = source
        self.received = 0
        self.stated_ms: int | None = None
        self.file_name: str | None = None
        self.whole = whole

    def download(self, _url: str, _packed: str | None, growing: GrowingFile, _on_status: OnStatus) -> None:
        data = self._source.read_bytes()
        growing.path.write_bytes(data)
        self.received = len(data)
        growing.finish()


def fetched(source: Path, directory: Path, *, whole: bool = True) -> Mapping[str, Any]:
    directory.mkdir()
    job = FetchJob("https://example.org/song", None, str(directory), 0, Origin())
    return fetch(cast("Extractor", Downloaded(source, whole=whole)), job, EncodeOptions(), lambda _: None)


def alac_caf(directory: Path) -> Path:
    """A CAF with the sizes of its packets behind them."""
    path = directory / "alac.caf"
    with av.open(str(path), "w", format="caf") as opened:
        container = cast("Any", opened)
        stream = container.add_stream("alac", rate=48_000, layout="stereo")
        wave = (np.sin(np.arange(3 * 48_000) / 20) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None, :], format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        size = stream.codec_context.frame_size
        resampler = av.AudioResampler(stream.codec_context.format, "stereo", 48_000, frame_size=size)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(part))
    return path


def empty_mdat_first(directory: Path) -> Path:
    """An MP4 with its index at the end, and before its media an `mdat` with nothing in it."""
    data = bytearray(make("m4a", directory).read_bytes())
    start = data.index(b"mdat") - 4
    data[start:start] = b"\0\0\0\x08mdat"
    offsets = data.index(b"stco") + 8
    for entry in range(int.from_bytes(data[offsets : offsets + 4], "big")):
        at = offsets + 4 + 4 * entry
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + 8).to_bytes(4, "big")
    path = directory / "empty-mdat.m4a"
    path.write_bytes(data)
    return path


def open_ended_mdat(directory: Path) -> Path:
    """An MP4 whose `mdat` has the size 0: it goes on to the end of the file."""
    data = bytearray(make("m4a_faststart", directory).read_bytes())
    start = data.rindex(b"mdat") - 4
    data[start : start + 4] = bytes(4)
    path = directory / "open-mdat.m4a"
    path.write_bytes(data)
    return path


def behind_junk(directory: Path) -> Path:
    path = directory / "junk.mp3"
    path.write_bytes(b"<br />\n<b>Warning</b>: Undefined index\n" * 5000 + make("mp3", directory).read_bytes())
    return path


@pytest.mark.parametrize("made", [alac_caf, empty_mdat_first, open_ended_mdat, behind_junk])
def test_what_needs_the_whole_file_waits_for_it(made: Callable[[Path], Path], media: Path, tmp_path: Path) -> None:
    found = fetched(made(media), tmp_path / "job")
    assert found["encoded"]["frames"] == pytest.approx(151, abs=3)
    assert [path.name for path in (tmp_path / "job").iterdir()] == [Path(found["path"]).name]


def half_webm(directory: Path) -> Path:
    return truncated(make("webm_opus", directory, 10), 0.5)


def half_ogg(directory: Path) -> Path:
    return truncated(make("ogg_opus", directory, 10), 0.5)


def half_m4a(directory: Path) -> Path:
    return truncated(make("m4a", directory, 10), 0.5)


def text(directory: Path) -> Path:
    return written(directory / "text", b"not a song\n" * 1000)


def archive(directory: Path) -> Path:
    return written(directory / "archive", b"PK\x03\x04" + bytes(5000))


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (half_webm, MediaTruncated),
        (half_ogg, MediaTruncated),
        (half_m4a, MediaCorrupt),
        (text, MediaUnsupported),
        (archive, MediaUnsupported),
    ],
)
def test_what_the_whole_file_does_not_mend_keeps_its_error(
    made: Callable[[Path], Path], error: type[AppError], media: Path, tmp_path: Path
) -> None:
    with pytest.raises(error):
        fetched(made(media), tmp_path / "job")
    assert not list((tmp_path / "job").iterdir())


@pytest.mark.parametrize("made", [half_webm, half_ogg])
@pytest.mark.parametrize("whole", [True, False])
def test_what_ends_too_early_is_asked_for_again_unless_its_server_has_no_more(
    made: Callable[[Path], Path], media: Path, tmp_path: Path, *, whole: bool
) -> None:
    with pytest.raises(SourceTruncated) as caught:
        fetched(made(media), tmp_path / "job", whole=whole)
    assert caught.value.retryable is not whole


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
