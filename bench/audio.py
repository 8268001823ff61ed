"""Audio side by side: copying against the way such services work today, our encoder against ffmpeg's, reader, memory.

Every comparison runs in turns within one process, so that a noisy machine is noisy for all; medians and their ratios
are what counts. Rows that need the `ffmpeg` program say so and are left out where it is missing.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.packet import Packet

from audio_service.audio.base import Encoded, EncodeOptions, Origin
from audio_service.audio.opus import encode_dca
from bench.reference import dca_of
from bench.table import Row, compared
from common.dca import DcaMetadata, DcaReader, DcaWriter
from tests.servers.media_files import make

SONG_SECONDS = 240
LONG_SECONDS = 2 * 3600
REPEATS, REPEATS_FULL = 2, 5
_FRAME_MS = 20
_PACKET_MS = (_FRAME_MS, 10, 40, 60, 120)
_READER_FRAMES = 300_000

# Runs in a process of its own: what a cold start costs, and how much memory it takes (VmHWM is reset by exec).
_CHILD = """
import os, sys
from audio_service.audio.base import EncodeOptions, Origin
from audio_service.audio.opus import encode_dca
source, out, force = sys.argv[1:]
with open(source, "rb") as read, open(out, "wb") as write:
    options = EncodeOptions(force_transcode=force == "1")
    encode_dca(read, write, origin=Origin(), options=options, on_frames=lambda frames: None)
status = open("/proc/self/status") if os.path.exists("/proc/self/status") else ()
print(next((line.split()[1] for line in status if line.startswith("VmHWM")), 0))
"""


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the audio rows. `full` adds two hours of transcoding to the memory rows (more than a minute)."""
    repeats = REPEATS_FULL if full else REPEATS
    yield from speed(directory, repeats=repeats)
    yield reader(directory, repeats=repeats)
    yield from exactness(directory, full=full)
    yield from memory(directory, full=full)


def speed(directory: Path, *, repeats: int) -> Iterator[Row]:
    """Time a song of four minutes in every way, in turns."""
    opus = make("webm_opus", directory, SONG_SECONDS, sound="sweep")
    opus60 = make("webm_opus", directory, SONG_SECONDS, sound="sweep", codec_options={"frame_duration": "60"})
    aac = make("m4a_faststart", directory, SONG_SECONDS, sound="sweep")
    ways: dict[str, Callable[[], object]] = {
        "copy, cold": lambda: _in_child(opus, directory),
        "copy, warm": lambda: _encode(opus),
        "repacketise, warm": lambda: _encode(opus60),
        "transcode": lambda: _encode(aac),
    }
    if shutil.which("ffmpeg") is None:
        print("ffmpeg is not installed: the rows that compare with it are left out")
    else:
        ways["today"] = lambda: _ffmpeg(aac, bitrate=96_000, complexity=10)
        ways["ffmpeg, same settings"] = lambda: _ffmpeg(aac, bitrate=128_000, complexity=5)
    took = _in_turns(ways, repeats)
    yield _against(took, "copy, cold", "transcode")
    if "today" in took:
        yield _against(took, "copy, cold", "today", at_least=15)
        yield _against(took, "copy, warm", "today", at_least=40)
        yield _against(took, "repacketise, warm", "today", at_least=40)
        yield _against(took, "transcode", "today", at_least=1)
        yield _against(took, "transcode", "ffmpeg, same settings")


def reader(directory: Path, *, repeats: int) -> Row:
    """Read frames with DcaReader and, as the bar, with the barest loop over a buffered file."""
    path = directory / "reader.dca"
    with path.open("wb") as file:
        writer = DcaWriter(file, DcaMetadata())
        for _ in range(_READER_FRAMES):
            writer.write(b"x" * 320)
        writer.flush()

    def read_all() -> None:
        with path.open("rb") as file:
            assert sum(1 for _ in DcaReader(file)) == _READER_FRAMES  # noqa: S101 - a benchmark of nothing is worse

    took = _in_turns({"DcaReader": read_all, "bare loop": lambda: _bare_loop(path)}, repeats)
    rates = ([_READER_FRAMES / seconds / 1e6 for seconds in took[way]] for way in ("DcaReader", "bare loop"))
    name = "DCA reader, checks included, against a bare struct loop"
    return compared(name, "M frames/s", *rates, better="more")


