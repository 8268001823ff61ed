"""The syntax of blob keys, one for all adapters."""

from __future__ import annotations

import re

MAX_KEY_CHARACTERS = 512
MAX_SEGMENT_CHARACTERS = 200

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def check_key(key: str) -> str:
    """Return `key` when it is segments of ASCII letters, digits, `_`, `-` and inner `.`, joined by single `/`.

    No segment begins with a dot, so a key can neither leave the store nor name an adapter's internal files.

    Raises:
        ValueError: any other text. Keys are made from checked ids, so this is a defect of the caller and no failure of
            the store.
    """
    segments = key.split("/")
    if len(key) > MAX_KEY_CHARACTERS or not all(
        len(segment) <= MAX_SEGMENT_CHARACTERS and _SEGMENT.fullmatch(segment) for segment in segments
    ):
        raise ValueError(f"not a blob key: {key[:MAX_KEY_CHARACTERS]!r}")
    return key
