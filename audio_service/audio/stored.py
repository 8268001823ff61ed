"""Reads back how a finished DCA file was made, for a worker that finds one that it did not make."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast, get_args

from audio_service.audio.base import NOT_STATED, STATED, Encoded, Mode
from common.dca import DcaError, DcaReader


def examine(path: Path) -> Encoded | None:
    """Describe a file that `encode_dca` made; None when it is another file, or incomplete."""
    with path.open("rb") as file:
        try:
            reader = DcaReader(file)
            frames = sum(1 for _ in reader)
        except DcaError:
            return None
        if reader.metadata is None:
            return None
        extra = reader.metadata.extra
        mode = extra.get("mode")
        if mode not in get_args(Mode) or not frames:
            return None
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Encoded(
        mode=cast("Mode", mode),
        reason=str(extra.get("reason", "")),
        frames=frames,
        size=path.stat().st_size,
        sha256=sha256,
        source_codec=reader.metadata.origin.encoding,
        source_container=str(extra.get("container", "")),
        # In files of before this was noted, and where only the end tells, it is not known.
        states_length={STATED: True, NOT_STATED: False}.get(str(extra.get("length"))),
    )
