"""Tables at wide and narrow terminals and in pipes."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from butakero.layout import print_table

HEADINGS = ["Title", "ID", "Size"]
ROWS = [["A song with a rather long title that goes on", "id-0123456789", "2.70MB"], ["東京 [red]", "id-1", "1B"]]


def table(width: int, *, terminal: bool = True) -> str:
    text = io.StringIO()
    screen = Console(file=text, force_terminal=terminal, width=width, markup=False, color_system=None)
    print_table(screen, HEADINGS, ROWS)
    return text.getvalue()


def test_a_pipe_gets_everything() -> None:
    assert table(20, terminal=False) == "".join("\t".join(row) + "\n" for row in (HEADINGS, *ROWS))


@pytest.mark.parametrize("width", [120, 60, 50])
def test_a_terminal_gets_columns_that_fit_and_whole_ids(width: int) -> None:
    lines = table(width).splitlines()
    assert len(lines) == 3
    assert max(cell_len(line) for line in lines) <= width
    assert all(row[1] in line and row[2] in line for row, line in zip((HEADINGS, *ROWS), lines, strict=True))
    starts = {cell_len(line[: line.index(row[1])]) for row, line in zip((HEADINGS, *ROWS), lines, strict=True)}
    assert len(starts) == 1
    assert ("…" in lines[1]) == (width < 70)


def test_a_narrow_terminal_gets_blocks_with_nothing_cut() -> None:
    assert table(30).splitlines() == [ROWS[0][0], "  id-0123456789  2.70MB", ROWS[1][0], "  id-1  1B"]


def test_columns_that_matter_least_go_before_the_title_does() -> None:
    text = io.StringIO()
    screen = Console(file=text, force_terminal=True, width=80, markup=False, color_system=None)
    headings = ["Título", "ID", "Duración", "Tamaño", "Estado", "Veces", "Fecha"]
    row = ["A song with a rather long title", f"web-{'0' * 32}", "0:08", "123.72KB", "success", "0", "2026-11-27 16:00"]
    print_table(screen, headings, [row], least_important=(5, 4, 6, 3))
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert max(cell_len(line) for line in lines) <= 80
    assert row[1] in lines[1]
    assert lines[1].startswith(row[0][:20])
    assert "2026" not in lines[1]
