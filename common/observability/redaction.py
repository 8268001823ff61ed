"""Removes secrets from log lines, as the last step before they are written. A second line of defence: this project's
code logs none, but libraries put headers and URLs into their messages. Pure.
"""

from __future__ import annotations

import re
from typing import cast

HIDDEN = "[hidden]"
# This project's API keys, JSON Web Tokens, credentials after an authentication scheme, passwords in URLs, and URL
# parameters that are named like a secret.
_SECRETS = (
    (re.compile(r"bk_([0-9a-f]{8})_[A-Za-z0-9_-]{10,}"), rf"bk_\1_{HIDDEN}"),
    # Atomic: of a run of these characters only the first "eyJ" is tried, so that a long run takes linear time.
    (
        re.compile(r"(?<![A-Za-z0-9_-])(?>([A-Za-z0-9_-]*?)eyJ)[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]*+\.?[A-Za-z0-9_-]*+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b([Bb]earer) +[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(Basic|Bot) +[A-Za-z0-9._~+/=-]{20,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), rf"\1:{HIDDEN}@"),
    (
        re.compile(
            r"([?&](?:key|token|access_token|api_key|password|sig|signature"
            r"|x-amz-(?:signature|credential|security-token))=)[^&\s\"']+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)
_DEPTH = 4


def redact(text: str) -> str:
    """Return the text with everything that looks like a secret replaced."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def redact_all(value: object, depth: int = _DEPTH) -> object:
    """Return a value of a log line with every text in it redacted; deeper levels than `depth` stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray | BaseException):
        return redact(repr(value))
    if depth and isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {key: redact_all(entry, depth - 1) for key, entry in entries.items()}
    if depth and isinstance(value, list | tuple):
        return [redact_all(entry, depth - 1) for entry in cast("list[object]", value)]
    return value
