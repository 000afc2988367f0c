"""Forecasts that somebody else has made, read from a file or frame and laid on the windows that the model is scored on.

One row for each forecast value: its time (`time`, `ds`, or the column that the data have), its series (`unique_id`,
`series`, or the columns that the data have) if there are several, the step ahead (`step`, from 1) or the last time that
the forecast knew (`cutoff`), and one column for each model. Letters: n windows, H horizon, C target columns, S series.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.columns import series_of_rows, tidy_frame
from lstm_tune.data.find_time import find_time
from lstm_tune.data.readers import read_source
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.time_labels import TimeStyle, series_name
from lstm_tune.data.time_zones import tzinfo
from lstm_tune.data.windows import Batch, Positions, Windows
from lstm_tune.errors import DataError
from lstm_tune.evaluation.baseline_labels import LABELS
from lstm_tune.utils.text import counted, listed

_TIMES = ("time", "ds", "date")
_IDS = ("unique_id", "series")
_NO_FORECASTS = ("y", "actual", "step", "cutoff")
_BOUND = re.compile(r"-(lo|hi)-\d+(\.\d+)?$")  # of an interval, as the Nixtla libraries name it

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GivenForecasts:
    """Somebody's forecasts on windows that all of them cover.

    Attributes:
        path: what they were read from.
        positions: (n,) of the windows, in ascending order.
        index: (n,) of the same windows among those that were to be covered.
        values: {name: forecasts (n, H)}, in working units.
        of: windows that were to be covered.
    """

    path: str
    positions: Tensor
    index: Ints
    values: Mapping[str, Tensor]
    of: int

    @property
    def complete(self) -> bool:
        """Whether every window is covered."""
        return len(self.positions) == self.of

    def forecasters(self) -> dict[str, GivenForecaster]:
        """Return {name: forecaster}, each for one pass over the windows in order."""
        return {name: GivenForecaster(values) for name, values in self.values.items()}


class GivenForecaster:
    """Hands out forecasts (n, H) in the order in which `score` passes the windows."""

    context = 1

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._seen = 0

    def __call__(self, batch: Batch) -> Tensor:
        """Return the forecasts of the next B windows, (B, H)."""
        start, self._seen = self._seen, self._seen + len(batch.target)
        return self._values[start : self._seen].to(batch.target.device)


def read_given(source: Any, windows: Windows, positions: Positions) -> GivenForecasts:
    """Read forecasts and lay them on windows.

    Args:
        source: a path, or a frame.
        windows: of the series that are scored.
        positions: the windows (n,) that are scored, in ascending order.

    Raises:
        DataError: a column is missing, a value stands twice, or no window is covered.
    """
    data = windows.data
    read = read_source(source, ids=(*_IDS, *data.id_names))
    frame, index = tidy_frame(read.frame, read.path)
    path = read.path
    if index is not None and pd.api.types.is_numeric_dtype(frame[index].dtype):
        frame = frame.drop(columns=index)  # the numbers of a frame's rows
    elif index is not None and "ds" not in frame.columns:
        frame = frame.rename(columns={index: "ds"})
    at = _time_name(frame, path, data.time_name)
    keys, used = _keys(frame, path, data)
    models = _models(frame, path, {at, *used}, data.targets)
    rows = _rows_of(data, keys, _times_of(frame, at, data, path))
    first = _first_rows(frame, path, windows, keys, rows)
    step = rows - first
    channel = keys // data.n_series
    inside = (rows >= 0) & (first >= 0) & (step >= 0) & (step < windows.horizon)
    every = positions[:].cpu().numpy()
    place = np.searchsorted(every, channel * windows.rows + first)
    inside &= (place < len(every)) & (every[np.minimum(place, len(every) - 1)] == channel * windows.rows + first)
    _refuse_repeated(path, place[inside] * windows.horizon + step[inside], np.flatnonzero(inside))
    observed = windows.observed(torch.from_numpy(every).to(windows.device)).cpu().numpy()
    origin = np.array(data.origin)[every // windows.rows, None]
    laid, covered = {}, np.ones(len(every), dtype=bool)
    for name in models:
        values = np.full((len(every), windows.horizon), np.nan)
        values[place[inside], step[inside]] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)[inside]
        there = np.isfinite(values) | ~observed
        covered &= there.all(1) & observed.any(1)
        laid[name] = np.where(np.isfinite(values), values - origin, 0.0)
    if not covered.any():
        raise DataError(_nothing_covered(path, windows, every, bool(inside.any())))
    return GivenForecasts(
        path=path,
        positions=torch.from_numpy(every[covered]).to(windows.device),
        index=np.flatnonzero(covered),
        values={_key(name): torch.from_numpy(values[covered]) for name, values in laid.items()},
        of=len(every),
    )


def _key(name: str) -> str:
    """Return the name of a model in the table of scores, apart from the forecasts that are always in it."""
    return f"{name} (given)" if name in LABELS or name in ("model", "lstm") else name


def _time_name(frame: pd.DataFrame, path: str, named: str | None) -> str:
    found = next((name for name in (named, *_TIMES) if name is not None and name in frame.columns), None)
    if found is None:
        wanted = ", ".join(dict.fromkeys(name for name in (named, *_TIMES) if name is not None))
        raise DataError(f"{path} has no column of times ({wanted}); add the time of each forecast value")
    return found


def _keys(frame: pd.DataFrame, path: str, data: SeriesSet) -> tuple[Ints, tuple[str, ...]]:
    """Return channel · S + series (N,) of each row, -1 where it is none of the data's; and the columns that say so."""
    ids = data.id_names
    named = tuple(ids) if ids and all(name in frame.columns for name in ids) else ()
    named = named or next(((name,) for name in _IDS if name in frame.columns), ())
    known: dict[str, int] = {}
    for c, target in enumerate(data.targets):
        for s, series in enumerate(data.series):
            known |= {name: c * data.n_series + s for name in (series_name(series, target, data.n_channels),)}
            if data.n_channels == 1:
                known[series] = s
    if len(data.series) * data.n_channels == 1:
        if named and frame[list(named)].drop_duplicates().shape[0] > 1:
            raise DataError(
                f"{path} holds forecasts of several series ({', '.join(named)}), but the data are one; "
                f"keep the rows of one"
            )
        return np.zeros(len(frame), dtype=np.int64), named
    if not named:
        wanted = ", ".join(dict.fromkeys((*ids, *_IDS)))
        raise DataError(f"{path} does not say which series a forecast is of; add a column {wanted}")
    codes, names = series_of_rows(frame, named)
    found = np.array([known.get(name, -1) for name in names])
    if (found < 0).all():
        raise DataError(
            f"{path} holds forecasts of {listed([repr(n) for n in names], 3)}, but the data hold "
            f"{listed([repr(n) for n in known], 3)}; give forecasts of these series"
        )
    return found[np.zeros(len(frame), dtype=np.int64) if codes is None else codes], named


