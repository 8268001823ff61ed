"""Conditional and range requests (RFC 9110 §13, §14), pure: header values in, decisions out.

Only what a player needs: one range, entity tags, no dates (a blob has none worth comparing). Several ranges, other
units and malformed values get the whole file, which the RFC allows and every client understands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SINGLE_RANGE = re.compile(r"bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
_TAG = re.compile(r'\s*(?:W/)?("[^"]*")\s*(?:,|$)')
# More digits than any file has bytes; Python refuses to read numbers of thousands of digits.
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A satisfiable range. `end` is one past the last byte."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    def content_range(self, size: int) -> str:
        """Return the `Content-Range` header of a 206."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


class Unsatisfiable(Exception):
    """The range begins after the file's end: 416."""


def parse_range(value: str, size: int) -> ByteRange | None:
    """Return the one range that `value` asks for, None where the whole file is the answer.

    Raises:
        Unsatisfiable: well-formed, and nothing of it is in the file.
    """
    match = _SINGLE_RANGE.fullmatch(value)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return _satisfiable(max(0, size - _number(last)), size, size)
    start = _number(first)
    if last and _number(last) < start:
        return None
    return _satisfiable(start, min(size, _number(last) + 1) if last else size, size)


def range_applies(if_range: str | None, etag: str) -> bool:
    """Whether `If-Range` lets the range through: strong comparison (§13.1.5), so weak tags and dates never do."""
    return if_range is None or if_range.strip() == etag


def is_fresh(if_none_match: str | None, etag: str) -> bool:
    """Whether the client's copy is current: weak comparison (§13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match)


def strong_etag(value: str) -> str:
    """Quote a store's etag, as HTTP wants it."""
    return f'"{value.strip(chr(34))}"'


def _satisfiable(start: int, end: int, size: int) -> ByteRange:
    if start >= size or start >= end:
        raise Unsatisfiable
    return ByteRange(start, end)


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
