"""What a benchmark prints: rows of ours against something else, the machine they ran on, and the same as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ours against something else. `ratio` above 1 is in our favour; "" where there is none."""

    name: str
    ours: str
    other: str
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def show(title: str, rows: Iterable[Row], results: Path) -> bool:
    """Print rows as they come, write them to `results`, and return whether every target was met."""
    console = Console(width=150)
    table = Table(title=title, title_justify="left")
    for column in ("what", "ours", "the other", "ratio", "target", ""):
        table.add_column(column, overflow="fold")
    kept: list[Row] = []
    for row in rows:
        kept.append(row)
        console.print(f"  {row.name}: {row.ours} / {row.other} {row.ratio}", markup=False)
        table.add_row(
            row.name, row.ours, row.other, row.ratio, row.target, {True: "met", False: "MISSED", None: ""}[row.met]
        )
    console.print(table)
    machine = facts()
    console.print(f"machine: {machine}", markup=False)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in kept]}, indent=2) + "\n")
    return all(row.met is not False for row in kept)


def facts() -> dict[str, str | int | None]:
    """Return what a reader must know to judge the numbers."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
