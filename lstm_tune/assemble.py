"""From the columns of a frame to a `SeriesSet`: sort, drop repeats, lay the grid, fill, and count every repair."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lstm_tune.calendar import calendar_features
from lstm_tune.columns import Numbers, Roles, read_numbers
from lstm_tune.errors import DataError, UsageError
from lstm_tune.series import SeriesSet
from lstm_tune.timecolumn import TimeColumn
from lstm_tune.timegrid import Bools, Ints, Times, find_freq, lay_grid, uneven_steps

Floats = NDArray[np.float64]

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
    """Rows of all series, those of one series together."""

    matrix: Floats  # (K, n) targets, past and future covariates; NaN where missing
    codes: Ints  # (n,) number of the series
    times: Times | None  # (n,) datetime64[ns]

    def take(self, chosen: Ints | Bools) -> Rows:
        """Return the chosen rows."""
        times = None if self.times is None else self.times[chosen]
        return replace(self, matrix=self.matrix[:, chosen], codes=self.codes[chosen], times=times)

    def offsets(self) -> tuple[int, ...]:
        """Return the (S+1,) borders of the series that have rows."""
        borders = np.flatnonzero(np.diff(self.codes)) + 1
        return (0, *borders.tolist(), len(self.codes))


def assemble(
    frame: pd.DataFrame,
    roles: Roles,
    *,
    time: TimeColumn,
    codes: Ints,
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
        codes: (N,) number of the series of each row.
        names: (S,) of the series.
        path: what the user named.
        calendar: whether to add calendar features; None: no.
        repairs: what was decided so far; grows.
    """
    channels = len(roles.targets)
    numbers = {name: read_numbers(frame[name], name) for name in roles.names}
    _count_missing(numbers, repairs)
    matrix = np.stack([numbers[name].values for name in roles.names])
    _check_columns(matrix, roles)
    rows = _sort(Rows(matrix=matrix, codes=codes, times=time.stamps), repairs)
    rows = _drop_duplicates(rows, roles, str(time.name), repairs)
    rows = _leave_out_poor_series(rows, channels, len(names), repairs)
    left = tuple(names[code] for code in rows.codes[list(rows.offsets()[:-1])])
    matrix, offsets, times, freq = _regular(rows, repairs)
    _check_columns(matrix, roles)  # again: what was dropped may have held all the values of a column
    observed = np.isfinite(matrix[:channels])
    filled = fill_forward(matrix, offsets)
    origin = tuple(_origin(values, there, offsets) for values, there in zip(filled, observed, strict=False))
    with np.errstate(over="ignore"):  # `_to_float32` refuses what overflows, and says so
        centred = filled[:channels] - np.array(origin)[:, None] if any(origin) else filled[:channels]
    values = _to_float32(centred, roles.targets)
    for channel, name in enumerate(roles.targets):
        _check_resolved(values[channel][observed[channel]], name)
    covariates = _to_float32(filled[channels:], roles.past + roles.future).T
    past, future = np.split(covariates, [len(roles.past)], axis=1)
    features, feature_names = _calendar(times, freq, calendar)
    return SeriesSet(
        values=torch.from_numpy(np.ascontiguousarray(values)),
        observed=torch.from_numpy(np.ascontiguousarray(observed)),
        past=torch.from_numpy(np.ascontiguousarray(past)),
        future=torch.from_numpy(np.concatenate([future, features], axis=1)),
        offsets=offsets,
        times=times,
        freq=freq,
        series=left,
        targets=roles.targets,
        past_names=roles.past,
        future_names=roles.future + feature_names,
        origin=origin,
        path=path,
        time_name=time.name if len(time.columns) <= 1 else None,
        id_name=roles.id,
        missing={name: numbers[name].missing + numbers[name].infinite for name in roles.targets},
        repaired=repairs.counts,
        notes=tuple(repairs.notes),
        calendar=bool(feature_names),
    )


