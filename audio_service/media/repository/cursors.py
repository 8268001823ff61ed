"""Opaque cursors: where a page ended, as a key and not as a count, so that what is added meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

import orjson

from common.errors import InvalidInput

MAX_PAGE = 100
_MAX_LENGTH = 200
_INT64 = 2**63


def page_size(limit: int) -> int:
    """Return how many records a page has: what was asked for, within 1..MAX_PAGE."""
    return max(1, min(limit, MAX_PAGE))


def encode_cursor(kind: str, first: int, second: int) -> str:
    """Make a cursor of the two integers that a page's last record is ordered by."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, first, second])).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> tuple[int, int]:
    """Read a cursor of that kind.

    Raises:
        InvalidInput: it was not made by `encode_cursor`, or for another kind of page.
    """
    try:
        loaded: Any = orjson.loads(_bytes_of(cursor))
    except (ValueError, binascii.Error) as exc:
        raise InvalidInput("cursor: not one of ours") from exc
    parts = cast("list[Any]", loaded) if isinstance(loaded, list) else []
    match parts:
        case [str(name), int(first), int(second)] if name == kind and _fits(first) and _fits(second):
            return first, second
        case _:
            raise InvalidInput("cursor: not one of ours")


def encode_text_cursor(kind: str, text: str) -> str:
    """Make a cursor of the key of a page's last record."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, text])).decode().rstrip("=")


def decode_text_cursor(kind: str, cursor: str) -> str | None:
    """Read a cursor that `encode_text_cursor` made for that kind of page; None: it is another."""
    try:
        loaded: Any = orjson.loads(_bytes_of(cursor))
    except (ValueError, binascii.Error, InvalidInput):
        return None
    parts = cast("list[Any]", loaded) if isinstance(loaded, list) else []
    match parts:
        case [str(name), str(text)] if name == kind:
            return text
        case _:
            return None


def _bytes_of(cursor: str) -> bytes:
    if len(cursor) > _MAX_LENGTH:
        raise InvalidInput("cursor: too long")
    return base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)


def _fits(value: int) -> bool:
    return not isinstance(value, bool) and 0 <= value < _INT64
