"""Songs for tests of the player: DCA files whose frames tell their own number, as tracks and as files."""

from __future__ import annotations

import io
from pathlib import Path

from bot_service.store.base import Track
from common.dca import FRAME_MS, DcaMetadata, DcaWriter


def frame(number: int, size: int = 120) -> bytes:
    """The payload of one frame; the first byte is the TOC of 20 ms of stereo."""
    return (b"\xfc" + number.to_bytes(4, "big") * (size // 4 + 1))[:size]


def frames(count: int, first: int = 0, size: int = 120) -> list[bytes]:
    return [frame(number, size) for number in range(first, first + count)]


def dca(count: int, size: int = 120) -> bytes:
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata(title="Canción"))
    for number in range(count):
        writer.write(frame(number, size))
    writer.flush()
    return out.getvalue()


def track(video_id: str = "k2qgadSvNyU", count: int = 150) -> Track:
    return Track(
        video_id=video_id,
        title="Canción",
        duration_ms=count * FRAME_MS,
        url=f"https://youtube.com/watch?v={video_id}",
        thumbnail_url="",
        platform="YouTube",
        file_path=f"audio/{video_id}.dca",
    )


def stored(root: Path, song: Track, content: bytes) -> Track:
    """Lay a file where the local blob store in `root` has it."""
    path = root / song.file_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return song
