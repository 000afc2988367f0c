"""Put the rows of a source in order: sort them, drop repeats, leave out series without values, count every repair."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lstm_tune.data.columns import Floats, Roles
from lstm_tune.data.even_times import Bools, Ints, Times
from lstm_tune.errors import DataError
from lstm_tune.utils.text import counted

LARGEST_DISAGREEMENT = 0.01  # of the rows, that duplicate time stamps may differ in


@dataclass(kw_only=True, slots=True)
class Repairs:
    """Counts of what was repaired, and notes on it."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, key: str, number: int, sentence: str) -> None:
        """Record a repair that happened `number` times, if it did.

        `sentence` takes the number as {n}, the s of a plural as {s}, and were or was as {were}.
        """
        if number:
            self.counts[key] = self.counts.get(key, 0) + number
            one = number == 1
            self.notes.append(sentence.format(n=f"{number:,}", s="" if one else "s", were="was" if one else "were"))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rows:
    """Rows of all series, those of one series together.

    Columns are kept apart, as views of the source if nothing was repaired: a long source is never copied whole.
    """

    columns: tuple[Floats, ...]  # (n,) each: targets, past and future covariates; NaN where missing
    codes: Ints | None  # (n,) number of the series; None: there is one
    times: Times | None  # (n,) datetime64[ns], or numbers that count the time
    local: Times | None = None  # (n,) datetime64[ns] of the local clock, if the times are in UTC

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, chosen: Ints | Bools) -> Rows:
        """Return the chosen rows."""
        return Rows(
            columns=tuple(values[chosen] for values in self.columns),
            codes=None if self.codes is None else self.codes[chosen],
            times=None if self.times is None else self.times[chosen],
            local=None if self.local is None else self.local[chosen],
        )

    def offsets(self) -> tuple[int, ...]:
        """Return the (S+1,) borders of the series that have rows."""
        borders = [] if self.codes is None else (np.flatnonzero(np.diff(self.codes)) + 1).tolist()
        return (0, *borders, len(self))


def count_missing(rows: Rows, roles: Roles, infinite: int, repairs: Repairs) -> dict[str, int]:
    """Record how many values are missing, and return the number of each target."""
    missing = {name: int(np.isnan(values).sum()) for name, values in zip(roles.names, rows.columns, strict=True)}
    fill = "{were} filled with the last value before and never scored"
    repairs.count("missing_values", max(0, sum(missing.values()) - infinite), "{n} missing value{s} " + fill)
    repairs.count("infinite_values", infinite, "{n} infinite value{s} " + fill)
    return {name: missing[name] for name in roles.targets}


def sort_rows(rows: Rows, repairs: Repairs) -> Rows:
    """Sort by series, then time, rows of one time in the order of the source."""
    if rows.codes is not None and (rows.codes[1:] < rows.codes[:-1]).any():
        rows = rows.take(np.argsort(rows.codes, kind="stable"))
    if rows.times is None:
        return rows
    before = rows.times[1:] < rows.times[:-1]
    if rows.codes is not None:
        before &= rows.codes[1:] == rows.codes[:-1]
    early = int(before.sum())
    repairs.count("out_of_order", early, "{n} row{s} {were} out of order; all rows were sorted by time")
    if not early:
        return rows
    return rows.take(np.lexsort((rows.times,) if rows.codes is None else (rows.times, rows.codes)))


def rows_with_targets(rows: Rows, channels: int) -> Bools:
    """Return which rows (n,) of each series are not after the last one in which any target was observed."""
    observed = np.isfinite(np.stack(rows.columns[:channels])).any(axis=0)
    kept = np.ones(len(rows), dtype=np.bool_)
    offsets = rows.offsets()
    if bool(observed[np.asarray(offsets[1:]) - 1].all()):
        return kept
    for start, end in itertools.pairwise(offsets):
        last = np.flatnonzero(observed[start:end])
        if len(last):  # a series without any value is left out as a whole
            kept[start + int(last[-1]) + 1 : end] = False
    return kept


def drop_duplicates(rows: Rows, roles: Roles, time_name: str, repairs: Repairs) -> tuple[Rows, Ints | None]:
    """Keep the first row of each time stamp of a series.

    Returns:
        The rows that are left, and for each row (n,) the number of the one that was kept; None: all were kept.

    Raises:
        DataError: more than 1% of the rows repeat a stamp with other target values.
    """
    if rows.times is None:
        return rows, None
    repeats = np.zeros(len(rows), dtype=np.bool_)
    repeats[1:] = rows.times[1:] == rows.times[:-1]
    if rows.codes is not None:
        repeats[1:] &= rows.codes[1:] == rows.codes[:-1]
    if not repeats.any():
        return rows, None
    targets = rows.columns[: len(roles.targets)]
    first = np.flatnonzero(~repeats)[np.cumsum(~repeats) - 1]
    again = np.flatnonzero(repeats)
    before = np.stack([values[first[again]] for values in targets])
    after = np.stack([values[again] for values in targets])
    differ = ~((before == after) | (np.isnan(before) & np.isnan(after)))  # (C, repeats)
    clashes = int(differ.any(axis=0).sum())
    if clashes > LARGEST_DISAGREEMENT * len(rows):
        at = int(differ.any(axis=0).argmax())
        name = roles.targets[int(differ[:, at].argmax())]
        stamp = _shown(rows.times[again[at]])
        remedy = "drop them" if roles.ids else "drop them or pass id="
        raise DataError(
            f"column {time_name!r} has {clashes} duplicate time stamps (first {stamp}) "
            f"with different values of {name!r}; {remedy}",
            code="irregular_time",
        )
    said = f" ({clashes:,} of them with other values: the first was kept)" if clashes else ""
    repairs.count("duplicates", len(again), "{n} row{s} that repeat a time stamp {were} dropped" + said)
    return rows.take(~repeats), np.cumsum(~repeats) - 1


def _shown(time: Any) -> str:
    if not isinstance(time, np.datetime64):
        return f"{time:.10g}"
    return pd.Timestamp(time).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")


def leave_out_poor_series(rows: Rows, channels: int, series: int, repairs: Repairs, *, least: int) -> Rows:
    """Leave out series of less than `least` rows, and those without an observed target.

    Raises:
        DataError: none is left.
    """
    if rows.codes is None:  # `_check_columns` has checked it
        return rows
    observed = np.isfinite(np.stack(rows.columns[:channels])).any(axis=0)
    good = (np.bincount(rows.codes, minlength=series) >= least) & (
        np.bincount(rows.codes, weights=observed, minlength=series) > 0
    )
    if not good.any():
        raise DataError(
            f"no series has 2 rows and a value: {series} series in {counted(len(rows.codes), 'row')}; check id="
        )
    poor = series - int(good.sum())
    repairs.count("series_left_out", poor, "{n} series of a single row or without any value {were} left out")
    return rows.take(good[rows.codes]) if poor else rows
