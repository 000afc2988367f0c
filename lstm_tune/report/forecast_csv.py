"""`forecast.csv`: every test window with its forecast, and the errors that are summed up while it is written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.time_labels import TimeStyle, series_name
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.evaluation.score import Forecaster, forecast_all
from lstm_tune.utils.atomic_files import atomic_write
from lstm_tune.utils.decimals import decimal_texts, widen

_CHUNK_WINDOWS = 20_000
_HEADER = '"time","series","step","actual","forecast"\n'


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeriesErrors:
    """The errors of all test windows of one target of one series, in original units."""

    name: str  # as in forecast.csv
    channel: int  # of the target
    series: int
    start: int  # its first window among the test windows
    windows: int
    mse: float  # over every window and step that was observed; NaN: there is none
    variance: float  # of the scored values: what forecasting their mean would cost
    bias: float  # mean of actual minus forecast
    first_residual: NDArray[np.float32]  # (W,) actual minus forecast, one step ahead; NaN if not observed

    @property
    def ratio(self) -> float:
        """MSE over the variance of the scored values; NaN if they do not vary."""
        return self.mse / self.variance if self.variance > 0 else math.nan


@dataclass(kw_only=True, slots=True)
class _Sums:
    """Running sums over the windows of one series. Mean and variance are merged as Chan et al. (1983) do."""

    first_residual: list[NDArray[np.float32]] = field(default_factory=list)
    count: int = 0
    residual: float = 0.0
    squares: float = 0.0
    mean: float = 0.0
    spread: float = 0.0  # sum of squared distances from the mean

    def add(self, actual: NDArray[np.float64], forecast: NDArray[np.float64]) -> None:
        """Add windows (n, H); an actual value is NaN if it was not observed."""
        error = actual - forecast
        seen = ~np.isnan(error)
        self.first_residual.append(error[:, 0].astype(np.float32))
        n = int(seen.sum())
        if not n:
            return
        self.residual += float(error[seen].sum())
        self.squares += float((error[seen] ** 2).sum())
        values = actual[seen]
        gap, total = float(values.mean()) - self.mean, self.count + n
        self.spread += float(((values - values.mean()) ** 2).sum()) + gap**2 * self.count * n / total
        self.mean += gap * n / total
        self.count = total


def write_forecast(forecaster: Forecaster, windows: Windows, positions: Positions, path: Path) -> list[SeriesErrors]:
    """Write a row for each test window and step: time, series, step, actual, forecast.

    `time` is the time of the forecast row and `step` counts from 1. `series` is the series' name, the target's name if
    there are several targets, or both; no spreadsheet takes it for a formula. A value that was not observed is empty.

    Args:
        forecaster: the model.
        windows: of all rows.
        positions: of the test windows, in ascending order.
        path: of the file.

    Returns:
        The errors of each target of each series that has test windows, in the order of the file.
    """
    groups = series_groups(windows, positions)
    sums = [_Sums() for _ in groups]
    ends = np.array([group.stop for group in groups])
    with atomic_write(path) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        file.write(_HEADER)
        style = TimeStyle.of(windows.data.times, windows.data.zone)
        for start in range(0, len(positions), _CHUNK_WINDOWS):
            chunk = positions[start : start + _CHUNK_WINDOWS]
            actual, forecast = actual_values(windows, chunk), forecast_all(forecaster, windows, chunk).double().numpy()
            file.write(_rows(windows, chunk, actual, forecast, style))
            at, end = start, start + len(chunk)
            while at < end:
                group = int(np.searchsorted(ends, at, side="right"))
                stop = min(end, int(ends[group]))
                sums[group].add(actual[at - start : stop - start], forecast[at - start : stop - start])
                at = stop
    return [_errors(windows, group, one) for group, one in zip(groups, sums, strict=True)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The windows [start, stop) among the test windows that belong to one target of one series."""

    channel: int
    series: int
    start: int
    stop: int


def series_groups(windows: Windows, positions: Positions) -> list[Group]:
    """Return which windows belong to which target and series; a series without windows is left out."""
    data = windows.data
    groups, start = [], 0
    for channel, series in itertools.product(range(windows.channels), range(data.n_series)):
        stop = positions.below(channel * windows.rows + data.offsets[series + 1])
        if stop > start:
            groups.append(Group(channel=channel, series=series, start=start, stop=stop))
        start = stop
    return groups


def actual_values(windows: Windows, positions: Tensor) -> NDArray[np.float64]:
    """Return the targets (n, H) of windows at `positions` (n,), in working units; NaN if not observed."""
    data = windows.data
    channel, row = np.divmod(positions.cpu().numpy(), windows.rows)
    rows = row[:, None] + np.arange(windows.horizon)
    values = data.values.numpy()[channel[:, None], rows].astype(np.float64)
    values[~data.observed.numpy()[channel[:, None], rows]] = np.nan
    return values


def _errors(windows: Windows, group: Group, sums: _Sums) -> SeriesErrors:
    data, count = windows.data, sums.count or math.nan
    return SeriesErrors(
        name=series_name(data.series[group.series], data.targets[group.channel], data.n_channels),
        channel=group.channel,
        series=group.series,
        start=group.start,
        windows=group.stop - group.start,
        mse=sums.squares / count,
        variance=sums.spread / count,
        bias=sums.residual / count,
        first_residual=np.concatenate(sums.first_residual),
    )


def _rows(
    windows: Windows,
    positions: Tensor,
    actual: NDArray[np.float64],
    forecast: NDArray[np.float64],
    style: TimeStyle,
) -> str:
    """Return the rows of forecast.csv for windows at `positions` (n,), from values (n, H) in working units."""
    data, horizon = windows.data, windows.horizon
    channel, row = np.divmod(positions.cpu().numpy(), windows.rows)
    rows = (row[:, None] + np.arange(horizon)).reshape(-1)
    stamps, which = np.unique(rows, return_inverse=True)
    times = _quoted(style.labels(data.times[stamps]))
    series = np.searchsorted(np.array(data.offsets), row, side="right") - 1
    keys, key_of = np.unique(channel * data.n_series + series, return_inverse=True)
    pairs = (divmod(int(key), data.n_series) for key in keys)
    names = _quoted(series_name(data.series[s], data.targets[c], data.n_channels) for c, s in pairs)
    origin = np.array(data.origin)[channel, None]
    columns = (
        times.take(pa.array(which)),
        names.take(pa.array(np.repeat(key_of, horizon))),
        pa.array(np.tile(np.arange(1, horizon + 1), len(row))).cast(pa.string()),
        pa.array(decimal_texts(widen(actual, origin).reshape(-1)), pa.string()),
        pa.array(decimal_texts(widen(forecast, origin).reshape(-1)), pa.string()),
    )
    options = pyarrow.compute.JoinOptions(null_handling="replace", null_replacement="")
    lines = pyarrow.compute.binary_join_element_wise(*columns, ",", options=options)
    return "".join(f"{line}\n" for line in lines.to_pylist())


def _quoted(texts: Iterable[str]) -> pa.Array:
    """Return texts as cells of a CSV file."""
    return pa.array(['"' + str(text).replace('"', '""') + '"' for text in texts], pa.string())
