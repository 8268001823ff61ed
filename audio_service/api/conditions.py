"""Conditional and range requests (RFC 9110 §13, §14), pure: header values in, decisions out, in linear time.

The subset that players need: one range, entity tags, no dates (blobs have none worth comparing). Several ranges, other
units and malformed values get the whole file, which the RFC allows.
"""

from __future__ import annotations

from dataclasses import dataclass

_WHITE_SPACE = " \t"
_WEAK = "W/"
# More digits than any file has bytes; Python refuses to convert numbers of thousands of digits.
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A satisfiable range of bytes. `end` is exclusive."""

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
    """The range begins after the end of the file: 416."""


def parse_range(value: str, size: int) -> ByteRange | None:
    """Return the single range in a `Range` header, None where the response is the whole file.

    Raises:
        Unsatisfiable: well-formed, but no byte of it is in the file.
    """
    unit, equals, ranges = value.partition("=")
    first, dash, last = (part.strip(_WHITE_SPACE) for part in ranges.partition("-"))
    if unit.strip(_WHITE_SPACE).lower() != "bytes" or not equals or not dash:
        return None
    if not _are_digits(first + last):
        return None
    if not first:
        return _satisfiable(max(0, size - _number(last)), size, size)
    start = _number(first)
    if last and _number(last) < start:
        return None
    return _satisfiable(start, min(size, _number(last) + 1) if last else size, size)


def range_applies(if_range: str | None, etag: str) -> bool:
    """Whether `If-Range` permits the range: strong comparison (§13.1.5), so weak tags and dates never do."""
    return if_range is None or if_range.strip(_WHITE_SPACE) == etag


def is_fresh(if_none_match: str | None, etag: str) -> bool:
    """Whether the client's copy is current: weak comparison (§13.1.2). `etag` is quoted."""
    if if_none_match is None:
        return False
    return if_none_match.strip(_WHITE_SPACE) == "*" or etag.strip('"') in _opaque_tags(if_none_match)


def strong_etag(value: str) -> str:
    """Return a store's etag as a strong entity tag (§8.8.3)."""
    return f'"{value.strip(chr(34))}"'


def _opaque_tags(value: str) -> list[str]:
    """Return the entity tags of a list, without quotes and `W/`; none where the list is malformed.

    Quotes cannot occur inside a tag, so every second piece between quotes is a tag, the others separate them.
    """
    pieces = value.split('"')
    tags, around = pieces[1::2], [piece.strip(_WHITE_SPACE) for piece in pieces[::2]]
    between = [piece.removesuffix(_WEAK).rstrip(_WHITE_SPACE) for piece in around[1:-1]]
    well_formed = len(pieces) % 2 == 1 and around[0] in {"", _WEAK} and not around[-1] and set(between) <= {","}
    return tags if well_formed else []


def _satisfiable(start: int, end: int, size: int) -> ByteRange:
    if start >= size or start >= end:
        raise Unsatisfiable
    return ByteRange(start, end)


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
