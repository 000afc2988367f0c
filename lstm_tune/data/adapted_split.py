"""The split of data whose split nobody named: the usual one, or one that leaves room for the horizon."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import DEFAULT_SPLIT, Split, development_rows, make_split


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CutSeries:
    """Series, and how their rows are cut."""

    series: SeriesSet
    split: Split
    parts: tuple[float, ...]  # that the split was made of


def load_and_split(
    load: Callable[[Sequence[float]], SeriesSet], parts: Sequence[float] | None, horizon: int
) -> CutSeries:
    """Load series and cut them.

    What is decided by the data while they are loaded is decided by rows before the test rows, so that they are loaded
    again if the parts must adapt.

    Args:
        load: loads the series, given the parts by which they are cut later on.
        parts: three row counts, or three fractions; None: the default, which adapts if its validation or test rows
            would hold less than one horizon.
        horizon: rows that a forecast covers.

    Raises:
        DataError: too few rows.
        UsageError: the parts are wrong.
    """
    series = load(DEFAULT_SPLIT if parts is None else parts)
    adapted = adapt_parts(_rows(series), horizon) if parts is None else None
    if adapted is not None:
        series = load(adapted)
    chosen = adapted or tuple(DEFAULT_SPLIT if parts is None else parts)
    split = make_split(series, chosen, horizon)
    if adapted is not None:
        split = dataclasses.replace(split, notes=(_note(max(_rows(series)), adapted, horizon), *split.notes))
    return CutSeries(series=series, split=split, parts=chosen)


def adapt_parts(rows: Sequence[int], horizon: int) -> tuple[float, float, float] | None:
    """Return parts for data that the default split cuts into too few validation or test rows.

    Validation and test rows hold two horizons, if half of the rows are left to train on; else one.

    Args:
        rows: (S,) of each series.
        horizon: rows that a forecast covers.

    Returns:
        Three row counts of the one series, or three fractions of the longest one; None: the default fits one series at
        least, or nothing fits.
    """
    floors = (horizon + 2, horizon, horizon)
    sizes = [(a, b, n - a - b) for n, (a, b) in zip(rows, development_rows(rows, DEFAULT_SPLIT), strict=True)]
    if horizon < 1 or any(all(n >= floor for n, floor in zip(size, floors, strict=True)) for size in sizes):
        return None
    n = max(rows)
    _, val, test = sizes[rows.index(n)]
    for most in (2 * horizon, horizon):
        counts = (n - max(val, most) - max(test, most), max(val, most), max(test, most))
        if counts[0] >= (max(floors[0], n / 2) if most > horizon else floors[0]):
            return counts if len(rows) == 1 else (counts[0] / n, counts[1] / n, counts[2] / n)
    return None


def _rows(series: SeriesSet) -> list[int]:
    """Return the rows of each series, without those that were added in gaps."""
    return [b - a for a, b in pairwise(series.offsets)] if series.placed is None else [len(p) for p in series.placed]


def _note(rows: int, parts: tuple[float, float, float], horizon: int) -> str:
    train, val, test = (round(p * rows) if p < 1 else round(p) for p in parts)
    return (
        f"the usual split leaves less than the horizon of {horizon} rows to validate or to test on: of {rows} rows "
        f"{train} are trained on, {val} validated and {test} tested on; pass --split for another"
    )
