"""The simple forecasts and the intervals in NumPy, from their descriptions and from no code of the package.

Letters: n windows, L rows looked back on, H horizon.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy import stats

Array = np.ndarray[Any, Any]

_STRENGTHS = [10.0**k for k in range(-5, 3)]  # times the mean eigenvalue
_LONGEST = 336  # rows that the ridge baseline looks back on


def ridge_lookback(shortest: int, horizon: int, period: int | None) -> int:
    """Return the rows that the ridge baseline looks back on, given the shortest stretch that a fold fits on."""
    season = period if period and shortest >= 3 * period + horizon else 1
    return min(_LONGEST, max(1, (shortest - horizon - season) // 2))


def fit_ridge(x: Array, y: Array, usable: Array) -> tuple[Array, Array]:
    """Fit a ridge regression with intercept; lookback and strength by leaving out each of five stretches.

    Args:
        x: (n, L) in the order of time.
        y: (n, H).
        usable: (n,) whether all targets of the window were observed; the stretches count all windows.

    Returns:
        weight (H, L), zero on rows beyond the chosen lookback, and bias (H,).
    """
    n, length = x.shape
    count = max(1, min(5, n // 4))
    borders = np.cumsum([0, *(n // count + (i < n % count) for i in range(count))])
    blocks = [np.arange(a, b)[usable[a:b]] for a, b in itertools.pairwise(borders)]
    blocks = [block for block in blocks if len(block)]
    if not blocks:
        return np.zeros((y.shape[1], length)), np.zeros(y.shape[1])
    lengths = [length]
    while len(blocks) > 1 and lengths[-1] // 2 >= 3:
        lengths.append(lengths[-1] // 2)
    tried = []
    for k in lengths:
        errors = np.zeros(len(_STRENGTHS))
        for left_out in blocks if len(blocks) > 1 else ():
            rest = np.concatenate([block for block in blocks if block is not left_out])
            for i, strength in enumerate(_STRENGTHS):
                weight, bias = _solve(x[rest, length - k :], y[rest], strength)
                errors[i] += ((y[left_out] - x[left_out, length - k :] @ weight - bias) ** 2).sum()
        tried.append((errors.min(), k, _STRENGTHS[int(errors.argmin())]))
    least = min(error for error, _, _ in tried)
    _, k, strength = next(t for t in tried if t[0] <= 1.03 * least)
    every = np.concatenate(blocks)
    weight, bias = _solve(x[every, length - k :], y[every], strength)
    return np.concatenate([np.zeros((y.shape[1], length - k)), weight.T], axis=1), bias


def _solve(x: Array, y: Array, strength: float) -> tuple[Array, Array]:
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred
    unit = float(np.trace(gram)) / len(gram) or 1.0
    weight = np.linalg.solve(gram + strength * unit * np.eye(len(gram)), centred.T @ (y - y.mean(axis=0)))
    return weight, y.mean(axis=0) - x.mean(axis=0) @ weight


def seasonal(history: Array, period: int, horizon: int) -> Array:
    """Repeat the last season of (B, X) histories over the horizon: (B, H)."""
    return np.stack([history[:, history.shape[1] - period + h % period] for h in range(horizon)], axis=1)


def bootstrap_interval(error: Array, count: Array, block: int) -> tuple[float, float]:
    """Return a 95% interval of Σ error / Σ count, from blocks of consecutive windows drawn with replacement.

    Random numbers of its own: compare widths and ends within a tenth or so.
    """
    n = len(error)
    block = max(1, min(block, n // 2 or 1))
    rng = np.random.default_rng(12345)
    ratios = []
    for _ in range(4000):
        starts = rng.integers(0, n, size=max(1, round(n / block)))
        rows = (starts[:, None] + np.arange(block)) % n
        ratios.append(error[rows].sum() / max(count[rows].sum(), 1))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def skill_interval(own: Array, other: Array, horizon: int) -> tuple[float, float] | None:
    """Return the 95% interval of 1 - Σ own / Σ other over blocks of windows; None if there are too few of them."""
    size = max(2 * horizon, 4, -(-len(own) // 200))
    blocks = len(own) // size
    ratio = own.sum() / other.sum()
    if blocks < 4 or not ratio > 0:
        return None
    means = [x[: blocks * size].reshape(blocks, size).mean(axis=1) for x in (own, other)]
    off = means[0] - ratio * means[1]
    reach = stats.t.ppf(0.975, blocks - 1) * off.std(ddof=1) / np.sqrt(blocks) / means[0].mean()
    return float(1 - ratio * np.exp(reach)), float(1 - ratio * np.exp(-reach))


def theil(forecast: Array, actual: Array) -> dict[str, float]:
    """Split the MSE of observed values (k,) into bias², variance and the rest (Theil 1966)."""
    mse, bias = float(np.mean((forecast - actual) ** 2)), float(np.mean(forecast - actual))
    swing = float(forecast.std() - actual.std())
    spread = float(forecast.std() / actual.std()) if actual.std() else np.nan
    parts = {"mse_scaled": mse, "bias2": bias**2, "variance": swing**2}
    return parts | {"rest": max(0.0, mse - bias**2 - swing**2), "bias": bias, "spread": spread}
