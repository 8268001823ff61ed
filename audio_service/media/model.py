"""Media records: states, legal transitions, blob keys. No I/O."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from audio_service.audio.base import Mode
from common.errors import AppError, InvalidVideoId
from common.messages.downloads import FileData, PlatformMetadata

MIN_SEARCH_CHARACTERS = 3
AUDIO_TYPE = "audio/dca"
"""The type of the stored files, as records and statuses say it."""
_KB = 1024
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class MediaStatus(StrEnum):
    """`processing`: held by a lease, or claimable once the lease has expired."""

    PROCESSING = "processing"
    SUCCESS = "success"
    ERROR = "error"


LEGAL_MOVES: dict[MediaStatus, frozenset[MediaStatus]] = {
    MediaStatus.PROCESSING: frozenset({MediaStatus.PROCESSING, MediaStatus.SUCCESS, MediaStatus.ERROR}),
    MediaStatus.ERROR: frozenset({MediaStatus.PROCESSING}),
    # When the stored file is missing or evicted.
    MediaStatus.SUCCESS: frozenset({MediaStatus.PROCESSING}),
}


class IllegalMoveError(AppError):
    """The record's state machine has no such transition: a defect of the caller."""


def check_move(before: MediaStatus, after: MediaStatus) -> None:
    """Raise IllegalMoveError unless a record may go from `before` to `after`."""
    if after not in LEGAL_MOVES[before]:
        raise IllegalMoveError(f"{before} → {after}")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the stored DCA file was made, and the checksum of the whole. `reason` says why this mode was chosen."""

    mode: Mode
    reason: str
    frames: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Media:
    """One record of the library. Times are aware UTC, to the millisecond."""

    video_id: str
    status: MediaStatus
    metadata: PlatformMetadata
    file: FileData
    size_bytes: int
    encoding: Encoding | None
    message: str
    error_code: str | None
    processing_date: datetime
    created_at: datetime
    updated_at: datetime
    attempts: int = 0
    failures: int = 0
    play_count: int = 0
    last_played_at: datetime | None = None

    @property
    def title_lower(self) -> str:
        """The title as searches see it."""
        return normalise_title(self.metadata.title)


# Combining Diacritical Marks; those of other scripts are letters of their own.
_ACCENTS = re.compile("[\u0300-\u036f]")
# Letters with a stroke or without a dot, which Unicode does not decompose.
_WITHOUT_STROKE = str.maketrans("øłđħŧı", "oldhti")


def normalise_title(text: str) -> str:
    """Lower case (NFC), and nothing but letters, digits, combining marks and white space; runs of white space stay."""
    lowered = unicodedata.normalize("NFC", text).lower()
    return "".join(c for c in lowered if c.isalnum() or c.isspace() or unicodedata.category(c)[0] == "M")


def search_text(text: str) -> str:
    """Return what search compares: the normalised text without regard to case, accents, and how much white space there
    is. Idempotent.

    Applied to titles and queries alike. Every substring of `title_lower` is still found; beyond that, "dua
    lipa new rules" finds "Dua Lipa - New Rules", whose dash leaves two spaces, "STRASSE" finds "Straße", and "corazon"
    finds "Corazón". Fewer than MIN_SEARCH_CHARACTERS of it find nothing.
    """
    decomposed = unicodedata.normalize("NFD", normalise_title(text).casefold().translate(_WITHOUT_STROKE))
    return " ".join(unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed)).split())


def check_media_id(text: str) -> str:
    """Return `text` when it can be a media id. Raises InvalidVideoId."""
    if not _MEDIA_ID.fullmatch(text):
        raise InvalidVideoId
    return text


def audio_key(media_id: str) -> str:
    """Return the blob key of a record's DCA file."""
    return f"audio/{check_media_id(media_id)}.dca"


def human_size(size: int) -> str:
    """Format bytes as the contract shows them: "2.70MB" (1 MB = 1024 * 1024 bytes); others in B, KB or GB."""
    shown = float(size)
    for unit in ("B", "KB", "MB"):
        # What would round to 1024.00KB is shown as 1.00MB.
        if round(shown, 2) < _KB:
            return f"{size}B" if unit == "B" else f"{shown:.2f}{unit}"
        shown /= _KB
    return f"{shown:.2f}GB"
