"""The families of files that may be uploaded, as UPLOAD_FAMILIES names them."""

from __future__ import annotations

from typing import Literal, cast, get_args

Family = Literal["aac", "aiff", "amr", "caf", "flac", "mp3", "mp4", "ogg", "wav", "webm"]
FAMILIES: tuple[Family, ...] = get_args(Family)


def families_of(text: str) -> frozenset[Family]:
    """Read a list of families, separated by commas. Raises ValueError that names the first unknown one."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in FAMILIES]:
        raise ValueError(unknown[0])
    return frozenset(cast("list[Family]", names))
