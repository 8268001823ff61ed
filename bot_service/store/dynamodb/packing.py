"""Documents as attributes: a short one as text, a longer one compressed, and one above an item's limit in pages.

A write is paid by the KB, and the documents of a queue repeat their names and addresses: zlib leaves a tenth of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

PAGE_BYTES = 350_000
"""Below DynamoDB's limit of 400 KB for an item, with its other attributes."""
_PLAIN_BYTES = 700
"""A document up to this size is text, which people can read in the console: it is one write unit either way."""


def packed(text: str) -> str | bytes:
    """Return a document as an attribute."""
    plain = text.encode()
    return text if len(plain) <= _PLAIN_BYTES else zlib.compress(plain)


def unpacked(value: object) -> str:
    """Return the document of an attribute; "", which is no document, for anything that cannot be read."""
    try:
        return zlib.decompress(value).decode() if isinstance(value, bytes) else value if isinstance(value, str) else ""
    except (zlib.error, UnicodeDecodeError):
        return ""


def paged(value: str | bytes) -> Sequence[bytes]:
    """Cut an attribute that is too large for one item; nothing for one that is not."""
    if not isinstance(value, bytes) or len(value) <= PAGE_BYTES:
        return []
    return [value[start : start + PAGE_BYTES] for start in range(0, len(value), PAGE_BYTES)]