def fill_forward(matrix: Floats, offsets: Sequence[int]) -> Floats:
    """Fill NaN with the last value before it in the same series, leading ones with the series' first value.

    A series without any value takes the column's first; only then, and in front of a series' first value, does
    a filled value know something later than itself.

    Args:
        matrix: (K, N), each row of it with one value at least.
        offsets: (S+1,) borders of the series.
    """
    known = np.isfinite(matrix)
    if known.all():
        return matrix
    count = matrix.shape[1]
    position = np.arange(count)
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    filled = np.empty_like(matrix)
    for column, (values, there) in enumerate(zip(matrix, known, strict=True)):
        first = np.minimum.reduceat(np.where(there, position, count), offsets[:-1])
        first = np.where(first == count, position[there][0], first)
        last = np.maximum.accumulate(np.where(there, position, starts))
        leading = np.repeat(first, np.diff(offsets))
        filled[column] = values[np.where(there[last], last, leading)]
    return filled


def _count_missing(numbers: dict[str, Numbers], repairs: Repairs) -> None:
    missing = sum(column.missing for column in numbers.values())
    infinite = sum(column.infinite for column in numbers.values())
    repairs.notes += [column.note for column in numbers.values() if column.note]
    fill = "filled with the last value before them and never scored"
    repairs.count("missing_values", missing, f"{{n}} missing values were {fill}")
    repairs.count("infinite_values", infinite, f"{{n}} infinite values were {fill}")


def _check_columns(matrix: Floats, roles: Roles) -> None:
    """Refuse columns (K, N) without a value, and targets of one row or one value."""
    for values, name in zip(matrix, roles.names, strict=True):
        known = values[np.isfinite(values)]
        if not len(known):
            raise DataError(f"column {name!r} holds no value at all ({len(values)} rows); choose another column")
        if len(values) < 2:
            raise DataError(f"column {name!r} has 1 row; at least 2 are needed")
        if name in roles.targets and known.min() == known.max():
            raise DataError(f"column {name!r} is {known[0]:g} in all {len(known)} values; choose a target that varies")


def _check_resolved(values: NDArray[np.float32], name: str) -> None:
    if values.min() == values.max():
        raise DataError(f"column {name!r} varies less than float32 can hold; rescale it, such as to smaller units")


def _sort(rows: Rows, repairs: Repairs) -> Rows:
    """Sort by series, then time, rows of one time in the order of the source."""
    if (np.diff(rows.codes) < 0).any():
        rows = rows.take(np.argsort(rows.codes, kind="stable"))
    if rows.times is None:
        return rows
    same = np.diff(rows.codes) == 0
    early = int((rows.times[1:] < rows.times[:-1])[same].sum())
    repairs.count("out_of_order", early, "{n} rows stood before their time and were sorted")
    return rows.take(np.lexsort((rows.times, rows.codes))) if early else rows


def _drop_duplicates(rows: Rows, roles: Roles, time_name: str, repairs: Repairs) -> Rows:
    """Keep the first row of each time stamp of a series.

    Raises:
        DataError: more than 1% of the rows repeat a stamp with other target values.
    """
    if rows.times is None:
        return rows
    repeats = np.concatenate([[False], (np.diff(rows.codes) == 0) & (rows.times[1:] == rows.times[:-1])])
    if not repeats.any():
        return rows
    targets = rows.matrix[: len(roles.targets)]
    first = np.flatnonzero(~repeats)[np.cumsum(~repeats) - 1]
    again = np.flatnonzero(repeats)
    before, after = targets[:, first[again]], targets[:, again]
    differ = ~((before == after) | (np.isnan(before) & np.isnan(after)))  # (C, repeats)
    clashes = int(differ.any(axis=0).sum())
    if clashes > LARGEST_DISAGREEMENT * len(rows.codes):
        at = int(differ.any(axis=0).argmax())
        name = roles.targets[int(differ[:, at].argmax())]
        stamp = pd.Timestamp(rows.times[again[at]]).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
        remedy = "drop them" if roles.id else "drop them or pass --id"
        raise DataError(
            f"column {time_name!r} has {clashes} duplicate time stamps (first {stamp}) "
            f"with different values of {name!r}; {remedy}"
        )
    said = f" ({clashes:,} of them with other values: the first was kept)" if clashes else ""
    repairs.count("duplicates", len(again), "{n} rows that repeat a time stamp were dropped" + said)
    return rows.take(~repeats)


