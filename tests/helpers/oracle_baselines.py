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


def time_blocks(times: Array, length: int) -> list[Array]:
    """Return which windows lie in each block of time.

    Args:
        times: (n,) of the first target of each window, on one even grid of all series, whole numbers.
        length: steps of the grid that a block should last.
    """
    at = times - times.min()
    reach = int(at.max()) + 1
    wanted = min(8, reach // length) if reach >= 3 * length else 3 if reach >= length else 2
    edges = [-(-k * reach // min(wanted, reach)) for k in range(min(wanted, reach) + 1)]  # rounded up
    return [np.flatnonzero((at >= a) & (at < b)) for a, b in itertools.pairwise(edges)]


def interval(parts: list[tuple[float, Array]], count: Array, group: Array, blocks: list[Array]) -> tuple[float, float]:
    """Return factors (low, high) of a 95% interval of a product of powers of MSEs.

    Args:
        parts: the power, and the sums of squared errors (n,) of the windows, of each MSE; a skill has (1, own) and
            (-1, other). An MSE is the mean over groups of Σ error / Σ count.
        count: (n,) observed targets of each window.
        group: (n,) the column of each window.
        blocks: the windows of each block of time.
    """
    moves, weights = [], []
    for block in blocks:
        move, weight = 0.0, []
        for power, error in parts:
            ratios, moved, weight = [], [], []
            for g in np.unique(group):
                every, here = group == g, block[group[block] == g]
                mse = error[every].sum() / count[every].sum()
                weight.append(count[here].sum() / count[every].sum())
                ratios.append(mse)
                moved.append((error[here].sum() - mse * count[here].sum()) / count[every].sum())
            move += power * np.mean(moved) / np.mean(ratios)
        moves.append(move)
        weights.append(np.mean(weight))
    blocks_in_effect = 1 / np.sum(np.square(weights))
    sd = np.sqrt(np.sum(np.square(moves)) * blocks_in_effect / (blocks_in_effect - 1))
    reach = stats.t.ppf(0.975, blocks_in_effect - 1) * sd
    return float(np.exp(-reach)), float(np.exp(reach))


def share_interval(inside: Array, count: Array, group: Array, blocks: list[Array]) -> tuple[float, float]:
    """Return the 95% interval of a share: of targets (n,) within, out of `count` (n,), averaged over groups."""
    groups = [g for g in np.unique(group) if count[group == g].sum()]
    share = {g: inside[group == g].sum() / count[group == g].sum() for g in groups}
    moves, weights = [], []
    for block in blocks:
        of = {g: block[group[block] == g] for g in groups}
        total = {g: count[group == g].sum() for g in groups}
        moves.append(np.mean([(inside[of[g]].sum() - share[g] * count[of[g]].sum()) / total[g] for g in groups]))
        weights.append(np.mean([count[of[g]].sum() / total[g] for g in groups]))
    effective = 1 / np.sum(np.square(weights))
    reach = stats.t.ppf(0.975, effective - 1) * np.sqrt(np.sum(np.square(moves)) * effective / (effective - 1))
    middle = float(np.mean([*share.values()]))
    return max(0.0, middle - float(reach)), min(1.0, middle + float(reach))


def theil(forecast: Array, actual: Array, weight: Array) -> dict[str, float]:
    """Split the weighted MSE of observed values (k,) into bias², variance and the rest (Theil 1966)."""

    def mean(x: Array) -> float:
        return float(np.average(x, weights=weight))

    mse, bias = mean((forecast - actual) ** 2), mean(forecast - actual)
    sd_forecast, sd_actual = (np.sqrt(mean((x - mean(x)) ** 2)) for x in (forecast, actual))
    swing = float(sd_forecast - sd_actual)
    spread = float(sd_forecast / sd_actual) if sd_actual else np.nan
    parts = {"mse_scaled": mse, "bias2": bias**2, "variance": swing**2}
    return parts | {"rest": max(0.0, mse - bias**2 - swing**2), "bias": bias, "spread": spread}
