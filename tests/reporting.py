"""Tables at the end of a test run: the contract suites by adapter, and whatever a test has measured or survived."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

_SUITE = re.compile(r"tests/contract/test_(\w+)\.py::.*\[([a-z]+)")
TABLES = pytest.StashKey[list["Table"]]()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; tests append to `rows`."""

    title: str
    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list[Sequence[str]])

    def lines(self) -> list[str]:
        """Return the table as aligned text."""
        cells = [self.headings, *self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.headings))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


@pytest.fixture
def tables(pytestconfig: pytest.Config) -> list[Table]:
    """The tables that will be printed when the run ends."""
    return pytestconfig.stash.setdefault(TABLES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables."""
    for table in [*_contracts(terminalreporter), *config.stash.get(TABLES, list[Table]())]:
        terminalreporter.section(table.title)
        for line in table.lines():
            terminalreporter.write_line(line)


def _contracts(reporter: pytest.TerminalReporter) -> list[Table]:
    """Count the contract tests of each port by adapter and outcome."""
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "skipped"):
        for report in reporter.getreports(outcome):
            match = _SUITE.search(report.nodeid)
            if match and (report.when == "call" or outcome == "skipped"):
                counts[match[1], match[2]][outcome] += 1
    if not counts:
        return []
    rows: list[Sequence[str]] = [
        (port, adapter, *(str(count[outcome]) for outcome in ("passed", "failed", "skipped")))
        for (port, adapter), count in sorted(counts.items())
    ]
    return [Table("contract suites", ("port", "adapter", "passed", "failed", "skipped"), rows)]
