"""Simulated series whose best forecast is simple, or of which nothing can be learned: four draws of seven kinds."""

from __future__ import annotations

import numpy as np
import pandas as pd

ROWS = 1_200
DRAWS = 4
HORIZONS = {"walk": 1, "noise": 1, "garch": 1, "breaks": 1, "ar": 12, "arima": 12, "season": 24}
_BEFORE = 200  # rows that are left out at the beginning


def simulate(kind: str, draw: int) -> pd.Series[float]:
    """Return one draw of a kind: a random walk, white noise, GARCH(1, 1), level breaks, AR(1), ARIMA or a season."""
    random = np.random.default_rng([list(HORIZONS).index(kind), draw])
    noise = random.normal(size=ROWS + _BEFORE)
    values = {
        "walk": np.cumsum,
        "noise": np.copy,
        "garch": _garch,
        "breaks": lambda e: e + np.repeat(random.normal(scale=3, size=14), 100),
        "ar": lambda e: _autoregression(e, 0.9),
        "arima": lambda e: np.cumsum(_autoregression(e, 0.5)),
        "season": lambda e: _autoregression(e, 0.6) + 3 * np.sin(np.arange(len(e)) * 2 * np.pi / 24),
    }[kind](noise)
    return pd.Series(values[_BEFORE:])


def _autoregression(noise: np.ndarray, memory: float) -> np.ndarray:
    values = noise.copy()
    for t in range(1, len(values)):
        values[t] += memory * values[t - 1]
    return values


def _garch(noise: np.ndarray) -> np.ndarray:
    """Return noise whose variance is .05 + .1 of the last square + .85 of the last variance."""
    values, variance = noise.copy(), 1.0
    for t in range(1, len(values)):
        variance = 0.05 + 0.1 * values[t - 1] ** 2 + 0.85 * variance
        values[t] *= np.sqrt(variance)
    return values
