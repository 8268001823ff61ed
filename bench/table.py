"""What a benchmark yields: rows of ours against something else, as text to read and as numbers to keep."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from rich.table import Table

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ours against something else.

    `ratio` above 1 is in our favour; "" where there is none. A suite that knows what each repetition gave says so in
    `ours_samples` and `other_samples`, in `unit`; of any other row the first number of each text is kept. `details` are
    numbers that were measured beside, for the file alone: their names say the unit.
    """

    name: str
    ours: str
    other: str
    ratio: str = ""
    target: str = ""
    met: bool | None = None
    _: KW_ONLY
    unit: str = ""
    ours_samples: Sequence[float] = ()
    other_samples: Sequence[float] = ()
    details: Mapping[str, float | Sequence[float]] = field(default_factory=dict[str, float | Sequence[float]])

    def recorded(self) -> dict[str, Any]:
        """Return the row as JSON: texts as they were printed, and what they say as numbers (None: there is none)."""
        details = {name: _rounded_all(value) for name, value in self.details.items()}
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": _side(self.ours, self.ours_samples),
            "other": _side(self.other, self.other_samples),
            "ratio": {"text": self.ratio, "value": _number(self.ratio)},
            "target": {"text": self.target, "value": _number(self.target)},
            "met": self.met,
            **({"details": details} if details else {}),
        }


def compared(  # noqa: PLR0913 - the columns of a row
    name: str,
    unit: str,
    ours: Sequence[float],
    other: Sequence[float],
    *,
    better: Literal["more", "less"],
    at_least: float | None = None,
) -> Row:
    """Return the row of two sides measured in turns: medians, and how many times better ours is."""
    our_median, other_median = statistics.median(ours), statistics.median(other)
    over, under = (our_median, other_median) if better == "more" else (other_median, our_median)
    ratio = over / under if under else 0.0
    return Row(
        name,
        f"{figure(our_median)} {unit}",
        f"{figure(other_median)} {unit}",
        f"{ratio:.2f}x",
        "" if at_least is None else f"at least {at_least:g}x",
        None if at_least is None else ratio >= at_least,
        unit=unit,
        ours_samples=tuple(ours),
        other_samples=tuple(other),
    )


def table_of(title: str, rows: Iterable[Row]) -> Table:
    """Return rows as a table for a terminal."""
    table = Table(title=title, title_justify="left")
    for column in ("what", "ours", "the other", "ratio", "target", ""):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in cells(row)))
    return table


def cells(row: Row) -> tuple[str, ...]:
    """Return what is printed of a row, column by column."""
    verdict = {True: "met", False: "MISSED", None: ""}[row.met]
    return row.name, row.ours, row.other, row.ratio, row.target, verdict


def figure(value: float) -> str:
    """Return a number with three digits that count, and never in powers of ten."""
    magnitude = abs(value)
    decimals = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2  # noqa: PLR2004 - powers of ten
    return f"{value:,.{decimals}f}"


def _side(text: str, samples: Sequence[float]) -> dict[str, Any]:
    median = statistics.median(samples) if samples else _number(text)
    return {
        "text": text,
        "median": None if median is None else _rounded(median),
        "repetitions": len(samples) or (None if median is None else 1),
        "samples": _rounded_all(samples),
    }


def _number(text: str) -> float | None:
    """Return the first number of a text such as "1,156 requests/s", "17.6x" or "≥ 0.6"."""
    match = _NUMBER.search(text)
    return float(match[0].replace(",", "")) if match else None


def _rounded_all(value: float | Sequence[float]) -> float | list[float]:
    return _rounded(value) if isinstance(value, int | float) else [_rounded(one) for one in value]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
