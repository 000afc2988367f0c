"""The forecasts that need no LSTM, scored by the same code as the model.

A baseline is one entry here (in `naive_baselines` if nothing is fitted, else in `fit_baselines`) and one label in
`evaluation.baseline_labels`; a test compares both. Letters: B windows in a batch, X context, H horizon, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Windows, evenly
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.models.preprocessing import seasonal_repeat
from lstm_tune.models.ridge import MAX_WINDOWS, fit_ridge, stretch_moments

RIDGE_LOOKBACK = 336


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
    mean: tuple[float, ...]  # (C,)
    context: int = 1

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        mean = torch.tensor(self.mean, dtype=batch.history.dtype, device=batch.history.device)
        return mean[batch.channel, None].expand(-1, self.horizon)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ridge:
    """A linear map of the window minus its last value, to the targets minus that value; shared by all columns."""

    context: int
    scale: Tensor  # (C,) by which each column is divided, so that all weigh alike
    weight: Tensor  # (H, X)
    bias: Tensor  # (H,)

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        last = batch.history[:, -1:]
        scale = self.scale[batch.channel, None]
        change = torch.nn.functional.linear((batch.history - last) / scale, self.weight, self.bias)
        return last + change * scale


def fit_ridge_baseline(windows: Windows, rows: Ranges, max_lookback: int, sd: tuple[float, ...]) -> Ridge:
    """Fit the ridge baseline on `rows`; its lookback and strength are chosen by cross-validation within them.

    Args:
        windows: of the series.
        rows: to fit on.
        max_lookback: what the data allow; at most `RIDGE_LOOKBACK` is used.
        sd: of each column (C,), from the train rows.
    """
    context = min(RIDGE_LOOKBACK, max_lookback)
    scale = torch.tensor(sd, dtype=torch.float32, device=windows.device)

    def changes(batch: Batch) -> tuple[Tensor, Tensor]:
        last, divisor = batch.history[:, -1:], scale[batch.channel, None]
        return (batch.history - last) / divisor, (batch.target - last) / divisor

    positions = evenly(windows.positions(rows, context, reach_back=False), MAX_WINDOWS)
    fitted = fit_ridge(stretch_moments(windows, positions, context, changes))
    if fitted is None:  # nothing to fit on: the last value
        fitted = torch.zeros(windows.horizon, context), torch.zeros(windows.horizon)
    weight, bias = fitted
    return Ridge(context=context, scale=scale, weight=weight, bias=bias)


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
    windows: Windows, rows: Ranges, *, period: int | None, max_lookback: int, sd: tuple[float, ...]
) -> dict[str, Forecaster]:
    """Return {name: forecaster} of all baselines, fitted on `rows`."""
    return {
        **naive_baselines(windows.horizon, period),
        "ridge": fit_ridge_baseline(windows, rows, max_lookback, sd),
    }
