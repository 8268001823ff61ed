"""The scopes of keys and tokens: a closed set, which routes, keys and tokens name."""

from __future__ import annotations

from typing import Literal, get_args

Scope = Literal["media:read", "sources:read", "requests:cancel", "uploads:write", "assets:read", "metrics:read"]
"""`media:read`: records and songs of the library. `sources:read`: look-ups at the sources, which cost quota.
`requests:cancel`: withdrawing requests. `uploads:write`: sending files, where UPLOADS is on. `assets:read`: what was
made of them. `metrics:read`: /metrics, where METRICS_PORT is not set.
"""

SCOPES: tuple[Scope, ...] = get_args(Scope)


def known_scopes(words: object) -> frozenset[Scope]:
    """Return those of `words` (an OAuth2 scope string, RFC 6749 §3.3, or a list) that are ours."""
    listed: object = words.split() if isinstance(words, str) else words
    return frozenset(scope for scope in SCOPES if isinstance(listed, list) and scope in listed)
