"""Rows of any time on a regular grid: stamps, counted numbers, or none at all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lstm_tune.data.axis_grid import find_step, lay_axis
from lstm_tune.data.cleaning import Repairs, Rows
from lstm_tune.data.columns import Floats
from lstm_tune.data.even_times import EvenTimes, Ints, Times
from lstm_tune.data.frequency import find_freq, parse_freq, short_step
from lstm_tune.data.number_format import NumberFormat
from lstm_tune.data.time_grid import Grid, lay_grid, uneven_steps
from lstm_tune.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What a saved model keeps of the data that it was tuned on, and reads other data by."""

    time: str | None = None  # column, taken if it is there
    targets: tuple[str, ...] = ()
    freq: str | None = None
    step: float | None = None  # of numbers that count the time
    origin: tuple[float, ...] = ()  # (C,)
    covariate_origin: tuple[float, ...] = ()  # (P + F,); (): all 0
    formats: Mapping[str, NumberFormat] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {column: its words}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Regular:
    """Columns on a regular grid."""

    columns: tuple[Floats, ...]  # (N,) each, NaN in the holes
    offsets: tuple[int, ...]
    times: Times | EvenTimes
    freq: str | None
    step: float | None = None  # of numbers that count the time
    nearest: Ints | None = None  # (n,) the grid row of each row; None: they are the same
    is_local: bool = False  # whether the times are local ones, though there is a time zone


def lay_rows(rows: Rows, learn: Sequence[int], repairs: Repairs, known: Known | None) -> Regular:
    """Lay the rows on a regular grid that the rows before `learn` (S,) decide on, or a saved model has."""
    offsets = rows.offsets()
    if rows.times is None:
        repairs.notes.append("no time column was found: the rows are numbered; pass time= if a column holds it")
        counted = EvenTimes(np.zeros(len(offsets) - 1, dtype=np.int64), 1, offsets)
        return Regular(columns=rows.columns, offsets=offsets, times=counted, freq=None)
    if rows.times.dtype.kind != "M":
        return _counted(rows, learn, repairs, known)
    even = short_step(rows.times, offsets)
    if even is not None and (known is None or known.freq in (None, even[0])):
        return Regular(columns=rows.columns, offsets=offsets, times=even[1], freq=even[0])
    if known is not None and known.freq is not None:
        return _as_known(rows, known.freq, learn, repairs)
    times, freq, is_local = rows.times, find_freq(*_early(rows.times, offsets, learn)), False
    if rows.local is not None:
        there = find_freq(*_early(rows.local, offsets, learn))
        if parse_freq(there).unit == "week":  # opening hours follow the local clock
            times, freq, is_local = rows.local, there, True
    grid = lay_grid(times, offsets, freq, learn)
    if grid is None:
        return _irregular(rows, repairs)
    if is_local:
        repairs.notes.append("the hours at which there are rows follow the local clock: the time zone was left out")
    return _gridded(rows, grid, freq, repairs, is_local=is_local)


def _early(times: Times, offsets: Sequence[int], learn: Sequence[int]) -> tuple[Times, tuple[int, ...]]:
    """Return the times of each series up to the row in `learn` (S,), at least two if there are, and their borders.

    A series without any row before it is left out, unless none has one.
    """
    every = list(zip(itertools.pairwise(offsets), learn, strict=True))
    seen = [((a, b), end) for (a, b), end in every if end > a] or every
    bounds = [(a, min(b, max(end, a + 2))) for (a, b), end in seen]
    return np.concatenate([times[a:b] for a, b in bounds]), (0, *np.cumsum([b - a for a, b in bounds]).tolist())


def _irregular(rows: Rows, repairs: Repairs) -> Regular:
    assert rows.times is not None
    uneven = uneven_steps(rows.times, rows.offsets())
    repairs.count("irregular_time", uneven, "the time is irregular ({n} uneven step{s}): rows were taken as even")
    return Regular(columns=rows.columns, offsets=rows.offsets(), times=rows.times, freq=None)


def _gridded(
    rows: Rows, grid: Grid, freq: str | None, repairs: Repairs, *, is_local: bool = False, step: float | None = None
) -> Regular:
    """Bring the columns onto a grid, and count what had to be moved, dropped or added."""
    named = "grid" if freq is None else f"{freq} grid"
    repairs.count("off_grid", grid.off_grid, f"{{n}} time stamp{{s}} off the {named} {{were}} moved to it or dropped")
    gaps = grid.offsets[-1] - len(grid.rows)
    same = not gaps and not grid.off_grid
    said = f"{{n}} row{{s}} missing from the {named} {{were}} added; such rows are filled and never scored"
    repairs.count("gap_rows", gaps, said)
    columns = rows.columns
    if not same:
        columns = tuple(_spread(values, grid) for values in rows.columns)
    return Regular(
        columns=columns,
        offsets=grid.offsets,
        times=grid.times,
        freq=freq,
        step=step,
        nearest=None if same else grid.nearest,
        is_local=is_local,
    )


def _spread(values: Floats, grid: Grid) -> Floats:
    column = np.full(grid.offsets[-1], np.nan, dtype=values.dtype)
    column[grid.rows] = values[grid.kept]
    return column


def _counted(rows: Rows, learn: Sequence[int], repairs: Repairs, known: Known | None) -> Regular:
    """Lay rows whose time is counted in numbers on a regular grid."""
    assert rows.times is not None
    offsets = rows.offsets()
    step = known.step if known is not None and known.step else find_step(*_early(rows.times, offsets, learn))
    grid = lay_axis(rows.times, offsets, step, learn)
    if known is not None and known.step and (grid is None or not _has_step_one(grid)):
        own = find_step(rows.times, offsets)
        raise DataError(
            f"the model was trained on rows that are {known.step:.10g} apart, but these are {own:.10g} apart; "
            "resample them first"
        )
    if grid is None:
        return _irregular(rows, repairs)
    assert isinstance(grid.times, EvenTimes)
    return _gridded(rows, grid, None, repairs, step=grid.times.step)


def _as_known(rows: Rows, freq: str, learn: Sequence[int], repairs: Repairs) -> Regular:
    """Lay rows on a grid of the frequency that a saved model was trained on.

    Raises:
        DataError: they have another one.
    """
    assert rows.times is not None
    offsets = rows.offsets()
    for times in (rows.times, rows.local):
        grid = None if times is None else _fits(times, offsets, freq, learn)
        if grid is not None:
            return _gridded(rows, grid, freq, repairs, is_local=times is rows.local and rows.local is not None)
    found = find_freq(rows.times, offsets) if len(rows) > len(offsets) - 1 else None
    own = "other times" if found is None else repr(found)
    raise DataError(f"the model was trained on rows of frequency {freq!r}, but these have {own}; resample them first")


def _fits(times: Times, offsets: Sequence[int], freq: str, learn: Sequence[int]) -> Grid | None:
    try:
        grid = lay_grid(times, offsets, freq, learn)
    except DataError:
        return None
    return grid if grid is not None and _has_step_one(grid) else None


def _has_step_one(grid: Grid) -> bool:
    """Return whether neighbours mostly lie on neighbouring places: else the rows are further apart than the grid's."""
    inner = np.diff(grid.rows)[~np.isin(grid.rows[1:], grid.offsets[1:-1])]
    if len(inner) < 2:
        return True
    distinct, counts = np.unique(inner, return_counts=True)
    return bool(distinct[counts.argmax()] == 1)
