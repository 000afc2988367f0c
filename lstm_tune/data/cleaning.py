"""From the columns of a frame to a `SeriesSet`: sort, drop repeats, lay the grid, fill, and count every repair."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.columns import Floats, Numbers, Roles, read_numbers
from lstm_tune.data.series import STRETCH, SeriesSet, marks
from lstm_tune.data.time_grid import (
    Bools,
    EvenTimes,
    Ints,
    Times,
    find_freq,
    lay_grid,
    pieces,
    short_step,
    uneven_steps,
)
from lstm_tune.data.timestamps import TimeColumn
from lstm_tune.errors import DataError, UsageError

LARGEST_DISAGREEMENT = 0.01  # of the rows, that duplicate time stamps may differ in
COARSEST = 1e4  # largest |x| in standard deviations that float32 still resolves well


@dataclass(kw_only=True, slots=True)
class Repairs:
    """What was counted and said on the way."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, key: str, number: int, sentence: str) -> None:
        """Record a repair that happened `number` times, if it did; `sentence` takes the number as {n}."""
        if number:
            self.counts[key] = self.counts.get(key, 0) + number
            self.notes.append(sentence.format(n=f"{number:,}"))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rows:
    """Rows of all series, those of one series together.

    Columns are kept apart, as views of the source where nothing was repaired: a long source is never copied whole.
    """

    columns: tuple[Floats, ...]  # (n,) each: targets, past and future covariates; NaN where missing
    codes: Ints | None  # (n,) number of the series; None: there is one
    times: Times | None  # (n,) datetime64[ns]

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, chosen: Ints | Bools) -> Rows:
        """Return the chosen rows."""
        return Rows(
            columns=tuple(values[chosen] for values in self.columns),
            codes=None if self.codes is None else self.codes[chosen],
            times=None if self.times is None else self.times[chosen],
        )

    def offsets(self) -> tuple[int, ...]:
        """Return the (S+1,) borders of the series that have rows."""
        borders = [] if self.codes is None else (np.flatnonzero(np.diff(self.codes)) + 1).tolist()
        return (0, *borders, len(self))


def assemble(
    frame: pd.DataFrame,
    roles: Roles,
    *,
    time: TimeColumn,
    codes: Ints | None,
    names: tuple[str, ...],
    path: str,
    calendar: bool | None,
    repairs: Repairs,
) -> SeriesSet:
    """Build the series by the rules of `load_series`.

    Args:
        frame: N rows, tidied.
        roles: of its columns.
        time: of its rows.
        codes: (N,) number of the series of each row; None: there is one.
        names: (S,) of the series.
        path: what the user named.
        calendar: whether to add calendar features; None: no.
        repairs: what was decided so far; grows.
    """
    channels = len(roles.targets)
    numbers = {name: read_numbers(frame[name], name) for name in roles.names}
    _count_missing(numbers, repairs)
    rows = Rows(columns=tuple(numbers[name].values for name in roles.names), codes=codes, times=time.stamps)
    missing = {name: numbers[name].missing + numbers[name].infinite for name in roles.targets}
    _check_columns(rows.columns, roles)
    rows = _sort(rows, repairs)
    rows = _drop_duplicates(rows, roles, str(time.name), repairs)
    rows = _leave_out_poor_series(rows, channels, len(names), repairs)
    left = names if rows.codes is None else tuple(names[code] for code in rows.codes[list(rows.offsets()[:-1])])
    columns, offsets, times, freq = _regular(rows, repairs)
    del rows, numbers  # what was sorted or laid on a grid leaves the source behind
    _check_columns(columns, roles)  # again: what was dropped may have held all the values of a column
    values = np.empty((channels, offsets[-1]), dtype=np.float32)
    observed = np.empty(values.shape, dtype=np.bool_)
    covariates = np.empty((offsets[-1], len(columns) - channels), dtype=np.float32)
    origin = []
    for k, (column, name) in enumerate(zip(columns, roles.names, strict=True)):
        there = np.isfinite(column, out=observed[k] if k < channels else None)
        filled = fill_forward(column, there, offsets)
        if k < channels:
            origin.append(_origin(filled, there, offsets))
            _to_float32(filled, name, values[k], origin[k])
            _check_resolved(values[k], there, name)
        else:
            _to_float32(filled, name, covariates[:, k - channels])
    past, future = np.split(covariates, [len(roles.past)], axis=1)
    features, feature_names = _calendar(times, freq, calendar)
    return SeriesSet(
        values=torch.from_numpy(values),
        observed=marks(torch.from_numpy(observed)),
        past=torch.from_numpy(np.ascontiguousarray(past)),
        future=torch.from_numpy(np.concatenate([future, features], axis=1)),
        offsets=offsets,
        times=times,
        freq=freq,
        series=left,
        targets=roles.targets,
        past_names=roles.past,
        future_names=roles.future + feature_names,
        origin=tuple(origin),
        path=path,
        time_name=time.name if len(time.columns) <= 1 else None,
        id_name=roles.id,
        missing=missing,
        repaired=repairs.counts,
        notes=tuple(repairs.notes),
        calendar=bool(feature_names),
    )


