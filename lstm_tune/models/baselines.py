"""The forecasts that need no LSTM, scored by the same code as the model.

A baseline is one entry here (in `naive_baselines` if nothing is fitted, else in `fit_baselines`) and one label in
`evaluation.baseline_labels`; a test compares both. Letters: B windows in a batch, X context, H horizon, C channels,
G groups (channels times series).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.data.own_scale import SeriesStatistics
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Windows, evenly
from lstm_tune.evaluation.score import Forecaster, TargetScale, score
from lstm_tune.models.located import seasonal_repeat
from lstm_tune.models.ridge import MAX_WINDOWS, fit_ridge, stretch_moments
from lstm_tune.models.smoothing import Floats, fit_smoothing, forecast_weights, some_ranges, window_rows

RIDGE_LOOKBACK = 336
_COMPARED_WINDOWS = 2_000  # on which logarithms are compared with values
_GROWTH = math.exp(3)  # times the largest value: no forecast of logarithms goes further, unless the values spread more


@dataclass(frozen=True, kw_only=True, slots=True)
class Persistence:
    """Every step of the horizon equals the last value."""

    horizon: int
    context: int = 1

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        return batch.history[:, -1:].expand(-1, self.horizon)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeasonalNaive:
    """The last season again; `context` is the period in rows (1, if there is no season: persistence)."""

    horizon: int
    context: int

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        return seasonal_repeat(batch.history, self.context, self.horizon)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainMean:
    """Every step of the horizon equals the mean of the train rows; `diagnose` alone shows it."""

    horizon: int
    mean: tuple[float, ...]  # (G,)
    context: int = 1

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        mean = torch.tensor(self.mean, dtype=batch.history.dtype, device=batch.history.device)
        return mean[batch.group, None].expand(-1, self.horizon)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ridge:
    """A linear map of the window minus its last value, to the targets minus that value; shared by all columns."""

    context: int
    scale: Tensor  # (G,) by which the values of each column and series are divided, so that all weigh alike
    weight: Tensor  # (H, X)
    bias: Tensor  # (H,)

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        last = batch.history[:, -1:]
        scale, weight, bias = (part.to(last.device) for part in (self.scale, self.weight, self.bias))
        scale = scale[batch.group, None]
        change = torch.nn.functional.linear((batch.history - last) / scale, weight, bias)
        return last + change * scale


def fit_ridge_baseline(windows: Windows, rows: Ranges, max_lookback: int, scale: TargetScale) -> Ridge:
    """Fit the ridge baseline on `rows`; its lookback and strength are chosen by cross-validation within them.

    Args:
        windows: of the series.
        rows: to fit on.
        max_lookback: what the data allow; at most `RIDGE_LOOKBACK` is used.
        scale: of the train rows.
    """
    context = min(RIDGE_LOOKBACK, max_lookback)
    sd = torch.tensor(scale.groups(windows.data.n_series)[1], dtype=torch.float32, device=windows.device)

    def changes(batch: Batch) -> tuple[Tensor, Tensor]:
        last, divisor = batch.history[:, -1:], sd[batch.group, None]
        return (batch.history - last) / divisor, (batch.target - last) / divisor

    positions = evenly(windows.positions(rows, context, reach_back=False), MAX_WINDOWS)
    fitted = fit_ridge(stretch_moments(windows, positions, context, changes))
    if fitted is None:  # nothing to fit on: the last value
        fitted = torch.zeros(windows.horizon, context), torch.zeros(windows.horizon)
    weight, bias = (part.to(windows.device) for part in fitted)
    return Ridge(context=context, scale=sd, weight=weight, bias=bias)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExponentialSmoothing:
    """Exponential smoothing with additive errors, of the values or of their logarithms; shared by all columns."""

    context: int
    weight: Tensor  # (H, X), see `forecast_weights`
    bounds: Tensor | None  # (G, 2) within which logarithms are taken and forecasts stay; None: no logarithm

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        history = batch.history
        if self.bounds is not None:
            low, high = self.bounds.to(history.device)[batch.group].T[:, :, None]
            history = history.clamp_min(low).log()
        last = history[:, -1:]
        forecast = last + torch.nn.functional.linear(history - last, self.weight.to(last.device))
        if self.bounds is not None:
            forecast = torch.minimum(forecast.exp(), high)
        return forecast


def fit_smoothing_baseline(
    windows: Windows, rows: Ranges, *, period: int | None, max_lookback: int, scale: TargetScale
) -> ExponentialSmoothing:
    """Fit exponential smoothing on `rows`: of the values, or of their logarithms if these err less on `rows`.

    Args:
        windows: of the series.
        rows: to fit on.
        period: rows in a season; None: there is none.
        max_lookback: what the data allow.
        scale: of the train rows.
    """
    data, context = windows.data, window_rows(max_lookback, period)
    measured = SeriesStatistics.of(data, rows)
    low, high = (torch.from_numpy(x.reshape(-1)) for x in (measured.low, measured.high))
    positive = not any(data.origin) and bool((low > 0).all())
    tried = []
    for log in (False, True) if positive else (False,):
        chosen = some_ranges(rows)
        series = [_series(data, c, start, end, log=log) for c in range(data.n_channels) for _, start, end in chosen]
        weight = forecast_weights(fit_smoothing(series, period, context), context, windows.horizon)
        bounds = torch.stack([low / 10, high * (high / low).clamp_min(_GROWTH)], dim=1).float() if log else None
        tried.append(
            ExponentialSmoothing(
                context=context,
                weight=torch.from_numpy(weight).float().to(windows.device),
                bounds=None if bounds is None else bounds.to(windows.device),
            )
        )
    positions = evenly(windows.positions(rows, context, reach_back=False), _COMPARED_WINDOWS)
    if len(tried) == 1 or not len(positions):
        return tried[0]
    return min(tried, key=lambda f: score(f, windows, positions, scale, each=False).mse_scaled)


def _series(data: SeriesSet, channel: int, start: int, end: int, *, log: bool) -> Floats:
    """Return some rows of a channel (n,), brought to spread 1, NaN where a value was not observed."""
    values = data.values[channel, start:end].double()
    seen = data.observed[channel, start:end]
    if log:
        values = values.log()
    values = torch.where(seen, values, torch.nan)
    spread = float(values[seen].std(correction=0)) if bool(seen.any()) else 0.0
    scaled: Floats = (values / (spread or 1.0)).numpy()
    return scaled


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Combination:
    """The weighted mean of other baselines; see `training.combination` for the weights."""

    members: tuple[tuple[Forecaster, float], ...]

    @property
    def context(self) -> int:
        """Rows before the first target that it looks at."""
        return max(member.context for member, _ in self.members)

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        parts = [weight * member(batch.newest(member.context)) for member, weight in self.members]
        return torch.stack(parts).sum(0)


def combine(baselines: Mapping[str, Forecaster], weights: Mapping[str, float]) -> Combination:
    """Return the mean of some baselines by {name: weight}; what weighs nothing is left out."""
    return Combination(members=tuple((baselines[name], weight) for name, weight in weights.items() if weight))


def naive_baselines(horizon: int, period: int | None) -> dict[str, Forecaster]:
    """Return {name: forecaster} of the baselines that need no fitting.

    Args:
        horizon: rows to forecast.
        period: rows in a season; None or 1: there is none.
    """
    return {
        "persistence": Persistence(horizon=horizon),
        "seasonal_naive": SeasonalNaive(horizon=horizon, context=period or 1),
    }


def fit_baselines(
    windows: Windows,
    rows: Ranges,
    *,
    period: int | None,
    max_lookback: int,
    scale: TargetScale,
    combination: Mapping[str, float] | None = None,
) -> dict[str, Forecaster]:
    """Return {name: forecaster} of all baselines, fitted on `rows`.

    Args:
        windows: of the series.
        rows: to fit on.
        period: rows in a season; None: there is none.
        max_lookback: what the data allow.
        scale: of the train rows.
        combination: {name: weight} of the mean of the others; None: they are not combined.
    """
    fitted: dict[str, Forecaster] = {
        **naive_baselines(windows.horizon, period),
        "ridge": fit_ridge_baseline(windows, rows, max_lookback, scale),
        "ets": fit_smoothing_baseline(windows, rows, period=period, max_lookback=max_lookback, scale=scale),
    }
    if combination is not None:
        fitted["combination"] = combine(fitted, combination)
    return fitted
