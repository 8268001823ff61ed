"""Facts and tables: aligned for a person at a terminal, tab-separated and whole for whatever reads a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_LABEL_WIDTH = 16


def print_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Print one `label  value` line each; values are not wrapped, so that they can be copied."""
    width = max(_LABEL_WIDTH, *(len(label) + 2 for label, _ in facts))
    for label, value in facts:
        console.print(f"  {label:<{width}}{value}", soft_wrap=True)


def print_table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], *, flexible: int = 0) -> None:
    """Print rows of `plain` texts. At a terminal the column numbered `flexible` gives way when there is no room."""
    if not console.is_terminal:
        for row in (headings, *rows):
            console.file.write("\t".join(row) + "\n")  # the console itself would turn tabs into spaces
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(
            heading, no_wrap=True, overflow="ellipsis", min_width=None if number == flexible else len(heading)
        )
        if number != flexible:
            table.columns[number].width = max(len(heading), *(len(row[number]) for row in rows))
    for row in rows:
        table.add_row(*row)
    console.print(table)
