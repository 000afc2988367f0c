"""The one table of scores that `tune`, `evaluate` and `diagnose` print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.utils.escaping import printable
from lstm_tune.utils.text import number

_DIGITS = 4  # significant ones: a table is compared at a glance, result.json has them all


@dataclass(frozen=True, slots=True)
class Column:
    """A column of scores.

    Attributes:
        title: of the column; a line break is kept.
        show: turns a row's scores into what is printed.
        optional: whether the column goes if the table is wider than the screen, the first of several before the next.
    """

    title: str
    show: Callable[[Mapping[str, Any]], str]
    optional: bool = False

    @classmethod
    def of(cls, title: str, key: str, *, optional: bool = False, digits: int = _DIGITS) -> Column:
        """A column of the numbers under a key, with so many significant digits."""
        return cls(title, lambda scores: number(scores[key], digits), optional)


@dataclass(frozen=True, slots=True)
class Row:
    """A forecast with its scores."""

    label: str
    scores: Mapping[str, Any]
    style: str = ""


def baseline_rows(baselines: Mapping[str, Mapping[str, Any]], period: float | None) -> list[Row]:
    """Return a row for each baseline; `period`: rows in a season, None or 1: there is none."""
    return [Row(table_label(name, period), scores) for name, scores in baselines.items()]


def print_scores(console: Console, title: str, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Print the table, each forecast on one line; on a narrow screen without optional columns, then with names folded.

    No number is ever cut.
    """
    left = list(columns)
    unlimited = console.options.update(max_width=10_000)

    def too_wide() -> bool:
        return Measurement.get(console, unlimited, _table(title, rows, left)).maximum > console.width

    for column in [column for column in columns if column.optional]:
        if too_wide():
            left.remove(column)
    console.print(_table(title, rows, left, fold=too_wide()))


def _table(title: str, rows: Sequence[Row], columns: Sequence[Column], *, fold: bool = False) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(title, no_wrap=not fold, vertical="bottom", overflow="fold")
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True, vertical="bottom")
    for row in rows:
        cells = [Text(column.show(row.scores)) for column in columns]
        table.add_row(Text(printable(row.label, 48)), *cells, style=row.style)
    return table