def fill_forward(values: Floats, known: Bools, offsets: Sequence[int]) -> Floats:
    """Fill NaN with the last value before it in the same series, leading ones with the series' first value.

    A series without any value takes the column's first; only then, and in front of a series' first value, does
    a filled value know something later than itself.

    Args:
        values: (N,), one of them known at least.
        known: (N,) whether a value is none to be filled.
        offsets: (S+1,) borders of the series.
    """
    if known.all():
        return values
    borders = np.asarray(offsets)
    missing = ~known
    begins, ends = missing.copy(), missing.copy()  # of runs of missing values, none of which reaches over a border
    begins[1:] &= known[:-1]
    begins[borders[:-1]] = missing[borders[:-1]]
    ends[:-1] &= known[1:]
    ends[borders[1:] - 1] = missing[borders[1:] - 1]
    first, last = np.flatnonzero(begins), np.flatnonzero(ends)
    series = np.searchsorted(borders, first, side="right") - 1
    leading = first == borders[series]
    source = np.where(leading, last + 1, first - 1)
    source[leading & (last + 1 == borders[series + 1])] = int(known.argmax())
    filled = values.copy()
    filled[missing] = np.repeat(values[source], last - first + 1)
    return filled


def _count_missing(numbers: dict[str, Numbers], repairs: Repairs) -> None:
    missing = sum(column.missing for column in numbers.values())
    infinite = sum(column.infinite for column in numbers.values())
    repairs.notes += [column.note for column in numbers.values() if column.note]
    fill = "filled with the last value before them and never scored"
    repairs.count("missing_values", missing, f"{{n}} missing values were {fill}")
    repairs.count("infinite_values", infinite, f"{{n}} infinite values were {fill}")


def _check_columns(columns: Sequence[Floats], roles: Roles) -> None:
    """Refuse columns (N,) without a value, and targets of one row or one value."""
    for values, name in zip(columns, roles.names, strict=True):
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)  # of what is there; NaN where nothing is
        if np.isnan(low):
            raise DataError(f"column {name!r} holds no value at all ({len(values)} rows); choose another column")
        if len(values) < 2:
            raise DataError(f"column {name!r} has 1 row; at least 2 are needed", code="too_little_data")
        if name in roles.targets and low == high:
            count = len(values) - int(np.isnan(values).sum())
            raise DataError(
                f"column {name!r} is {low:g} in all {count} values; choose a target that varies", code="constant_series"
            )


def _check_resolved(values: NDArray[np.float32], there: Bools, name: str) -> None:
    if values.min(where=there, initial=np.inf) == values.max(where=there, initial=-np.inf):
        raise DataError(
            f"column {name!r} varies less than float32 can hold; rescale it, such as to smaller units",
            code="scale_unfit",
        )


def _sort(rows: Rows, repairs: Repairs) -> Rows:
    """Sort by series, then time, rows of one time in the order of the source."""
    if rows.codes is not None and (rows.codes[1:] < rows.codes[:-1]).any():
        rows = rows.take(np.argsort(rows.codes, kind="stable"))
    if rows.times is None:
        return rows
    before = rows.times[1:] < rows.times[:-1]
    if rows.codes is not None:
        before &= rows.codes[1:] == rows.codes[:-1]
    early = int(before.sum())
    repairs.count("out_of_order", early, "{n} rows stood before their time and were sorted")
    if not early:
        return rows
    return rows.take(np.lexsort((rows.times,) if rows.codes is None else (rows.times, rows.codes)))


def _drop_duplicates(rows: Rows, roles: Roles, time_name: str, repairs: Repairs) -> Rows:
    """Keep the first row of each time stamp of a series.

    Raises:
        DataError: more than 1% of the rows repeat a stamp with other target values.
    """
    if rows.times is None:
        return rows
    repeats = np.zeros(len(rows), dtype=np.bool_)
    repeats[1:] = rows.times[1:] == rows.times[:-1]
    if rows.codes is not None:
        repeats[1:] &= rows.codes[1:] == rows.codes[:-1]
    if not repeats.any():
        return rows
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
        stamp = pd.Timestamp(rows.times[again[at]]).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
        remedy = "drop them" if roles.id else "drop them or pass --id"
        raise DataError(
            f"column {time_name!r} has {clashes} duplicate time stamps (first {stamp}) "
            f"with different values of {name!r}; {remedy}",
            code="irregular_time",
        )
    said = f" ({clashes:,} of them with other values: the first was kept)" if clashes else ""
    repairs.count("duplicates", len(again), "{n} rows that repeat a time stamp were dropped" + said)
    return rows.take(~repeats)


