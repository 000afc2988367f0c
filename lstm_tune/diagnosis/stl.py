"""The decomposition of a series into season, trend and rest by loess: STL (Cleveland et al. 1990), without robustness.

It is here because importing the one of statsmodels takes half a second, a sixth of what a whole `diagnose` may take.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_PASSES = 5  # of the inner loop, as in statsmodels


def stl(y: Floats, period: int, cycles: int) -> tuple[Floats, Floats]:
    """Return the season (n,) and the rest (n,) of y (n,); y minus both is the trend.

    Args:
        y: values, three periods at least.
        period: rows in a season.
        cycles: over which each place in the season is averaged; odd. The more, the less the season may change.
    """
    n = len(y)
    longest = -(-n // period)
    full = n - (longest - 1) * period  # places in the season that the last cycle holds
    groups = [(slice(0, full), longest), (slice(full, period), longest - 1)]
    means = [(places, k, *_weights(np.arange(-1, k + 1), k, cycles, 0)) for places, k in groups]
    trend, season = np.zeros(n), np.zeros(n)
    for _ in range(_PASSES):
        by_cycle = np.pad(y - trend, (0, longest * period - n)).reshape(longest, period)
        smooth = np.empty((longest + 2, period))  # with a cycle before the first and one after the last
        for places, k, rows, weights in means:
            smooth[: k + 2, places] = np.einsum("pq,pqk->pk", weights, by_cycle[:k, places][rows])
        long = smooth.reshape(-1)[: n + 2 * period]
        low = _loess(_moving_mean(_moving_mean(_moving_mean(long, period), period), 3), period + 1)
        season = long[period : period + n] - low
        trend = _loess(y - season, int(np.ceil(1.5 * period / (1 - 1.5 / cycles))))
    return season, y - season - trend


def _loess(y: Floats, width: int) -> Floats:
    """Return the local straight lines through the `width` rows (one more, if even) around each row of y (n,)."""
    width |= 1
    half = width // 2
    _, weights = _weights(np.arange(half + 1), len(y), width, 1)
    head, tail = weights[:half] @ y[:width], (weights[:half] @ y[: -width - 1 : -1])[::-1]
    return np.concatenate([head, np.correlate(y, weights[half], "valid"), tail])


def _weights(points: Integers, n: int, width: int, degree: int) -> tuple[Integers, Floats]:
    """Return which of n rows are the `width` nearest to each point, and their weights in a local regression there.

    Args:
        points: places of P points on the grid of the rows.
        n: rows.
        width: rows of the regression; if there are fewer, they weigh more alike.
        degree: 0 for a mean, 1 for a straight line.

    Returns:
        rows and weights, both (P, Q) for Q = min(width, n).
    """
    count = min(width, n)
    first = np.clip(points - width // 2, 0, n - count)[:, None]
    rows = first + np.arange(count)
    at = points[:, None]
    reach = np.maximum(np.maximum(at - first, first + count - 1 - at) + max(0, width - n) // 2, 1e-9)
    away = np.abs(rows - at) / reach
    weights = np.where(away <= 0.999, (1 - np.minimum(away, 1) ** 3) ** 3, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    if degree:
        mean = (weights * rows).sum(axis=1, keepdims=True)
        spread = (weights * (rows - mean) ** 2).sum(axis=1, keepdims=True)
        flat = spread <= (0.001 * (n - 1)) ** 2  # too narrow for a line, as in the original
        weights *= 1 + np.where(flat, 0.0, (at - mean) / np.where(flat, 1.0, spread)) * (rows - mean)
    return rows, weights


def _moving_mean(x: Floats, width: int) -> Floats:
    """Return the means (n - width + 1,) of x (n,) over `width` rows."""
    running = np.concatenate([[0.0], np.cumsum(x)])
    mean: Floats = (running[width:] - running[:-width]) / width
    return mean
