"""The job that makes a DCA file of a URL: one thread downloads while the caller's encodes what is there already."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any, BinaryIO

from audio_service.audio.base import FRAME_MS, Encoded, EncodeOptions, Origin, WholeFileNeededError
from audio_service.audio.opus import encode_dca
from audio_service.sources.growing import GrowingFile
from audio_service.sources.jobs import JsonObject, Progress
from audio_service.sources.ytdlp import Extractor

OUT_NAME = "out.dca"
_SOURCE_NAME = "source"
_BETWEEN_REPORTS = 0.5
_LAST_WORDS_SECONDS = 2.0

Report = Callable[[Progress], None]


class StrayThreadError(Exception):
    """The job is over and its download still hangs: this process must not take another. The cause is the outcome."""


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """What to fetch, and where to put it. `info` is what `Extractor.resolve` gave, if it was asked lately."""

    url: str
    info: str | None
    directory: str
    duration_ms: int
    origin: Origin


def fetch(extractor: Extractor, order: FetchOrder, options: EncodeOptions, report: Report) -> JsonObject:
    """Make `out.dca` in the order's directory; nothing else is left there, and nothing at all after a failure.

    Returns:
        `path`, `encoded` (the fields of Encoded) and `downloaded_bytes`.

    Raises:
        AppError: the download's error if it has one, else the encoder's.
        StrayThreadError: the encoder failed while the download hangs.
    """
    directory = Path(order.directory)
    growing = GrowingFile(directory / _SOURCE_NAME)
    out = directory / OUT_NAME
    news = _News(report, growing, order.duration_ms)
    thread = Thread(target=extractor.download, args=(order.url, order.info, growing, news.downloading), daemon=True)
    thread.start()
    try:
        encoded = _encode(growing, out, order.origin, options, news)
        growing.wait_complete()
    except BaseException as exc:
        growing.abandon()
        thread.join(_LAST_WORDS_SECONDS)
        out.unlink(missing_ok=True)
        if thread.is_alive():
            raise StrayThreadError from exc
        # A download that broke off is why the encoder failed, and not the other way round.
        raise
    finally:
        for leftover in directory.glob(f"{_SOURCE_NAME}*"):
            leftover.unlink(missing_ok=True)
    thread.join()
    return {"path": str(out), "encoded": asdict(encoded), "downloaded_bytes": extractor.received}


def _encode(growing: GrowingFile, out: Path, origin: Origin, options: EncodeOptions, news: _News) -> Encoded:
    def encode(source: BinaryIO) -> Encoded:
        with out.open("wb") as target:
            return encode_dca(source, target, origin=origin, options=options, on_frames=news.encoding)

    try:
        with growing.open() as source:
            return encode(source)
    except WholeFileNeededError:
        growing.wait_complete()
    with growing.path.open("rb") as source:
        return encode(source)


class _News:
    """Tells how far the job is, at most twice a second: the download first, then what is left of the encoding."""

    def __init__(self, report: Report, growing: GrowingFile, duration_ms: int) -> None:
        self._report = report
        self._growing = growing
        self._duration_ms = duration_ms
        self._next = 0.0
        self._lock = Lock()
        self._encoding_since: tuple[float, float] | None = None

    def downloading(self, status: dict[str, Any]) -> None:
        """Take a status of yt-dlp's."""
        whole = status.get("total_bytes") or status.get("total_bytes_estimate")
        percent = None
        if whole:
            percent = _percent((status.get("downloaded_bytes") or 0) / whole)
        elif status.get("fragment_count"):
            percent = _percent((status.get("fragment_index") or 0) / status["fragment_count"])
        self._tell(Progress("downloading", percent, status.get("eta"), status.get("speed")))

    def encoding(self, frames: int) -> None:
        """Take the number of frames that are done."""
        if not self._growing.complete:
            return
        percent = eta = None
        if self._duration_ms:
            share, now = min(1.0, frames * FRAME_MS / self._duration_ms), time.monotonic()
            percent = _percent(share)
            self._encoding_since = self._encoding_since or (share, now)
            first, since = self._encoding_since
            eta = (1 - share) * (now - since) / (share - first) if share > first else None
        self._tell(Progress("encoding", percent, eta))

    def _tell(self, progress: Progress) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + _BETWEEN_REPORTS
        self._report(progress)


def _percent(share: float) -> float:
    return round(min(100.0, max(0.0, share * 100)), 1)
