"""The job that makes a DCA file of a URL: one thread downloads while the caller's encodes what is there already."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock, Thread, Timer
from typing import Any, BinaryIO, cast

from audio_service.audio.base import (
    FRAME_MS,
    Encoded,
    EncodeOptions,
    Origin,
    WholeFileNeededError,
    check_reached,
)
from audio_service.audio.drafts import Drafts
from audio_service.audio.opus import encode_dca
from audio_service.children.jobs import ChildProgress, JsonObject, OnProgress
from audio_service.sources.query import clean_title
from audio_service.sources.ytdlp.extractor import Extractor
from audio_service.sources.ytdlp.growing import GrowingFile
from common.errors import MediaCorrupt, MediaTruncated, MediaUnsupported, SourceTruncated

log = logging.getLogger(__name__)

PLAYABLE_FRAMES = 5000 // FRAME_MS
"""Frames that must be in the draft before playback may begin."""
# What may be large and holds no sound: there is no need to download it to its end.
_HEAD_BYTES = 16
_OTHER_KINDS = (b"%PDF", b"MZ", b"\x7fELF", b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"SQLite")
_SOURCE_NAME = "source"
_BETWEEN_REPORTS = 0.5
_JOIN_SECONDS = 2.0
# A song that is complete this soon after PLAYABLE_FRAMES is not announced early.
_SOON_SECONDS = 0.2


class StrayThreadError(Exception):
    """The job has failed and its download thread still hangs: this process must take no other. `__cause__` is why."""


@dataclass(frozen=True, slots=True)
class FetchJob:
    """What to fetch, and where to put it. `info`: from a recent `Extractor.resolve`, or None."""

    url: str
    info: str | None
    directory: str
    duration_ms: int
    origin: Origin


def fetch(extractor: Extractor, job: FetchJob, options: EncodeOptions, report: OnProgress) -> JsonObject:
    """Make a DCA file in the job's directory; nothing else is left there, and nothing at all after a failure.

    Returns:
        `path`, `encoded` (the fields of Encoded), `downloaded_bytes`, and `title` ("": keep the one that is known).

    Raises:
        AppError: the download's error if it has one, else the encoder's.
        StrayThreadError: the encoder failed while the download hangs.
    """
    directory = Path(job.directory)
    growing = GrowingFile(directory / _SOURCE_NAME)
    reporter = ProgressReporter(report, growing, job.duration_ms)
    thread = Thread(target=extractor.download, args=(job.url, job.info, growing, reporter.downloading), daemon=True)
    with Drafts(directory) as drafts:
        thread.start()
        try:
            encoded = _encode(extractor, growing, drafts, origin=job.origin, options=options, reporter=reporter)
            growing.wait_complete()
            if extractor.stated_ms is not None:
                # A segment that is an error page, or in another container, leaves no trace in the file.
                check_reached(encoded.duration_ms, extractor.stated_ms)
        except BaseException as exc:
            growing.abandon()
            thread.join(_JOIN_SECONDS)
            drafts.path.unlink(missing_ok=True)
            if thread.is_alive():
                raise StrayThreadError from exc
            # If the download failed, the encoder has raised the download's error.
            raise
        finally:
            reporter.close()
            for leftover in directory.glob(f"{_SOURCE_NAME}*"):
                leftover.unlink(missing_ok=True)
    thread.join()
    name = extractor.file_name
    return {
        "path": str(drafts.path),
        "encoded": {**asdict(encoded), "title": clean_title(encoded.title)},
        "downloaded_bytes": extractor.received,
        # Of a file without a page its tags know more than its address.
        "title": "" if name is None else clean_title(encoded.title or name),
    }


def _encode(  # noqa: PLR0913 - each is another part of one job
    extractor: Extractor,
    growing: GrowingFile,
    drafts: Drafts,
    *,
    origin: Origin,
    options: EncodeOptions,
    reporter: ProgressReporter,
) -> Encoded:
    def on_frames(frames: int) -> None:
        growing.heard(frames * FRAME_MS)
        reporter.encoding(frames, drafts.number)

    def encode(source: BinaryIO) -> Encoded:
        return encode_dca(
            source,
            cast("BinaryIO", drafts),
            origin=origin,
            # A playlist comes before its first segment.
            options=replace(options, length_stated=extractor.stated_ms is not None),
            on_frames=on_frames,
        )

    try:
        with growing.open() as source:
            return encode(source)
    except WholeFileNeededError:
        growing.wait_complete()
    except (MediaCorrupt, MediaUnsupported, SourceTruncated) as exc:
        # Much that cannot be read in order can be read when FFmpeg may jump in it: the whole file decides.
        if not _may_be_media(growing):
            raise
        log.warning("not readable while it comes: %s", exc.detail)
        growing.wait_complete()
    drafts.truncate()
    with growing.path.open("rb") as source:
        try:
            return encode(source)
        except SourceTruncated as exc:
            if extractor.whole:
                raise MediaTruncated(exc.detail) from exc
            raise


def _may_be_media(growing: GrowingFile) -> bool:
    """Whether the bytes do not begin like a program, an archive or a document."""
    with growing.open() as source:
        return not source.read(_HEAD_BYTES).startswith(_OTHER_KINDS)


class ProgressReporter:
    """Reports progress at most twice a second: the download's, then the rest of the encoding. A playable draft is
    reported at once, and in every later report.
    """

    def __init__(self, report: OnProgress, growing: GrowingFile, duration_ms: int) -> None:
        self._report = report
        self._growing = growing
        self._duration_ms = duration_ms
        self._next = 0.0
        self._lock = Lock()
        self._encoding_since: tuple[float, float] | None = None
        self._latest = ChildProgress("downloading")
        self._timed: int | None = None
        self._timer: Timer | None = None
        self._over = False

    def downloading(self, status: dict[str, Any]) -> None:
        """Report a dictionary of yt-dlp's progress hooks."""
        whole = status.get("total_bytes") or status.get("total_bytes_estimate")
        percent = None
        if whole:
            percent = _percent((status.get("downloaded_bytes") or 0) / whole)
        elif status.get("fragment_count"):
            percent = _percent((status.get("fragment_index") or 0) / status["fragment_count"])
        self._tell(ChildProgress("downloading", percent, status.get("eta"), status.get("speed")))

    def encoding(self, frames: int, draft: int) -> None:
        """Report the number of frames that can be read from the draft."""
        if frames >= PLAYABLE_FRAMES and draft != self._timed:
            self._announce_later(draft)
        if not self._growing.complete:
            return
        percent = eta = None
        if self._duration_ms:
            share, now = min(1.0, frames * FRAME_MS / self._duration_ms), time.monotonic()
            percent = _percent(share)
            self._encoding_since = self._encoding_since or (share, now)
            first, since = self._encoding_since
            eta = (1 - share) * (now - since) / (share - first) if share > first else None
        self._tell(ChildProgress("encoding", percent, eta))

    def close(self) -> None:
        """Report nothing more."""
        with self._lock:
            self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _announce_later(self, draft: int) -> None:
        self._timed = draft
        if self._timer is not None:
            self._timer.cancel()
        # A timer, because a source may stall after its first burst, and then no frame triggers a report.
        self._timer = Timer(_SOON_SECONDS, self._announce, (draft,))
        self._timer.daemon = True
        self._timer.start()

    def _announce(self, draft: int) -> None:
        with self._lock:
            if draft == self._timed and not self._over:
                self._latest = replace(self._latest, draft=draft)
                self._report(self._latest)

    def _tell(self, progress: ChildProgress) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._next or self._over:
                return
            self._next = now + _BETWEEN_REPORTS
            self._latest = replace(progress, draft=self._latest.draft)
            self._report(self._latest)


def _percent(share: float) -> float:
    return round(min(100.0, max(0.0, share * 100)), 1)
