"""The reference way: what services of this kind do for a song today, as a plain script that is already running.

    python -m bench.reference DIRECTORY [AT_ONCE]     # a URL a line on stdin, a line of JSON for each on stdout

yt-dlp as a process of its own, asked for M4A, writes into ffmpeg's stdin; ffmpeg encodes Opus (libopus, 96 kbps,
complexity 10); its Ogg is split into DCA in memory, stored as a file, and recorded in SQLite. It is given what such
services are not: no broker in front of it, no request for metadata, download and encoding at once, no fsync.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from common.dca import DcaMetadata, DcaWriter

_YT_DLP = ("-m", "yt_dlp", "--ignore-config", "--quiet", "--no-warnings", "--no-playlist")
_FFMPEG = ("ffmpeg", "-v", "error", "-i", "pipe:0", "-map", "0:a:0", "-ac", "2", "-ar", "48000", "-c:a", "libopus")
_SETTINGS = ("-b:a", "96000", "-compression_level", "10", "-frame_duration", "20", "-application", "audio")
_HEADERS = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one URL. `known`: it was in the library already."""

    url: str
    known: bool
    bytes: int


def answer(url: str, directory: Path) -> Answer:
    """Look a song up in the library, and make it when it is not there."""
    media_id = hashlib.sha256(url.encode()).hexdigest()[:20]
    with closing(sqlite3.connect(directory / "library.db", timeout=30)) as library, library:
        library.execute("CREATE TABLE IF NOT EXISTS songs (id TEXT PRIMARY KEY, url TEXT, bytes INTEGER, made REAL)")
        row = library.execute("SELECT bytes FROM songs WHERE id = ?", (media_id,)).fetchone()
        if row is not None:
            return Answer(url, known=True, bytes=row[0])
    dca = make(url)
    (directory / f"{media_id}.dca").write_bytes(dca)
    with closing(sqlite3.connect(directory / "library.db", timeout=30)) as library, library:
        library.execute("INSERT INTO songs VALUES (?, ?, ?, ?)", (media_id, url, len(dca), time.time()))
    return Answer(url, known=False, bytes=len(dca))


def make(url: str) -> bytes:
    """Return the song as DCA. Raises RuntimeError when one of the programs fails."""
    fetch = [sys.executable, *_YT_DLP, "-f", "bestaudio[ext=m4a]/bestaudio", "-o", "-", url]
    encode = [*_FFMPEG, *_SETTINGS, "-f", "ogg", "pipe:1"]
    with (
        subprocess.Popen(fetch, stdout=subprocess.PIPE) as source,
        subprocess.Popen(encode, stdin=source.stdout, stdout=subprocess.PIPE) as encoder,
    ):
        # ffmpeg's alone from here: its end must be seen by yt-dlp.
        assert source.stdout is not None  # noqa: S101 - asked for above
        source.stdout.close()
        ogg, _ = encoder.communicate()
    if source.returncode or encoder.returncode:
        raise RuntimeError(f"yt-dlp ended with {source.returncode}, ffmpeg with {encoder.returncode}")
    return dca_of(ogg)


def dca_of(ogg: bytes) -> bytes:
    """Split an Ogg Opus stream into a DCA file, in memory, as such services do."""
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata())
    for packet in islice(_ogg_packets(ogg), _HEADERS, None):
        writer.write(packet)
    writer.flush()
    return out.getvalue()


def _ogg_packets(data: bytes) -> Iterator[bytes]:
    """Yield the packets of an Ogg stream, its two headers among them (RFC 3533 §6)."""
    position, packet = 0, b""
    while position < len(data):
        count = data[position + 26]
        lacing = data[position + 27 : position + 27 + count]
        position += 27 + count
        for value in lacing:
            packet += data[position : position + value]
            position += value
            if value < 255:  # noqa: PLR2004 - a lacing value of 255 says that the packet goes on
                yield packet
                packet = b""


def main() -> None:
    """Answer until stdin ends."""
    directory, at_once = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1  # noqa: PLR2004 - see above

    def work(url: str) -> None:
        sys.stdout.write(json.dumps(asdict(answer(url, directory))) + "\n")
        sys.stdout.flush()

    with ThreadPoolExecutor(at_once) as pool:
        pending = [pool.submit(work, line.strip()) for line in sys.stdin]
    for done in pending:
        done.result()


if __name__ == "__main__":
    main()