def _leave_out_poor_series(rows: Rows, channels: int, series: int, repairs: Repairs) -> Rows:
    """Leave out series of one row, and those without an observed target.

    Raises:
        DataError: none is left.
    """
    if rows.codes is None:  # `_check_columns` has seen to a single one
        return rows
    observed = np.isfinite(np.stack(rows.columns[:channels])).any(axis=0)
    good = (np.bincount(rows.codes, minlength=series) > 1) & (
        np.bincount(rows.codes, weights=observed, minlength=series) > 0
    )
    if not good.any():
        raise DataError(f"no series has 2 rows and a value: {series} series in {len(rows.codes)} rows; check --id")
    poor = series - int(good.sum())
    repairs.count("series_left_out", poor, "{n} series of a single row or without any value were left out")
    return rows.take(good[rows.codes]) if poor else rows


def _regular(rows: Rows, repairs: Repairs) -> tuple[tuple[Floats, ...], tuple[int, ...], Times | EvenTimes, str | None]:
    """Return the columns (N,) on a regular grid with NaN in its holes, their borders, times and frequency."""
    offsets = rows.offsets()
    if rows.times is None:
        repairs.notes.append("no time column was found: the rows are numbered")
        return rows.columns, offsets, EvenTimes(np.zeros(len(offsets) - 1, dtype=np.int64), 1, offsets), None
    even = short_step(rows.times, offsets)
    if even is not None:
        return rows.columns, offsets, even[1], even[0]
    freq = find_freq(rows.times, offsets)
    grid = lay_grid(rows.times, offsets, freq)
    if grid is None:
        uneven = uneven_steps(rows.times, offsets)
        repairs.count("irregular_time", uneven, "the time is irregular ({n} uneven steps): rows were taken as even")
        return rows.columns, offsets, rows.times, None
    repairs.count("off_grid", grid.off_grid, f"{{n}} time stamps off the {freq} grid were moved to it or dropped")
    gaps = grid.offsets[-1] - len(grid.rows)
    if not gaps and not grid.off_grid:
        return rows.columns, offsets, rows.times, freq
    repairs.count("gap_rows", gaps, f"{{n}} rows missing from the {freq} grid were added, filled and never scored")
    columns = []
    for values in rows.columns:
        column = np.full(grid.offsets[-1], np.nan, dtype=values.dtype)
        column[grid.rows] = values[grid.kept]
        columns.append(column)
    return tuple(columns), grid.offsets, grid.times, freq


def _origin(values: Floats, observed: Bools, offsets: Sequence[int]) -> float:
    """Return what to subtract from (N,) values so that float32 resolves them; mostly 0.

    The first half of each series decides: later rows, where the test rows lie, must not change what the others look
    like. Of more than `STRETCH` rows, evenly spaced ones do.
    """
    halves = [(start, start + max(2, (end - start) // 2)) for start, end in itertools.pairwise(offsets)]
    every = -(-sum(end - start for start, end in halves) // STRETCH)
    half = np.concatenate([values[start:end:every][observed[start:end:every]] for start, end in halves])
    half = (half if len(half) else values[observed]).astype(np.float64)
    largest = float(np.abs(half).max())
    spread = float(np.std(half / largest)) * largest if largest else 0.0
    if largest <= COARSEST * (spread or 1.0):
        return 0.0
    digits = -int(np.floor(np.log10(spread or 1.0)))
    return float(round(float(np.median(half / largest)) * largest, digits))


def _to_float32(values: Floats, name: str, into: NDArray[np.float32], origin: float = 0.0) -> None:
    """Write (N,) values minus their origin in single precision.

    Raises:
        DataError: a value is too large for it.
    """
    with np.errstate(over="ignore"):  # refused below
        for a, b in pieces(0, len(values)):
            centred = values[a:b].astype(np.float64) - origin if origin else values[a:b]
            largest = max(float(centred.max()), -float(centred.min()))
            if largest > float(np.finfo(np.float32).max):
                raise DataError(
                    f"column {name!r} reaches {largest:.3g}, above what float32 holds (3.4e+38); rescale it",
                    code="scale_unfit",
                )
            into[a:b] = centred


def _calendar(times: Times | EvenTimes, freq: str | None, wanted: bool | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return the calendar features (N, K) and their names, none where not wanted.

    Raises:
        UsageError: they are asked for and mean nothing here.
    """
    features, names = calendar_features(times, freq if wanted else None)
    if wanted and not names:
        kind = "irregular or missing time stamps" if freq is None else f"frequency {freq!r}"
        raise UsageError(f"calendar features need regular time stamps of a month or less, not {kind}; --no-calendar")
    return features, names
