"""Which charts and images are older than six months, or have an advisory: from k8s/pins.json, without a network.

An advisory is a failure; age is said. `make check` and `make audit` run it as a program.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OLDEST_DAYS = 183
Json = dict[str, Any]


def read() -> Json:
    """Return `pins` and `advisories`."""
    return json.loads((ROOT / "k8s" / "pins.json").read_text())


def old(listed: Json, today: date) -> list[str]:
    """Return a line for each pin that is older than six months."""
    lines: list[str] = []
    for pin in listed["pins"]:
        days = (today - date.fromisoformat(pin["released"])).days
        if days > OLDEST_DAYS:
            lines.append(f"{pin['name']} {pin['version']} ({pin['file']}) is {days} days old")
    return lines


def vulnerable(listed: Json) -> list[str]:
    """Return a line for each pin that an advisory names."""
    return [
        f"{pin['name']} {pin['version']} ({pin['file']}) has {one['id']}, fixed in {one['fixed']}"
        for pin in listed["pins"]
        for one in listed["advisories"]
        if one["name"] == pin["name"] and _parts(one["from"]) <= _parts(pin["version"]) < _parts(one["fixed"])
    ]


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def main() -> int:
    """Print what is old or vulnerable, and return the exit code."""
    listed = read()
    aged, known = old(listed, datetime.now(UTC).date()), vulnerable(listed)
    sys.stderr.write("".join(f"{line}\n" for line in (*known, *aged)))
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main())
