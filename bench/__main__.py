"""`python -m bench [--full] [SUITE …]`: run benchmarks, print their rows and tables, write bench/results/SUITE.json."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, cast

from rich.console import Console

from bench import machine, results
from bench.results import Outcome
from bench.table import Row, table_of
from tests.servers.missing import ProgramMissing

# A suite is a module of that name; it is imported when its turn comes, so that one that cannot be is one that failed.
SUITES = ("audio", "children", "requests", "workers", "api", "library", "broker", "startup", "voice", "aws")
_FULL_ONLY = frozenset({"library"})
"""Left out of a quick pass unless asked for by name: it says something of large libraries alone."""


class Suite(Protocol):
    """What a suite's module has."""

    def rows(self, directory: Path, /, *, full: bool) -> Iterable[Row]:
        """Measure in a directory of its own, and yield rows as they are ready. `full` adds the slow ones."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 when a suite failed. A missed target is printed, and is no failure: machines differ."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the slow rows too (a million records, 100 streams, Kafka)")
    parser.add_argument("--markdown", action="store_true", help="measure nothing: print the last results as README has")
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"default: all ({', '.join(SUITES)}); library with --full"
    )
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.suites if name not in SUITES]:
        parser.error(f"no suite {', '.join(unknown)}: there are {', '.join(SUITES)}")
    everything = asked.full or asked.markdown
    suites = asked.suites or [name for name in SUITES if everything or name not in _FULL_ONLY]
    if asked.markdown:
        print("\n".join(results.markdown(suites)))
        return 0
    console = Console(width=150)
    outcomes = [measure(name, load(name), full=asked.full, console=console) for name in suites]
    return report(outcomes, console)


def load(name: str) -> Suite:
    """Return a suite that imports its module when it is asked for rows."""

    class Late:
        def rows(self, directory: Path, /, *, full: bool) -> Iterable[Row]:
            suite = cast("Suite", importlib.import_module(f"bench.{name}"))
            return suite.rows(directory, full=full)

    return Late()


def measure(name: str, suite: Suite, *, full: bool, console: Console, directory: Path = results.DIRECTORY) -> Outcome:
    """Run one suite and write down what it gave, also when it fails on the way: the others shall still run."""
    outcome = Outcome(name, full, {**machine.facts(), "load_before": machine.load()})
    console.rule(f"{name}", align="left")
    began, spent = time.perf_counter(), machine.cpu_seconds()
    try:
        with tempfile.TemporaryDirectory(prefix=f"butakero-bench-{name}-", ignore_cleanup_errors=True) as place:
            for row in suite.rows(Path(place), full=full):
                outcome.rows.append(row)
                console.print(f"  {row.name}: {row.ours} / {row.other} {row.ratio}", markup=False)
    except (Exception, ProgramMissing) as exc:  # noqa: BLE001 - whatever it is, it is told, and the others run
        outcome.failed = f"{type(exc).__name__}: {exc}"
        traceback.print_exc()
    outcome.seconds, outcome.cpu_seconds = time.perf_counter() - began, machine.cpu_seconds() - spent
    outcome.machine["load_after"] = machine.load()
    results.write(outcome, directory)
    return outcome


def report(outcomes: Sequence[Outcome], console: Console) -> int:
    """Print all tables once more, how long each suite took, and which failed. Return the exit code."""
    for outcome in outcomes:
        took = f"{outcome.seconds:.0f} s, {outcome.cpu_seconds:.0f} s of CPU"
        console.print(table_of(f"{outcome.suite} ({took})", outcome.rows))
    console.print(f"machine: {outcomes[-1].machine}", markup=False)
    seconds, spent = (sum(getattr(one, name) for one in outcomes) for name in ("seconds", "cpu_seconds"))
    console.print(f"{seconds:.0f} s in all, {spent:.0f} s of CPU; results in {results.DIRECTORY}")
    rows = [row for outcome in outcomes for row in outcome.rows]
    met = [row.met for row in rows if row.met is not None]
    console.print(f"{len(rows)} rows, {sum(met)} of {len(met)} targets met")
    failed = [outcome for outcome in outcomes if outcome.failed]
    for outcome in failed:
        console.print(f"FAILED {outcome.suite}: {outcome.failed}", markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
