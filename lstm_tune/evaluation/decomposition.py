"""The parts that a test MSE is made of. Letters: n windows, H horizon."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstm_tune.evaluation.recorded_forecasts import Floats, Forecasts
from lstm_tune.utils.text import rounded


def decompose(tested: Forecasts) -> dict[str, Any]:
    """Split the MSE into bias², variance and the rest, in all and for each step; after Theil (1966).

    With e the error, f the forecast, y the actual value and s their standard deviations over the test windows:
    MSE = (mean e)² + (s_f - s_y)² + 2 (1 - r) s_f s_y. The first part, `bias2`, is a forecast that is too high or too
    low throughout; the second, `variance`, one that swings too little or too much; the third, `rest`, is what is not in
    step: errors of timing, and noise. They add up to `mse_scaled`, columns taken alike.

    Returns:
        {"mse_scaled", "bias2", "variance", "rest", "bias" (mean error; positive: too high), "spread" (s_f / s_y),
        "per_step": {"mse_scaled", "bias2", "variance", "rest", each (H,)}, "windows", "of"}.
    """
    every = [forecast_and_actual(tested, channel) for channel in np.unique(tested.channel)]
    whole = mean_of_finite(np.array([_theil(f, y) for f, y in every])) if every else np.full(6, np.nan)
    steps = np.array(
        [[_theil(f[:, h], y[:, h]) if len(f) else np.full(6, np.nan) for h in range(tested.horizon)] for f, y in every]
    )
    per_step = mean_of_finite(steps) if len(steps) else np.full((tested.horizon, 6), np.nan)
    names = "mse_scaled", "bias2", "variance", "rest", "bias", "spread"
    return {
        **{name: rounded(float(value), 6) for name, value in zip(names, whole, strict=True)},
        "per_step": {name: [rounded(float(v), 6) for v in per_step[:, i]] for i, name in enumerate(names[:4])},
        "windows": len(tested.row),
        "of": tested.of or len(tested.row),
    }


def forecast_and_actual(tested: Forecasts, channel: int) -> tuple[Floats, Floats]:
    """Return forecast and actual (n, H) of a channel, NaN where the target was not observed."""
    here = tested.channel == channel
    seen = tested.observed[here]
    return np.where(seen, tested.forecast[here], np.nan), np.where(seen, tested.actual[here], np.nan)


def _theil(f: Floats, y: Floats) -> Floats:
    there = np.isfinite(f) & np.isfinite(y)
    f, y = f[there], y[there]
    if not len(f):
        return np.full(6, np.nan)
    mse, bias = float(np.mean((f - y) ** 2)), float(np.mean(f - y))
    spread = float(f.std() - y.std())
    parts = [mse, bias**2, spread**2, max(0.0, mse - bias**2 - spread**2), bias]
    return np.array([*parts, f.std() / y.std() if y.std() > 0 else np.nan])


def mean_of_finite(x: Floats) -> Floats:
    """Return the mean over the first axis without NaNs; NaN, and no warning, where there is nothing else."""
    there = np.isfinite(x)
    count = there.sum(0)
    mean: Floats = np.where(count > 0, np.where(there, x, 0.0).sum(0) / np.maximum(count, 1), np.nan)
    return mean