def _models(frame: pd.DataFrame, path: str, used: Collection[str], targets: Sequence[str]) -> list[str]:
    """Return the columns that hold forecasts."""
    numeric = [n for n in frame.columns if n not in used and pd.api.types.is_numeric_dtype(frame[n].dtype)]
    found = [n for n in numeric if n not in (*_NO_FORECASTS, *targets) and not _BOUND.search(n)]
    found = found or [n for n in numeric if n in targets]
    if not found:
        raise DataError(f"{path} has no column of forecasts; add one column of numbers for each model")
    return found


def _times_of(frame: pd.DataFrame, name: str, data: SeriesSet, path: str) -> NDArray[Any]:
    """Return a column of times (N,) as the data count theirs."""
    if data.times.dtype.kind != "M":
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.isna().any():
            raise DataError(f"{path}: {name!r} must hold numbers, since the data count time; correct the other values")
        return numbers.to_numpy(dtype=data.times.dtype)
    found = find_time(frame, named=name, index=None, taken=(), ids=None)
    if found.stamps is None or found.stamps.dtype.kind != "M" or found.dropped is not None:
        raise DataError(f"{path}: {name!r} must hold time stamps, as the data do; write them as 2024-01-31 12:00")
    stamps = found.stamps
    if data.zone is not None and found.zone is None:  # written as the clocks there show
        there = pd.DatetimeIndex(stamps).tz_localize(tzinfo(data.zone), ambiguous="NaT", nonexistent="NaT")
        stamps = there.tz_convert("UTC").tz_localize(None).to_numpy()
    return stamps.astype("datetime64[ns]")


def _rows_of(data: SeriesSet, keys: Ints, times: NDArray[Any]) -> Ints:
    """Return the absolute row (N,) of times in their series; -1: there is none."""
    rows = np.full(len(keys), -1, dtype=np.int64)
    series = np.where(keys >= 0, keys % data.n_series, -1)
    for s in np.unique(series[series >= 0]):
        start, end = data.offsets[s], data.offsets[s + 1]
        own = np.asarray(data.times[start:end])
        here = np.flatnonzero(series == s)
        place = np.minimum(np.searchsorted(own, times[here]), len(own) - 1)
        rows[here] = np.where(own[place] == times[here], start + place, -1)
    return rows


def _first_rows(frame: pd.DataFrame, path: str, windows: Windows, keys: Ints, rows: Ints) -> Ints:
    """Return the row (N,) of the first target of each forecast's window; below 0: there is none."""
    if "step" in frame.columns:
        steps = pd.to_numeric(frame["step"], errors="coerce").to_numpy(dtype=np.float64)
        if not (np.isfinite(steps) & (steps >= 1) & (steps == np.round(steps))).all():
            raise DataError(f"{path}: 'step' must hold whole numbers from 1 on: the rows ahead of the last known one")
        return np.where(rows >= 0, rows - steps.astype(np.int64) + 1, -1)
    if "cutoff" in frame.columns:
        known = _rows_of(windows.data, keys, _times_of(frame, "cutoff", windows.data, path))
        return np.where(known >= 0, known + 1, -1)
    if windows.horizon > 1:
        raise DataError(
            f"{path} has neither a column 'step' nor 'cutoff', so that it is open which of the {windows.horizon} steps "
            f"ahead a value is; add one of the two"
        )
    return rows


def _refuse_repeated(path: str, cells: Ints, rows: Ints) -> None:
    """Refuse a file that forecasts the same step of the same window twice."""
    order = np.argsort(cells, kind="stable")
    twice = np.flatnonzero(np.diff(cells[order]) == 0)
    if len(twice):
        a, b = sorted(int(rows[order[i]]) + 1 for i in (twice[0], twice[0] + 1))
        raise DataError(f"{path} forecasts the same step of the same window in rows {a} and {b}; drop one of the two")


def _nothing_covered(path: str, windows: Windows, every: Ints, some: bool) -> str:
    data = windows.data
    first, last = int(every.min() % windows.rows), int(every.max() % windows.rows) + windows.horizon - 1
    style = TimeStyle.of(data.times, data.zone)
    start, end = style.labels(np.asarray(data.times[np.array([first, last])]))
    steps = f"all {windows.horizon} steps of one of them" if windows.horizon > 1 else "one of them"
    return (
        f"{path} covers {'no window whole' if some else 'none'} of the {counted(len(every), 'window')} that are scored "
        f"({start} to {end}); a model must forecast {steps} at least"
    )
