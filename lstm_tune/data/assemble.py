"""From the columns of a frame to a `SeriesSet`: clean, lay the grid, fill, and count every repair."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.categories import UNKNOWN, Coded, category_columns, fill_static, keep_trained, read_categories
from lstm_tune.data.cleaning import (
    Repairs,
    Rows,
    count_missing,
    drop_duplicates,
    leave_out_poor_series,
    rows_with_targets,
    sort_rows,
)
from lstm_tune.data.columns import Floats, Numbers, Roles, read_numbers
from lstm_tune.data.even_times import Bools, Ints
from lstm_tune.data.filling import fill_forward, find_origin, ranges, to_float32, values_before
from lstm_tune.data.holidays import holiday_features, holiday_names
from lstm_tune.data.number_format import Clues, NumberFormat
from lstm_tune.data.regular import Known, Regular, lay_rows
from lstm_tune.data.series import SeriesSet, marks
from lstm_tune.data.split_rule import Cut, SplitRule, cut_rows
from lstm_tune.data.time_column import TimeColumn
from lstm_tune.errors import DataError, UsageError
from lstm_tune.utils.text import counted


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """The rows of a source, and what their columns are."""

    frame: pd.DataFrame  # N rows, tidied
    roles: Roles
    time: TimeColumn
    codes: Ints | None  # (N,) number of the series of each row; None: there is one
    names: tuple[str, ...]  # (S,) of the series
    path: str  # what the user named
    marked: frozenset[str] = frozenset()  # columns of pandas' type `category`


def assemble(
    table: Table,
    *,
    calendar: bool | None,
    holidays: str | None,
    repairs: Repairs,
    clues: Clues,
    split: SplitRule | None,
    known: Known | None,
    keep_ahead: bool,
) -> SeriesSet:
    """Build the series by the rules of `load_series`.

    Args:
        table: the rows.
        calendar: whether to add calendar features; None: no.
        holidays: country whose public holidays are added; None: none.
        repairs: what was decided so far; grows.
        clues: to how numbers are written.
        split: by which the rows are cut: whatever is decided by the data, is decided by rows before the test rows, and
            what values become, by the train rows; None: all rows are train rows.
        known: what a saved model keeps; then data are taken that nothing could be learned from.
        keep_ahead: whether rows at the end without any target are kept, for a forecast.
    """
    roles = table.roles
    rows, numbers, coded = _read_rows(table, clues, known, repairs)
    _check_columns(rows.columns, roles, varied=known is None)
    infinite = sum(column.infinite for column in numbers.values())
    rows, missing = _sorted_rows(rows, table, infinite, repairs, keep_ahead=keep_ahead, least=2 if known is None else 1)
    left = table.names if rows.codes is None else tuple(table.names[c] for c in rows.codes[list(rows.offsets()[:-1])])
    given = rows.offsets()
    cut = cut_rows(split, given, rows.times if rows.local is None else rows.local)
    rows, kept = drop_duplicates(rows, roles, str(table.time.name), repairs)
    regular, train = _lay(rows, given, kept, cut, repairs, known)
    del rows  # what was sorted or laid on a grid leaves the source behind
    _check_columns(regular.columns, roles, varied=known is None)  # again: dropped rows may have held all values
    regular, vocabulary = _learn_words(regular, roles, coded, train, known)
    values, observed, covariates, origins = _tensors(regular, roles, train, known, frozenset(coded))
    past, future = np.split(covariates, [len(roles.past)], axis=1)
    zone = None if regular.is_local else table.time.zone
    features, feature_names = _stamp_features(regular, zone, calendar, holidays)
    return SeriesSet(
        values=torch.from_numpy(values),
        observed=marks(torch.from_numpy(observed)),
        past=torch.from_numpy(np.ascontiguousarray(past)),
        future=torch.from_numpy(np.concatenate([future, features], axis=1)),
        offsets=regular.offsets,
        times=regular.times,
        freq=regular.freq,
        series=left,
        targets=roles.targets,
        past_names=roles.past,
        future_names=roles.future + roles.static + feature_names,
        static_names=roles.static,
        categories=vocabulary,
        origin=origins[: len(roles.targets)],
        covariate_origin=origins[len(roles.targets) :],
        path=table.path,
        time_name=table.time.name if len(table.time.columns) <= 1 else None,
        id_names=roles.ids,
        missing=missing,
        repaired=repairs.counts,
        notes=tuple(repairs.notes),
        calendar=bool(calendar),
        holidays=holidays,
        step=regular.step,
        zone=zone,
        formats=_formats(numbers),
        future_seen=_future_seen(regular, roles) if keep_ahead else None,
        cut=cut,
        placed=_placed(regular, given, kept),
        starts=() if known is None else _late_starts(regular),
    )


def _read_rows(
    table: Table, clues: Clues, known: Known | None, repairs: Repairs
) -> tuple[Rows, dict[str, Numbers], dict[str, Coded]]:
    """Return the columns that have a role, with static covariates filled: as rows, and by name.

    Returns:
        Rows, columns of numbers and columns of categories.
    """
    numbers, coded = _read_columns(table, clues, known)
    notes = [*(column.note for column in numbers.values()), *(column.note for column in coded.values())]
    repairs.notes += filter(None, notes)
    read = {name: column.values for name, column in numbers.items()} | {name: c.codes for name, c in coded.items()}
    for name in table.roles.static:
        blank = UNKNOWN if name in coded else np.nan
        read[name] = fill_static(name, read[name], table.codes, blank, table.names)
    rows = Rows(
        columns=tuple(read[name] for name in table.roles.names),
        codes=table.codes,
        times=table.time.stamps,
        local=table.time.local,
    )
    return rows, numbers, coded


def _sorted_rows(
    rows: Rows, table: Table, infinite: int, repairs: Repairs, *, keep_ahead: bool, least: int
) -> tuple[Rows, dict[str, int]]:
    """Return the rows in order, without rows to forecast and poor series, and {target: missing values}.

    Args:
        rows: as they were given.
        table: what their columns are.
        infinite: values that are infinite, and count as missing.
        repairs: grows.
        keep_ahead: whether rows at the end without any target stay.
        least: rows that a series must have.
    """
    channels = len(table.roles.targets)
    rows = sort_rows(rows, repairs)
    past = rows_with_targets(rows, channels)
    before = rows if past.all() else rows.take(past)
    missing = count_missing(before, table.roles, infinite, repairs)
    if not keep_ahead:
        said = "{n} row{s} at the end without a target {were} left out: such rows are to be forecast"
        repairs.count("rows_ahead", int((~past).sum()), said)
        rows = before
    return leave_out_poor_series(rows, channels, len(table.names), repairs, least=least), missing


def _lay(
    rows: Rows, given: Sequence[int], kept: Ints | None, cut: Cut, repairs: Repairs, known: Known | None
) -> tuple[Regular, list[tuple[int, int]]]:
    """Return the rows on a regular grid, and the train rows of each series there.

    Args:
        rows: without duplicates.
        given: (S+1,) borders of the series before duplicates were dropped.
        kept: see `drop_duplicates`.
        cut: counts of the given rows.
        repairs: grows.
        known: see `assemble`.
    """
    learn = _ends(given, kept, [n_train + n_val for n_train, n_val, _ in cut.counts])
    regular = lay_rows(rows, learn, repairs, known)
    train_ends = _ends(given, kept, [n_train for n_train, _, _ in cut.counts])
    return regular, ranges(regular.offsets, _on_grid(train_ends, rows.offsets(), regular))


def _future_seen(regular: Regular, roles: Roles) -> torch.Tensor | None:
    """Return which values of future and static covariates were given, (N, F); None: there is none of these columns."""
    ahead = regular.columns[len(roles.targets) + len(roles.past) :]
    return torch.from_numpy(np.isfinite(np.stack(ahead, axis=1))) if ahead else None


def _late_starts(regular: Regular) -> tuple[tuple[int, Floats], ...]:
    """Return the columns that have no value in the first row of a series, (number, (N,)) each."""
    first = list(regular.offsets[:-1])
    return tuple((k, column) for k, column in enumerate(regular.columns) if not np.isfinite(column[first]).all())


def _read_columns(table: Table, clues: Clues, known: Known | None) -> tuple[dict[str, Numbers], dict[str, Coded]]:
    """Return the columns of numbers and those of categories, each {name: column}."""
    frame, roles, words = table.frame, table.roles, None if known is None else known.categories
    chosen = category_columns(frame, roles.covariates, table.marked, clues, words)
    coded = {
        name: read_categories(name, frame[name], None if words is None else words[name], static=name in roles.static)
        for name in chosen
    }
    return read_numbers({name: frame[name] for name in roles.names if name not in coded}, clues), coded


def _learn_words(
    regular: Regular, roles: Roles, coded: Mapping[str, Coded], train: Sequence[tuple[int, int]], known: Known | None
) -> tuple[Regular, dict[str, tuple[str, ...]]]:
    """Return the columns with the codes of the words that train rows hold, and {column: words}."""
    if known is not None or not coded:
        return regular, {name: column.words for name, column in coded.items()}
    columns, vocabulary = list(regular.columns), {}
    for name, column in coded.items():
        k = roles.names.index(name)
        columns[k], vocabulary[name] = keep_trained(name, columns[k], column.words, train)
    return replace(regular, columns=tuple(columns)), vocabulary


def _formats(numbers: Mapping[str, Numbers]) -> dict[str, NumberFormat]:
    return {name: column.form for name, column in numbers.items() if column.form is not None}


def _ends(given: Sequence[int], kept: Ints | None, counts: Sequence[int]) -> list[int]:
    """Return the row, of those that are left, before which the first so many given rows of each series lie."""
    bounds = [(start, start + count) for start, count in zip(given, counts, strict=False)]
    if kept is None:
        return [end for _, end in bounds]
    return [int(kept[end - 1]) + 1 if end > start else int(kept[start]) for start, end in bounds]


def _on_grid(ends: Sequence[int], offsets: Sequence[int], regular: Regular) -> list[int]:
    """Return the grid row before which the rows before each end lie."""
    if regular.nearest is None:
        return list(ends)
    pairs = zip(ends, offsets, regular.offsets, strict=False)
    return [int(regular.nearest[end - 1]) + 1 if end > start else first for end, start, first in pairs]


def _placed(regular: Regular, given: Sequence[int], kept: Ints | None) -> tuple[Ints, ...] | None:
    """Return the grid row (n,) of each given row of each series; None: each given row is a grid row of its own."""
    if kept is None and regular.nearest is None:
        return None
    nearest = np.arange(regular.offsets[-1]) if regular.nearest is None else regular.nearest
    every = nearest if kept is None else nearest[kept]
    return tuple(every[a:b] for a, b in itertools.pairwise(given))


def _tensors(
    regular: Regular, roles: Roles, train: Sequence[tuple[int, int]], known: Known | None, coded: frozenset[str]
) -> tuple[NDArray[np.float32], Bools, NDArray[np.float32], tuple[float, ...]]:
    """Return targets (C, N), their marks, covariates (N, P + F), all filled, and the origins of all."""
    channels, rows = len(roles.targets), regular.offsets[-1]
    values = np.empty((channels, rows), dtype=np.float32)
    observed = np.empty(values.shape, dtype=np.bool_)
    covariates = np.empty((rows, len(regular.columns) - channels), dtype=np.float32)
    origins: list[float] = []
    kept = None if known is None else _kept_origins(known, channels, covariates.shape[1])
    for k, (column, name) in enumerate(zip(regular.columns, roles.names, strict=True)):
        there = np.isfinite(column, out=observed[k] if k < channels else None)
        before = values_before(column, there, regular.offsets, train)
        if before is None and known is None and k >= channels:
            raise DataError(f"column {name!r} has no value in the train rows; leave it out or choose another split")
        usual = 0.0 if kept is None else kept[k]
        filled = fill_forward(column, there, regular.offsets, before or [usual] * (len(regular.offsets) - 1))
        origins.append(0.0 if name in coded else find_origin(filled, there, train) if kept is None else kept[k])
        to_float32(filled, name, values[k] if k < channels else covariates[:, k - channels], origins[k])
        if k < channels and known is None:
            _check_resolved(values[k], there, name)
    return values, observed, covariates, tuple(origins)


def _kept_origins(known: Known, channels: int, covariates: int) -> tuple[float, ...] | None:
    """Return the origin of each column of a saved model; None: it keeps none, so the data decide."""
    if not known.origin:
        return None
    targets = (*known.origin, *(0.0,) * channels)[:channels]  # data of more targets are refused later
    return (*targets, *(known.covariate_origin or (0.0,) * covariates))


def _check_columns(columns: Sequence[Floats], roles: Roles, *, varied: bool) -> None:
    """Refuse columns (N,) without a value and, if they are to be learned from, targets of one row or one value."""
    for values, name in zip(columns, roles.names, strict=True):
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)  # of what is there; NaN if nothing is
        if np.isnan(low):
            raise DataError(
                f"column {name!r} holds no value at all ({counted(len(values), 'row')}); choose another column"
            )
        if len(values) < 2 and varied:
            raise DataError(
                f"column {name!r} has 1 row, but at least 2 are needed; give more rows", code="too_little_data"
            )
        if name in roles.targets and low == high and varied:
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


def _stamp_features(
    regular: Regular, zone: str | None, calendar: bool | None, holidays: str | None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return holiday and calendar features (N, K) and their names, none if they are not wanted.

    Raises:
        UsageError: calendar features are asked for and mean nothing here.
    """
    features, names = calendar_features(regular.times, regular.freq if calendar else None)
    if calendar and not names:
        kind = "irregular or missing time stamps" if regular.freq is None else f"frequency {regular.freq!r}"
        raise UsageError(
            f"calendar features need regular time stamps of less than a year, not {kind}; leave calendar out"
        )
    free = holiday_features(regular.times, regular.freq, zone, holidays)
    return np.concatenate([free, features], axis=1), holiday_names(holidays) + names
