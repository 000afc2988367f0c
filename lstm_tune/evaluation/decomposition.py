"""The parts that a test MSE is made of. Letters: n windows, H horizon."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_tune.evaluation.recorded_forecasts import Floats, Forecasts
from lstm_tune.utils.text import rounded


def decompose(tested: Forecasts) -> dict[str, Any]:
    """Split the MSE into bias², variance and the rest, in all and for each step; after Theil (1966).

    With e the error, f the forecast, y the actual value and s their standard deviations over the test windows:
    MSE = (mean e)² + (s_f - s_y)² + 2 (1 - r) s_f s_y. The first part, `bias2`, is a forecast that is too high or too
    low throughout; the second, `variance`, one that swings too little or too much; the third, `rest`, is what is not in
    step: errors of timing, and noise. They add up to `mse_scaled`, columns taken alike. Of several series each counts
    alike, however many of the windows are its own: means and deviations are weighted.

    Returns:
        {"mse_scaled", "bias2", "variance", "rest", "bias" (mean error; positive: too high), "spread" (s_f / s_y),
        "per_step": {"mse_scaled", "bias2", "variance", "rest", each (H,)}, "windows", "of"}.
    """
    every = [
        (
            *forecast_and_actual(tested, channel),
            None if tested.series is None else tested.series[tested.channel == channel],
        )
        for channel in np.unique(tested.channel)
    ]
    whole = mean_of_finite(np.array([_theil(*one) for one in every])) if every else np.full(6, np.nan)
    steps = np.array(
        [[_theil(f[:, h : h + 1], y[:, h : h + 1], s) for h in range(tested.horizon)] for f, y, s in every]
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


def _theil(f: Floats, y: Floats, series: NDArray[np.int64] | None) -> Floats:
    """Return the six numbers of some windows, f and y (n, H); series: (n,) whose weights are to add up alike."""
    there = np.isfinite(f) & np.isfinite(y)
    if not there.any():
        return np.full(6, np.nan)
    weight = np.ones(int(there.sum()))
    if series is not None:
        _, own, count = np.unique(
            np.broadcast_to(series[:, None], f.shape)[there], return_inverse=True, return_counts=True
        )
        weight = 1 / count[own.reshape(-1)]
    weight /= weight.sum()
    f, y = f[there], y[there]
    mse, bias = float(weight @ (f - y) ** 2), float(weight @ (f - y))
    sd_f, sd_y = (float(np.sqrt(weight @ (x - weight @ x) ** 2)) for x in (f, y))
    spread = sd_f - sd_y
    parts = [mse, bias**2, spread**2, max(0.0, mse - bias**2 - spread**2), bias]
    return np.array([*parts, sd_f / sd_y if sd_y > 0 else np.nan])


def mean_of_finite(x: Floats) -> Floats:
    """Return the mean over the first axis without NaNs; NaN, and no warning, if there is nothing else."""
    there = np.isfinite(x)
    count = there.sum(0)
    mean: Floats = np.where(count > 0, np.where(there, x, 0.0).sum(0) / np.maximum(count, 1), np.nan)
    return mean