def exactness(directory: Path, *, full: bool) -> Iterator[Row]:
    """Decode the source's packets and ours from fresh decoders, and compare every sample."""
    for duration in _PACKET_MS if full else (20, 60):
        name = f"{'passthrough' if duration == _FRAME_MS else 'repacketised'}, {duration} ms"
        options = {"frame_duration": str(duration)}
        path = make("webm_opus", directory, 60, sound="sweep", codec_options=options)
        _, out = _encode(path)
        with av.open(str(path)) as container:
            before = _decoded(bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size)
        after = _decoded(DcaReader(out))
        length = min(before.size, after.size)
        difference = float(np.abs(before[:length] - after[:length]).max())
        yield Row(
            f"decode difference: {name}", f"{difference:g}", f"{length // 2} samples", target="0", met=difference == 0
        )


def memory(directory: Path, *, full: bool) -> Iterator[Row]:
    """Compare the peak memory of a fresh process for four minutes and for two hours."""
    for name, force, kind in (
        ("copy", False, "webm_opus"),
        ("copy", False, "ogg_opus"),
        ("transcode", True, "webm_opus"),
    ):
        if (force or kind != "webm_opus") and not full:
            continue
        short = _in_child(make(kind, directory, SONG_SECONDS), directory, force=force) / 1024
        long = _in_child(make(kind, directory, LONG_SECONDS), directory, force=force) / 1024
        yield Row(
            f"peak RSS, {name} {kind}, 2 h against 4 min",
            f"{long:.0f} MB",
            f"{short:.0f} MB",
            f"{long - short:+.1f} MB",
            "under +10 MB",
            long - short < 10,  # noqa: PLR2004 - the target beside it
        )


Took = dict[str, list[float]]
"""Seconds of each way, turn by turn."""


def _in_turns(ways: Mapping[str, Callable[[], object]], repeats: int) -> Took:
    """Return the seconds of each way, all of them run once a turn."""
    took: Took = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - start)
    return took


def _against(took: Took, ours: str, other: str, at_least: float | None = None) -> Row:
    milliseconds = ([seconds * 1000 for seconds in took[way]] for way in (ours, other))
    return compared(f"4-minute song: {ours}, against {other}", "ms", *milliseconds, better="less", at_least=at_least)


def _encode(path: Path, *, force: bool = False) -> tuple[Encoded, io.BytesIO]:
    out = io.BytesIO()
    with path.open("rb") as file:
        result = encode_dca(
            file, out, origin=Origin(), options=EncodeOptions(force_transcode=force), on_frames=lambda _frames: None
        )
    out.seek(0)
    return result, out


def _in_child(path: Path, directory: Path, *, force: bool = False) -> float:
    """Encode in a new Python; return its peak memory in KiB (0 where the system does not tell)."""
    command = [sys.executable, "-c", _CHILD, str(path), str(directory / "child.dca"), "1" if force else "0"]
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent.parent)
    return float(done.stdout)


def _ffmpeg(path: Path, *, bitrate: int, complexity: int) -> bytes:
    """Do what such services do: the file on ffmpeg's stdin, Ogg from its stdout, split into DCA frames here."""
    command = ["ffmpeg", "-v", "error", "-i", "pipe:0", "-map", "0:a:0", "-ac", "2", "-ar", "48000", "-c:a", "libopus"]
    command += ["-b:a", str(bitrate), "-compression_level", str(complexity), "-frame_duration", "20"]
    command += ["-application", "audio", "-vbr", "on", "-f", "ogg", "pipe:1"]
    with path.open("rb") as source:
        ogg = subprocess.run(command, check=True, stdin=source, capture_output=True).stdout
    return dca_of(ogg)


def _bare_loop(path: Path) -> int:
    unpack, frames = struct.Struct("<h").unpack, 0
    with path.open("rb") as file:
        file.seek(4)
        file.seek(struct.unpack("<i", file.read(4))[0], os.SEEK_CUR)
        read = file.read
        while head := read(2):
            read(unpack(head)[0])
            frames += 1
    return frames


def _decoded(packets: Any) -> np.ndarray[Any, np.dtype[np.float32]]:  # noqa: ANN401 - any iterable of packets
    context = cast("Any", av.CodecContext.create("opus", "r"))
    context.extradata = struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, 0, 48_000, 0, 0)
    frames = [frame.to_ndarray() for packet in packets for frame in context.decode(Packet(packet))]
    return np.concatenate(frames, axis=1).T.ravel()
