"""Warm child processes against a process per song, and how much of a fragmented MP4 is read before its first packet.

Both ways fetch the same songs from a site on loopback through the real yt-dlp, one after the other and in turns. A
process per song pays for starting Python and importing yt-dlp and PyAV each time; a warm child has paid once.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from pathlib import Path

from audio_service.audio.base import EncodeOptions, Origin
from audio_service.audio.opus import encode_dca
from audio_service.children.pool import ChildPool, open_children
from audio_service.settings import AudioSettings
from audio_service.sources.base import Resolved
from audio_service.sources.client import fetch
from bench.table import Row, compared
from common.messages.downloads import PlatformMetadata
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site

SONG_SECONDS = 240
SONGS, SONGS_FULL = 3, 6
TARGET = 1.6


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows."""
    warm, fresh = asyncio.run(_compare(directory, SONGS_FULL if full else SONGS))
    name = "4-minute song fetched and copied, warm child against a process per song"
    yield compared(name, "ms", warm, fresh, better="less", at_least=TARGET)
    yield first_packet(directory)


async def _compare(directory: Path, songs: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each song, both ways."""
    song = make("webm_opus", directory, SONG_SECONDS, sound="sweep")
    warm: list[float] = []
    fresh: list[float] = []
    async with open_media_site(directory) as site:
        settings = AudioSettings(network_allow=site.address, num_workers=1, temp_path=directory / "tmp")
        async with open_children(settings) as pool:
            await _fetch(pool, site, song, directory / "first")
            for number in range(songs):
                began = time.perf_counter()
                await _fetch(pool, site, song, directory / f"warm-{number}")
                warm.append((time.perf_counter() - began) * 1000)
                began = time.perf_counter()
                async with open_children(settings) as new_each_time:
                    await _fetch(new_each_time, site, song, directory / f"fresh-{number}")
                    fresh.append((time.perf_counter() - began) * 1000)
    return warm, fresh


async def _fetch(pool: ChildPool, site: MediaSite, song: Path, directory: Path) -> None:
    await asyncio.to_thread(directory.mkdir)
    resolved = Resolved("bench", PlatformMetadata(url=site.file(song)))
    await fetch(pool, resolved, directory, origin=Origin(), on_progress=lambda _: None, deadline_seconds=60)


def first_packet(directory: Path) -> Row:
    """Count the bytes of a fragmented MP4 that are read, without seeking, before the first DCA frame is out."""
    path = make("fmp4_opus", directory, SONG_SECONDS)
    size = path.stat().st_size
    with path.open("rb") as file:
        source = _Counted(file)
        read_by_then: list[int] = []

        def on_frames(_frames: int) -> None:
            read_by_then.append(source.count)

        encode_dca(source, io.BytesIO(), origin=Origin(), options=EncodeOptions(), on_frames=on_frames)  # pyright: ignore[reportArgumentType] - reads like a BinaryIO
    share = read_by_then[0] / size
    return Row(
        "fragmented MP4 read before the first packet",
        f"{read_by_then[0] // 1024} KB",
        f"{size // 1024} KB in all",
        f"{share:.1%}",
        "not walked to its end",
        share < 0.5,  # noqa: PLR2004 - far from the end
    )


class _Counted(io.RawIOBase):
    """A download as the encoder sees it: no way back, and what was read is counted."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__()
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - CPython passes a memoryview
        count = self._file.readinto(buffer)
        self.count += count
        return count