def _leave_out_poor_series(rows: Rows, channels: int, series: int, repairs: Repairs) -> Rows:
    """Leave out series of one row, and those without an observed target.

    Raises:
        DataError: none is left.
    """
    observed = np.isfinite(rows.matrix[:channels]).any(axis=0)
    good = (np.bincount(rows.codes, minlength=series) > 1) & (
        np.bincount(rows.codes, weights=observed, minlength=series) > 0
    )
    if not good.any():
        raise DataError(f"no series has 2 rows and a value: {series} series in {len(rows.codes)} rows; check --id")
    poor = series - int(good.sum())
    repairs.count("series_left_out", poor, "{n} series of a single row or without any value were left out")
    return rows.take(good[rows.codes]) if poor else rows


def _regular(rows: Rows, repairs: Repairs) -> tuple[Floats, tuple[int, ...], Times, str | None]:
    """Return the matrix (K, N) on a regular grid with NaN in its holes, its borders, times and frequency."""
    offsets = rows.offsets()
    if rows.times is None:
        repairs.notes.append("no time column was found: the rows are numbered")
        return rows.matrix, offsets, np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets)), None
    freq = find_freq(rows.times, offsets)
    grid = lay_grid(rows.times, offsets, freq)
    if grid is None:
        uneven = uneven_steps(rows.times, offsets)
        repairs.count("irregular_time", uneven, "the time is irregular ({n} uneven steps): rows were taken as even")
        return rows.matrix, offsets, rows.times, None
    repairs.count("off_grid", grid.off_grid, f"{{n}} time stamps off the {freq} grid were moved to it or dropped")
    gaps = grid.offsets[-1] - len(grid.rows)
    if not gaps and not grid.off_grid:
        return rows.matrix, offsets, rows.times, freq
    repairs.count("gap_rows", gaps, f"{{n}} rows missing from the {freq} grid were added, filled and never scored")
    matrix = np.full((len(rows.matrix), grid.offsets[-1]), np.nan)
    matrix[:, grid.rows] = rows.matrix[:, grid.kept]
    return matrix, grid.offsets, grid.times, freq


def _origin(values: Floats, observed: Bools, offsets: Sequence[int]) -> float:
    """Return what to subtract from (N,) values so that float32 resolves them; mostly 0.

    The first half of each series decides: later rows, where the test rows lie, must not change what the others look
    like.
    """
    early = np.zeros(len(values), dtype=np.bool_)
    for start, end in itertools.pairwise(offsets):
        early[start : start + max(2, (end - start) // 2)] = True
    half = values[early & observed] if (early & observed).any() else values[observed]
    largest = float(np.abs(half).max())
    spread = float(np.std(half / largest)) * largest if largest else 0.0
    if largest <= COARSEST * (spread or 1.0):
        return 0.0
    digits = -int(np.floor(np.log10(spread or 1.0)))
    return float(round(float(np.median(half / largest)) * largest, digits))


def _to_float32(matrix: Floats, names: Sequence[str]) -> NDArray[np.float32]:
    """Return (K, N) in single precision.

    Raises:
        DataError: a value is too large for it.
    """
    for values, name in zip(matrix, names, strict=True):
        largest = float(np.abs(values).max())
        if largest > float(np.finfo(np.float32).max):
            raise DataError(f"column {name!r} reaches {largest:.3g}, above what float32 holds (3.4e+38); rescale it")
    return matrix.astype(np.float32)


def _calendar(times: Times, freq: str | None, wanted: bool | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return the calendar features (N, K) and their names, none where not wanted.

    Raises:
        UsageError: they are asked for and mean nothing here.
    """
    features, names = calendar_features(times, freq if wanted else None)
    if wanted and not names:
        kind = "irregular or missing time stamps" if freq is None else f"frequency {freq!r}"
        raise UsageError(f"calendar features need regular time stamps of a month or less, not {kind}; --no-calendar")
    return features, names
