"""From the columns of a frame to a `SeriesSet`: clean, lay the grid, fill, and count every repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.cleaning import Repairs, Rows, count_missing, drop_duplicates, leave_out_poor_series, sort_rows
from lstm_tune.data.columns import Floats, Roles, read_numbers
from lstm_tune.data.even_times import Bools, EvenTimes, Ints, Times
from lstm_tune.data.filling import fill_forward, find_origin, to_float32
from lstm_tune.data.frequency import find_freq, short_step
from lstm_tune.data.series import SeriesSet, marks
from lstm_tune.data.time_grid import lay_grid, uneven_steps
from lstm_tune.data.timestamps import TimeColumn
from lstm_tune.errors import DataError, UsageError


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
    train: float,
    origin: Sequence[float] | None,
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
        train: train rows of each series, or their share of it.
        origin: (C,) of the targets, if it was decided before.
    """
    channels = len(roles.targets)
    numbers = {name: read_numbers(frame[name], name) for name in roles.names}
    count_missing(numbers, repairs)
    rows = Rows(columns=tuple(numbers[name].values for name in roles.names), codes=codes, times=time.stamps)
    missing = {name: numbers[name].missing + numbers[name].infinite for name in roles.targets}
    _check_columns(rows.columns, roles)
    rows = sort_rows(rows, repairs)
    rows = drop_duplicates(rows, roles, str(time.name), repairs)
    rows = leave_out_poor_series(rows, channels, len(names), repairs)
    left = names if rows.codes is None else tuple(names[code] for code in rows.codes[list(rows.offsets()[:-1])])
    columns, offsets, times, freq = _regular(rows, repairs)
    del rows, numbers  # what was sorted or laid on a grid leaves the source behind
    _check_columns(columns, roles)  # again: what was dropped may have held all the values of a column
    values = np.empty((channels, offsets[-1]), dtype=np.float32)
    observed = np.empty(values.shape, dtype=np.bool_)
    covariates = np.empty((offsets[-1], len(columns) - channels), dtype=np.float32)
    given = origin if origin is not None and len(origin) == channels else None
    origins: list[float] = []
    for k, (column, name) in enumerate(zip(columns, roles.names, strict=True)):
        there = np.isfinite(column, out=observed[k] if k < channels else None)
        filled = fill_forward(column, there, offsets)
        if k < channels:
            origins.append(given[k] if given is not None else find_origin(filled, there, offsets, train))
            to_float32(filled, name, values[k], origins[k])
            if given is None:
                _check_resolved(values[k], there, name)
        else:
            to_float32(filled, name, covariates[:, k - channels])
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
        origin=tuple(origins),
        path=path,
        time_name=time.name if len(time.columns) <= 1 else None,
        id_name=roles.id,
        missing=missing,
        repaired=repairs.counts,
        notes=tuple(repairs.notes),
        calendar=bool(feature_names),
    )


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
