"""Imports one record: its file is found, proved, stored under our key, and the record inserted last.

Safe to repeat, and to kill: a record that is there is left out before its file is copied, a file without a record is
written again. Nothing of the original is changed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from audio_service.audio.packets import PacketError, parse
from audio_service.importing.files import OriginalFiles
from audio_service.importing.records import OriginalRecord, UnreadableRecord, read_record
from audio_service.media.model import AUDIO_TYPE, Encoding, Media, MediaStatus, audio_key, human_size
from audio_service.media.repository.base import MediaRepository
from audio_service.workspace import Workspace
from common.blobs.base import BlobStore
from common.dca import FRAME_MS, DcaError, DcaReader
from common.errors import BlobNotFound
from common.messages.downloads import FileData

MAX_DIFFERENCE_MS = 2_000
"""A file whose duration differs by more is another song's: two videos of one title share a file in the original."""
_FRAME_SAMPLES = 960


class Outcome(StrEnum):
    """What became of a record."""

    IMPORTED = "imported"
    PRESENT = "present"
    UNFINISHED = "unfinished"
    UNREADABLE = "unreadable"
    FILE_MISSING = "file_missing"
    FILE_DAMAGED = "file_damaged"
    OTHER_DURATION = "other_duration"

    @property
    def left_out(self) -> bool:
        """Whether a finished song did not come along."""
        return self in {Outcome.UNREADABLE, Outcome.FILE_MISSING, Outcome.FILE_DAMAGED, Outcome.OTHER_DURATION}


@dataclass(frozen=True, slots=True)
class Result:
    """`detail` is one line for operators."""

    media_id: str
    title: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Importer:
    """`dry_run`: files are read and proved, and nothing is written."""

    files: OriginalFiles
    repository: MediaRepository
    blobs: BlobStore
    workspace: Workspace
    dry_run: bool

    async def take(self, document: Mapping[str, Any]) -> Result:
        """Import one document of the original library.

        Raises:
            AppError: a database or a store does not answer; the record can be tried again.
        """
        try:
            record = read_record(document)
        except UnreadableRecord as exc:
            return Result("", "", Outcome.UNREADABLE, str(exc))
        outcome, detail = await self._take(record)
        return Result(record.media_id, record.metadata.title, outcome, detail)

    async def _take(self, record: OriginalRecord) -> tuple[Outcome, str]:
        if not record.finished:
            return Outcome.UNFINISHED, ""
        if await self._is_here(record.media_id):
            return Outcome.PRESENT, ""
        with self.workspace.job() as directory:
            copy = directory / "original.dca"
            try:
                await self.files.copy(record.file_path, copy)
                proof = await asyncio.to_thread(_prove, copy, record)
            except _LeftOut as exc:
                return exc.outcome, f"{record.file_path}: {exc}"
            except BlobNotFound:
                return Outcome.FILE_MISSING, record.file_path
            if self.dry_run:
                return Outcome.IMPORTED, ""
            await self.blobs.put(audio_key(record.media_id), copy)
        inserted = await self.repository.insert(_media(record, proof))
        return (Outcome.IMPORTED if inserted else Outcome.PRESENT), ""

    async def _is_here(self, media_id: str) -> bool:
        """Whether the record is ours: in one table with the original's, those are seen too, with files of theirs."""
        media = await self.repository.get(media_id)
        return media is not None and media.file.file_path in {"", audio_key(media_id)}


class _LeftOut(Exception):
    """The record's file is not one that may come along."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class _Proof:
    frames: int
    size: int
    sha256: str


def _prove(path: Path, record: OriginalRecord) -> _Proof:
    """Read a file to its end. Raises _LeftOut: it is damaged, its packets are not of 20 ms, or it is another song's."""
    frames = 0
    with path.open("rb") as file:
        try:
            for packet in DcaReader(file):
                _check_duration(packet)
                frames += 1
        except (DcaError, PacketError) as exc:
            raise _LeftOut(Outcome.FILE_DAMAGED, str(exc)) from exc
        lasts, recorded = frames * FRAME_MS, record.metadata.duration_ms
        if abs(lasts - recorded) > MAX_DIFFERENCE_MS:
            raise _LeftOut(Outcome.OTHER_DURATION, f"{lasts} ms, {recorded} ms recorded")
        file.seek(0)
        return _Proof(frames, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _check_duration(packet: bytes) -> None:
    """Raise PacketError unless the packet is of one frame of DCA."""
    if (samples := parse(packet).samples) != _FRAME_SAMPLES:
        raise PacketError(f"a packet of {samples / 48:g} ms")


def _media(record: OriginalRecord, proof: _Proof) -> Media:
    return Media(
        video_id=record.media_id,
        status=MediaStatus.SUCCESS,
        metadata=record.metadata,
        file=FileData(file_path=audio_key(record.media_id), file_size=human_size(proof.size), file_type=AUDIO_TYPE),
        size_bytes=proof.size,
        encoding=Encoding("transcoded", "imported from the original system", proof.frames, proof.sha256),
        message=record.message,
        error_code=None,
        processing_date=record.processing_date,
        created_at=record.created_at,
        updated_at=record.updated_at,
        attempts=record.attempts,
        failures=record.failures,
        play_count=record.play_count,
    )
