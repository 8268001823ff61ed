"""Facts and tables: aligned for a terminal, tab-separated and untruncated for a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text as RichText

_LABEL_WIDTH = 16
_GAP = "  "
_LEAST_FLEXIBLE = 22

Row = Sequence[str]


def print_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Print one `label  value` line each; values are not wrapped, so that they can be copied."""
    width = max(_LABEL_WIDTH, *(len(label) + 2 for label, _ in facts))
    for label, value in facts:
        console.print(f"  {label:<{width}}{value}", soft_wrap=True)


def print_table(
    console: Console, headings: Row, rows: Sequence[Row], *, flexible: int = 0, least_important: Sequence[int] = ()
) -> None:
    """Print rows of `plain` texts.

    At a terminal the column numbered `flexible` is truncated to the available width. Where less than _LEAST_FLEXIBLE is
    left for it, the columns `least_important` are left out, in their order; then it gets a line above the rest of its
    row. Other columns are never truncated: ids and positions are meant to be copied. A pipe gets all columns.
    """
    if not console.is_terminal:
        for row in (headings, *rows):
            console.file.write("\t".join(row) + "\n")  # the console itself would turn tabs into spaces
        return
    all_widths = [max(cell_len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    kept = list(range(len(headings)))
    for column in least_important:
        if _room(console, all_widths, kept, flexible) >= min(_LEAST_FLEXIBLE, all_widths[flexible]):
            break
        kept.remove(column)
    headings, *rows = ([row[column] for column in kept] for row in (headings, *rows))
    widths, room, flexible = (
        [all_widths[column] for column in kept],
        _room(console, all_widths, kept, flexible),
        kept.index(flexible),
    )
    if room < min(_LEAST_FLEXIBLE, widths[flexible]):
        _print_blocks(console, rows, flexible)
        return
    widths[flexible] = min(widths[flexible], room)
    console.print(RichText(_line(headings, widths), style="bold"), soft_wrap=True)
    for row in rows:
        console.print(RichText(_line(row, widths)), soft_wrap=True)


def _room(console: Console, widths: Sequence[int], kept: Sequence[int], flexible: int) -> int:
    """Return what the columns `kept` leave for the flexible one."""
    return console.width - sum(widths[column] + len(_GAP) for column in kept if column != flexible)


def _print_blocks(console: Console, rows: Sequence[Row], flexible: int) -> None:
    for row in rows:
        console.print(RichText(row[flexible], style="bold"), soft_wrap=True)
        rest = [cell for column, cell in enumerate(row) if column != flexible]
        console.print(RichText(f"  {_GAP.join(rest)}"), soft_wrap=True)


def _line(row: Row, widths: Sequence[int]) -> str:
    return _GAP.join(_fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _fit(cell: str, width: int) -> str:
    if cell_len(cell) <= width:
        return set_cell_size(cell, width)
    return set_cell_size(cell, width - 1) + "…"
