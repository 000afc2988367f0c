"""Errors at a fixed sample of targets: few enough to be kept with every trial, enough to weigh forecasts by."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import Forecaster, TargetScale, forecast_all

Floats = NDArray[np.float64]

SAMPLED_WINDOWS = 96  # of a block, about
_STEPS = 6  # of the horizon


def each_window_alike(errors: Floats, horizon: int) -> Floats:
    """Divide the errors (K, n · k) of K forecasts by their root mean square in each window, so that no window decides.

    Among many series a few err a hundred times as much as the others, and weights that suit these suit no other series.
    """
    steps = min(horizon, _STEPS)
    windows = errors.reshape(len(errors), -1, steps)
    size = np.sqrt(np.square(windows).mean(axis=(0, 2), keepdims=True))
    scaled: Floats = (windows / np.where(size > 0, size, 1.0)).reshape(errors.shape)
    return scaled


def sampled_errors(forecaster: Forecaster, windows: Windows, positions: Tensor, scale: TargetScale) -> Floats:
    """Return scaled errors (n · k,) at k evenly spaced steps of the windows at `positions` (n,).

    The error is 0 where the target was not observed: it counts for no forecast.
    """
    steps = torch.linspace(0, windows.horizon - 1, min(windows.horizon, _STEPS)).round().long()
    forecast = forecast_all(forecaster, windows, positions)[:, steps]
    batches = list(windows.batches(positions, 1, 4096))
    target = torch.cat([batch.target.cpu() for batch in batches])[:, steps]
    seen = windows.observed(positions).cpu()[:, steps]
    sd = torch.tensor(scale.groups(windows.data.n_series)[1])[torch.cat([batch.group.cpu() for batch in batches]), None]
    errors = torch.where(seen, (forecast.double() - target.double()) / sd, 0.0)
    return np.asarray(errors.reshape(-1).numpy(), dtype=np.float64)
