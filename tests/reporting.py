"""Tables at the end of a test run: the contract suites by adapter, and what tests have measured.

Under xdist each worker sends its tables to the controller, which prints them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import pytest

_SUITE = re.compile(r"tests/contract/test_(\w+)\.py::.*\[([a-z0-9]+)")
_SENT = "tables"


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


TABLES = pytest.StashKey[list[Table]]()


class WorkerNode(Protocol):
    """A test process of xdist that has ended, as the process that prints sees it."""

    config: pytest.Config
    workeroutput: dict[str, Any]


@pytest.fixture
def tables(pytestconfig: pytest.Config) -> list[Table]:
    """The tables that will be printed when the run ends."""
    return pytestconfig.stash.setdefault(TABLES, [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send this process's tables, if another one prints."""
    sent: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if sent is not None:
        sent[_SENT] = [asdict(table) for table in session.config.stash.get(TABLES, list[Table]())]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerNode) -> None:
    """Add what an ended process of xdist has sent; one that died has sent nothing."""
    sent = getattr(node, "workeroutput", {}).get(_SENT, [])
    merge(node.config.stash.setdefault(TABLES, []), (Table(**table) for table in sent))


def merge(tables: list[Table], more: Iterable[Table]) -> None:
    """Put rows under the same title together."""
    for table in more:
        known = next((other for other in tables if other.title == table.title), None)
        if known is None:
            tables.append(table)
        else:
            known.rows.extend(table.rows)


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
