"""Where the command line writes, and what it never lets through: titles and messages come from strangers.

A title may hold terminal escapes, line breaks, direction overrides or rich markup. Markup is off for whole consoles,
and `plain` takes out what would move the cursor or reorder the line.
"""

from __future__ import annotations

import json
import unicodedata

from rich.console import Console

_JOINERS = frozenset("\u200c\u200d")  # Persian, Indic scripts and composed emoji are spelled with them
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def open_screen(*, stderr: bool = False) -> Console:
    """Return a console for results (stdout) or for what goes wrong (stderr). Colours only at a terminal."""
    screen = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    # Sentences are wrapped between words for a person; what reads a pipe gets a line for a line.
    screen.soft_wrap = not screen.is_terminal
    return screen


def plain(text: str) -> str:
    """Return `text` as one line: white space collapsed, control, format and direction characters taken out."""
    flat = " ".join(text.split())
    return "".join(c for c in flat if not _is_unsafe(c))


def safe_json(value: object) -> str:
    """Format a JSON value for people; what `plain` would take out is written as an escape, so the value is the same."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return "\n".join(visible(line) for line in text.split("\n"))


def visible(line: str) -> str:
    """Return a line as it is, with what `plain` would take out written as escapes."""
    return "".join(_escape(c) if _is_unsafe(c) else c for c in line)


def clock(milliseconds: int) -> str:
    """Format a playing time: "3:45", "1:02:03"; "?" when it is not known (0)."""
    if milliseconds <= 0:
        return "?"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _is_unsafe(character: str) -> bool:
    return character not in _JOINERS and unicodedata.category(character) in _UNSAFE


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]
