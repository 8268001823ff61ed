"""Formats times and bars, and parses times. Pure."""

from __future__ import annotations

import re

_BAR = 18
_CLOCK = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,6})")
_UNITS = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,6})s)?")
_MINUTE = 60
_HOUR = 3600


def clock(ms: float) -> str:
    """Return a duration as m:ss, or h:mm:ss from an hour on."""
    seconds = max(int(ms // 1000), 0)
    hours, rest = divmod(seconds, _HOUR)
    minutes, seconds = divmod(rest, _MINUTE)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def length(ms: int) -> str:
    """Return a song's length; "?" while it is unknown."""
    return clock(ms) if ms > 0 else "?"


def position_bar(position_ms: int, duration_ms: int) -> str:
    """Return a line with a knob at the song's position."""
    share = min(max(position_ms / duration_ms, 0.0), 1.0) if duration_ms > 0 else 0.0
    knob = min(int(share * _BAR), _BAR - 1)
    return "▬" * knob + "🔘" + "▬" * (_BAR - 1 - knob)


def percent_bar(percent: float | None) -> str:
    """Return a progress bar with its percentage; an empty bar when that is unknown."""
    if percent is None:
        return "▱" * 10
    filled = min(max(int(percent // 10), 0), 10)
    return f"{'▰' * filled}{'▱' * (10 - filled)} {min(max(percent, 0), 100):.0f} %"


def parse_time(text: str) -> int | None:
    """Parse a position in a song: 83, 1:23, 1:02:03, 1m23s, 90s, 1h2m. Returns ms; None for any other text."""
    given = text.strip().lower().replace(" ", "")
    match = _CLOCK.fullmatch(given) or _UNITS.fullmatch(given)
    if not given or match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (hours * _HOUR + minutes * _MINUTE + seconds) * 1000
