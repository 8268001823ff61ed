"""Golden JSON: what other programs rely on, as files that a reviewer can read. They are changed by hand only."""

from __future__ import annotations

import json
import re
from pathlib import Path

_GOLDEN = Path(__file__).parent / "golden"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FIXED_TIME = "2025-05-16T23:06:17.533Z"


def golden(name: str) -> str:
    """Return a file's text."""
    return (_GOLDEN / f"{name}.json").read_text(encoding="utf-8")


def pretty(body: bytes) -> str:
    """Return JSON as the golden files have it: members in the order in which they were sent, times made equal.

    A time in any other form than the contract's stays as it is, and so differs.
    """
    text = json.dumps(json.loads(body), indent=2, ensure_ascii=False) + "\n"
    return _TIME.sub(FIXED_TIME, text)
