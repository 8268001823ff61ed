"""Which of our two languages a client prefers. Nothing but the `Accept-Language` header is looked at."""

from __future__ import annotations

import re

from common.errors import Locale

# RFC 9110 §12.5.4; parts beyond the tenth are not worth the time.
_PART = re.compile(
    r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]{1,60})?\s*(?:;\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
_MAX_PARTS = 10


def preferred(accept_language: str, default: Locale) -> Locale:
    """Return the language with the highest quality; the first named wins a tie, `default` where neither is named."""
    best: tuple[float, Locale] = (0.0, default)
    for part in accept_language.split(",", _MAX_PARTS)[:_MAX_PARTS]:
        match = _PART.fullmatch(part)
        if match is None:
            continue
        language, quality = match[1].lower(), float(match[2] or 1)
        if quality <= best[0]:
            continue
        if language == "es":
            best = (quality, "es")
        elif language == "en":
            best = (quality, "en")
        elif language == "*":
            best = (quality, default)
    return best[1]
