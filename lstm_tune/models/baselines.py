"""The forecasts that need no LSTM: persistence, seasonal naive, ridge. Scored by the same code as the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Windows, evenly
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.models.forecaster import seasonal_repeat
from lstm_tune.models.ridge import block_sizes, fit_ridge, moments

RIDGE_LOOKBACK = 336
_MAX_WINDOWS = 100_000


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
    """The last season again; `context` is the period in rows (1 where there is no season: persistence)."""

    horizon: int
    context: int

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        return seasonal_repeat(batch.history, self.context, self.horizon)


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
    """Fit the ridge baseline on `rows`; its strength is chosen by cross-validation within them.

    Args:
        windows: of the series.
        rows: to fit on.
        max_lookback: what the data allow; `RIDGE_LOOKBACK` where they allow more.
        sd: of each column, from the train rows.
    """
    context = min(RIDGE_LOOKBACK, max_lookback)
    positions = evenly(windows.positions(rows, context, reach_back=False), _MAX_WINDOWS)
    scale = torch.tensor(sd, dtype=torch.float32, device=windows.device)
    blocks = []
    for stretch in torch.split(positions, block_sizes(len(positions))):
        total = None
        for batch in windows.batches(stretch, context, 4096):
            keep = slice(None) if batch.observed is None else batch.observed.all(dim=1)
            last, divisor = batch.history[keep, -1:], scale[batch.channel[keep], None]
            part = moments((batch.history[keep] - last) / divisor, (batch.target[keep] - last) / divisor)
            total = part if total is None else total + part
        if total is not None:
            blocks.append(total)
    weight, bias = fit_ridge(blocks)
    return Ridge(context=context, scale=scale, weight=weight, bias=bias)


def fit_baselines(
    windows: Windows, rows: Ranges, *, period: int | None, max_lookback: int, sd: tuple[float, ...]
) -> dict[str, Forecaster]:
    """Return {name: forecaster}, fitted on `rows`: persistence, seasonal_naive, ridge."""
    horizon = windows.horizon
    return {
        "persistence": Persistence(horizon=horizon),
        "seasonal_naive": SeasonalNaive(horizon=horizon, context=period or 1),
        "ridge": fit_ridge_baseline(windows, rows, max_lookback, sd),
    }
