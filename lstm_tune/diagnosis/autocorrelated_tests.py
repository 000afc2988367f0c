"""Two-sample tests for stretches of a series, whose rows depend on each other.

Neighbouring rows are similar, so 1,000 rows of a slow series are worth only a few dozen independent ones. Each test
takes the variance of a mean from the spectral density at frequency zero of an autoregression fitted to the rows (Berk
1974; Andrews and Monahan 1992), with its sum of coefficients corrected for the bias of short series (Kendall 1954).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import smirnov, stdtr

Floats = NDArray[np.float64]

_NEWEST = 20_000  # rows that an autoregression is fitted to, at most
_MAX_ORDER = 60
_LARGEST_SUM = 0.995  # of an autoregression's coefficients
_FEWEST = 8  # rows for a comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How different two stretches are, and how often two stretches of a stationary series are that different."""

    effect: float  # standard deviations between means, ratio of variances, or the largest gap of two distributions
    p: float


def long_run_ratio(x: Floats, means: int = 1, season: int = 0) -> float:
    """Return how many rows of x (n,) are worth one independent row: n var(mean) / var.

    Args:
        x: rows of mean 0.
        means: number of means that were subtracted from x; each removes some of the slow movements.
        season: a period, in rows, that the order of the autoregression must reach.
    """
    x = x[-_NEWEST:]
    n = len(x)
    power = float(x @ x) / n if n else 0.0
    if n < _FEWEST or power <= 0:
        return 1.0
    most = min(max(int(10 * math.log10(n)), season + 2 if season <= _MAX_ORDER else 0), n // 5, _MAX_ORDER)
    coefficients, noise = _autoregression(x, most)
    total = float(coefficients.sum())
    total = min(total + means * (1 + 3 * max(total, 0.0)) / n, _LARGEST_SUM)
    ratio = noise / power / (1 - total) ** 2
    return min(max(ratio, 1.0), n / 2)


def compare_means(a: Floats, b: Floats, season: int = 0) -> Difference:
    """Compare the means of the stretches a (n,) and b (m,) of a series; the effect is in standard deviations of a."""
    spread = float(np.std(a))
    gap = float(b.mean() - a.mean())
    if min(len(a), len(b)) < _FEWEST or spread == 0:
        return Difference(effect=gap / spread if spread else 0.0, p=1.0)
    both = np.concatenate([a[-_NEWEST:] - a.mean(), b[-_NEWEST:] - b.mean()])
    ratio = long_run_ratio(both, means=2, season=season)
    variance = ratio * float(both @ both) / len(both) * (1 / len(a) + 1 / len(b))
    return Difference(effect=gap / spread, p=_two_sided(gap / math.sqrt(variance), len(both) / ratio))


def compare_variances(a: Floats, b: Floats, season: int = 0) -> Difference:
    """Compare the variances of the stretches a (n,) and b (m,); the effect is that of b over that of a."""
    first, second = float(np.var(a)), float(np.var(b))
    if min(len(a), len(b)) < _FEWEST or first == 0:
        return Difference(effect=1.0, p=1.0)
    if second == 0:
        return Difference(effect=0.0, p=0.0)
    squares = [(x[-_NEWEST:] - x.mean()) ** 2 / v - 1 for x, v in ((a, first), (b, second))]
    both = np.concatenate(squares)
    # In few rows the dependence of the squares can hide, while that of the rows shows (for Gaussian rows it is larger).
    ratio = long_run_ratio(both, means=2, season=season)
    power = max(float(both @ both) / len(both), 2.0)
    rows = np.concatenate([a[-_NEWEST:] - a.mean(), b[-_NEWEST:] - b.mean()])
    ratio = max(ratio, math.sqrt(long_run_ratio(rows, means=2, season=season)))
    # The variance of the shorter stretch is too small, because its mean removes a part of it.
    error = math.sqrt(ratio * power * (1 / len(a) + 1 / len(b)))
    return Difference(
        effect=second / first, p=_two_sided(math.log(second / first) / error, min(len(a), len(b)) / ratio * 2)
    )


def compare_distributions(a: Floats, b: Floats, season: int = 0) -> Difference:
    """Compare the distributions of a (n,) and b (m,) by Kolmogorov and Smirnov's distance."""
    if min(len(a), len(b)) < _FEWEST:
        return Difference(effect=0.0, p=1.0)
    every = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(x), every, side="right") / len(x) for x in (a, b)]
    gap = float(np.abs(shares[0] - shares[1]).max())
    both = np.concatenate([a[-_NEWEST:] - a.mean(), b[-_NEWEST:] - b.mean()])
    rows = len(a) * len(b) / (len(a) + len(b)) / long_run_ratio(both, means=2, season=season)
    # Twice the one-sided p value: below .05 it is the two-sided one to six digits.
    return Difference(effect=gap, p=float(min(1.0, 2 * smirnov(max(2, round(rows)), gap))))


def trend(y: Floats) -> tuple[float, float, float]:
    """Return the slope per row, the share of the variance that a straight line explains, and its p value."""
    n = len(y)
    t = np.arange(n) - (n - 1) / 2
    squares = float(t @ t)
    total = float(np.var(y)) * n
    if n < _FEWEST or total == 0:
        return 0.0, 0.0, 1.0
    slope = float(t @ y) / squares
    rest = y - y.mean() - slope * t
    left = float(rest @ rest)
    if left <= 1e-12 * total:
        return slope, 1.0, 0.0
    ratio = long_run_ratio(rest, means=2)
    error = math.sqrt(ratio * left / n / squares)
    return slope, 1 - left / total, _two_sided(slope / error, n / ratio)


def _two_sided(z: float, rows: float) -> float:
    return float(2 * stdtr(max(3.0, rows - 2), -abs(z)))


def _autoregression(x: Floats, most: int) -> tuple[Floats, float]:
    """Fit autoregressions up to order `most` to x (n,) as Burg (1975) does; return the best by AIC, and its noise."""
    n = len(x)
    forward, backward = x[1:].copy(), x[:-1].copy()
    noise = float(x @ x) / n
    coefficients = np.zeros(0)
    best = (n * math.log(noise), coefficients, noise)
    for order in range(1, most + 1):
        power = float(forward @ forward + backward @ backward)
        if power <= 0:
            break
        reflection = 2 * float(forward @ backward) / power
        coefficients = np.append(coefficients - reflection * coefficients[::-1], reflection)
        noise *= 1 - reflection**2
        if noise <= 0:
            break
        criterion = n * math.log(noise) + 2 * order
        if criterion < best[0]:
            best = (criterion, coefficients, noise)
        forward, backward = (forward - reflection * backward)[1:], (backward - reflection * forward)[:-1]
    return best[1], best[2]
