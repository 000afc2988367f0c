"""Measures of error, each of every series by itself, as `utilsforecast.losses` defines them, from sums over windows.

With e = y - ŷ over all observed targets of a series (of all windows, all steps):

    mse    mean e²                      mase   mae  / mean |y_t - y_(t-m)|  over the train rows (Hyndman, Koehler 2006)
    rmse   √mse                         rmsse  √(mse / mean (y_t - y_(t-m))²  over the train rows)   (M5, 2020)
    mae    mean |e|                     wape   Σ|e| / Σ|y|
                                        smape  mean |e| / (|y| + |ŷ|), 0 if both are 0

m is the season, or 1. What is reported is the mean over the series; a series without a value, such as a constant one
whose m-th differences are 0, does not count in it. Letters: C channels, S series, G = C · S groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.utils.arguments import refuse

Floats = NDArray[np.float64]

METRICS = ("mse", "rmse", "mae", "mase", "rmsse", "wape", "smape")
IN_UNITS = {"mse": 2, "rmse": 1, "mae": 1}  # {metric: power of the target's unit}; the others are pure numbers
TITLES = {
    "mse": "MSE", "rmse": "RMSE", "mae": "MAE", "mase": "MASE", "rmsse": "RMSSE", "wape": "WAPE", "smape": "sMAPE"
}  # fmt: skip


def checked_metric(name: str, value: Any) -> str:
    """Return the name of a metric.

    Raises:
        UsageError: there is no such metric.
    """
    if not isinstance(value, str) or value not in METRICS:
        raise refuse(name, f"one of {', '.join(METRICS)}", value)
    return value


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NaiveErrors:
    """Errors of the seasonal naive forecast one step ahead over train rows: what MASE and RMSSE divide by.

    Attributes:
        absolute: (C, S) mean |y_t - y_(t-m)|; NaN: fewer than m + 1 rows, or no pair of them was observed.
        squared: (C, S) mean (y_t - y_(t-m))².
    """

    absolute: Floats
    squared: Floats

    @classmethod
    def of(cls, data: SeriesSet, rows: Ranges, period: int | None) -> NaiveErrors:
        """Measure each column of each series in its rows, with a season of `period` rows, or 1."""
        lag = period or 1
        found = np.full((2, data.n_channels, data.n_series), np.nan)
        for c in range(data.n_channels):
            values, seen = data.values[c].numpy(), data.observed[c].numpy()
            for s, (a, b) in enumerate(rows):
                if b - a <= lag:
                    continue
                change = np.abs(values[a + lag : b].astype(np.float64) - values[a : b - lag])
                change = change[seen[a + lag : b] & seen[a : b - lag]]
                if len(change):
                    found[:, c, s] = change.sum() / len(change), change @ change / len(change)
        return cls(absolute=found[0], squared=found[1])

    def named(self, series: Sequence[str]) -> Mapping[str, tuple[Floats, Floats]]:
        """Return {series: both errors, each (C,)}."""
        return dict(zip(series, zip(self.absolute.T, self.squared.T, strict=True), strict=True))

    @classmethod
    def for_series(
        cls, known: Mapping[str, tuple[Floats, Floats]], series: Sequence[str], channels: int
    ) -> NaiveErrors:
        """Return the errors of series by their names; NaN for those that are not known."""
        unknown = np.full(channels, np.nan)
        found = [known.get(name, (unknown, unknown)) for name in series]
        return cls(absolute=np.stack([a for a, _ in found], axis=1), squared=np.stack([s for _, s in found], axis=1))


class GroupSums:
    """Sums over the windows of each group, from which all metrics follow.

    Args:
        groups: G.
        origin: (C,) what the values that are added lack; see `SeriesSet.origin`.
        device: of the windows.
    """

    def __init__(self, groups: int, origin: tuple[float, ...], device: torch.device) -> None:
        self._origin = torch.tensor(origin, dtype=torch.float64, device=device)
        self._sums = torch.zeros(5, groups, dtype=torch.float64, device=device)  # count, e², |e|, |y|, |e|/(|y|+|ŷ|)

    def add(self, group: Tensor, channel: Tensor, target: Tensor, forecast: Tensor, seen: Tensor) -> None:
        """Add windows: group and channel (B,), the others (B, H); `seen` is 1 where the target was observed, else 0."""
        origin = self._origin[channel, None]
        actual, ahead = (target + origin).abs(), (forecast + origin).abs()
        error = (forecast - target).abs() * seen
        size = actual + ahead
        relative = torch.where(size > 0, error / size, 0.0)
        for sums, part in zip(self._sums, (seen, error * error, error, actual * seen, relative), strict=True):
            sums.index_add_(0, group, part.sum(1))

    def metrics(self, naive: NaiveErrors) -> dict[str, Floats]:
        """Return {metric: (C, S)}, NaN where it has no value."""
        count, squares, absolute, size, relative = self._sums.cpu().numpy().reshape(5, *naive.absolute.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            mse, mae = squares / count, absolute / count
            found = {
                "mse": mse,
                "rmse": np.sqrt(mse),
                "mae": mae,
                "mase": mae / naive.absolute,
                "rmsse": np.sqrt(mse / naive.squared),
                "wape": absolute / size,
                "smape": relative / count,
            }
        undefined = {"mase": naive.absolute == 0, "rmsse": naive.squared == 0, "wape": size == 0}
        return {name: np.where(undefined.get(name, False), np.nan, value) for name, value in found.items()}


def judged(metrics: Mapping[str, Floats], metric: str, sd: Floats) -> float:
    """Return what a study of a metric minimizes: the mean over columns of its mean over series, as a pure number.

    Args:
        metrics: {metric: (C, S)}.
        metric: one of `METRICS`.
        sd: (C, S) the spread of each series, by which errors in the unit of the target are divided.

    Returns:
        NaN: the metric has no value for any series of a column.
    """
    values = metrics[metric] / sd ** IN_UNITS.get(metric, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of empty means
        return float(np.nanmean(values, axis=1).mean())


def over_series(metrics: Mapping[str, Floats]) -> dict[str, tuple[float, ...]]:
    """Return {metric: (C,)}: the mean over the series that have a value; NaN if none has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of empty means
        return {name: tuple(np.nanmean(values, axis=1).tolist()) for name, values in metrics.items()}
