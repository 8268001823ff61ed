"""Keeps what each suite gave last, one JSON file a suite, and turns those files into the table of README.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.machine import Facts
from bench.table import Row

DIRECTORY = Path(__file__).parent / "results"


@dataclass(slots=True)
class Outcome:
    """What became of one suite. `failed` says why it ended early; the rows until then are kept.

    `cpu_seconds` are those of its processes: on a busy machine they tell more of its cost than `seconds`.
    """

    suite: str
    full: bool
    machine: Facts
    rows: list[Row] = field(default_factory=list[Row])
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    failed: str = ""

    def recorded(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "suite": self.suite,
            "pass": "full" if self.full else "quick",
            "machine": self.machine,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "failed": self.failed,
            "rows": [row.recorded() for row in self.rows],
        }


def write(outcome: Outcome, directory: Path = DIRECTORY) -> Path:
    """Write DIRECTORY/SUITE.json over that suite's last one."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{outcome.suite}.json"
    recorded = outcome.recorded()
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in recorded.pop("rows"))
    head = json.dumps(recorded, indent=1, ensure_ascii=False).removesuffix("\n}")
    # A row a line: small, and a comparison of two files shows the rows that differ.
    path.write_text(f'{head},\n "rows": [\n{rows}\n ]\n}}\n')
    return path


def markdown(suites: Sequence[str], directory: Path = DIRECTORY) -> Iterator[str]:
    """Yield the lines of a table per suite, as the files have it; suites without a file are left out."""
    for suite in suites:
        path = directory / f"{suite}.json"
        if path.exists():
            yield from _section(json.loads(path.read_text()))


def _section(recorded: dict[str, Any]) -> Iterator[str]:
    machine = recorded["machine"]
    yield f"### {recorded['suite']}"
    yield ""
    yield (
        f"{recorded['pass']} pass of {machine['when'][:10]}, {recorded['seconds']:.0f} s "
        f"({recorded['cpu_seconds']:.0f} s of CPU), "
        f"load {machine['load_before']:g} before and {machine['load_after']:g} after."
    )
    yield ""
    yield "| what | ours | the other | ratio | target | |"
    yield "|---|---|---|---|---|---|"
    for row in recorded["rows"]:
        verdict = {True: "met", False: "**missed**", None: ""}[row["met"]]
        texts = [row["name"], *(row[column]["text"] for column in ("ours", "other", "ratio", "target")), verdict]
        yield "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"
    yield ""
