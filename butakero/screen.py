"""The consoles of the command line, and the escaping of untrusted text for them.

A title may hold terminal escapes, line breaks, direction overrides or rich markup. Markup is off for whole consoles,
and `plain` removes characters that move the cursor or reorder the line.
"""

from __future__ import annotations

import json
import unicodedata

from rich.console import Console

_JOINERS = frozenset("\u200c\u200d")  # Persian, Indic scripts and composed emoji are spelled with them
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def open_screen(*, stderr: bool = False) -> Console:
    """Return a console for results (stdout) or for errors (stderr). Colours only at a terminal."""
    screen = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    # Sentences are wrapped between words at a terminal; a pipe gets one line per line.
    screen.soft_wrap = not screen.is_terminal
    return screen


def plain(text: str) -> str:
    """Return `text` as one line: white space collapsed, control, format and direction characters removed."""
    flat = " ".join(text.split())
    return "".join(c for c in flat if not _is_unsafe(c))


def safe_json(value: object) -> str:
    """Format a JSON value for people; what `plain` would remove is escaped, so the value is the same."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return "\n".join(visible(line) for line in text.split("\n"))


def visible(line: str) -> str:
    """Return a line with the characters that `plain` would remove escaped."""
    return "".join(_escape(c) if _is_unsafe(c) else c for c in line)


def clock(milliseconds: int) -> str:
    """Format a duration: "3:45", "1:02:03"; "?" when it is unknown (0)."""
    if milliseconds <= 0:
        return "?"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _is_unsafe(character: str) -> bool:
    return character not in _JOINERS and unicodedata.category(character) in _UNSAFE


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]
