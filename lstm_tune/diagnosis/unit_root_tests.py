"""Two tests of whether a level returns to its mean: that of Dickey and Fuller, and KPSS.

They are here because importing those of statsmodels takes half a second, a sixth of what a whole `diagnose` may take.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# MacKinnon (1994; tables of 2010), one series, a constant: the p value is the normal distribution of a polynomial.
_LOWEST, _KNEE, _HIGHEST = -18.83, -1.61, 2.74
_BELOW = (2.1659, 1.4412, 0.038269)  # up to the knee
_ABOVE = (1.7339, 0.93202, -0.12745, -0.010368)
# Kwiatkowski et al. (1992), table 1, around a constant.
_KPSS_STATISTICS, _KPSS_P = (0.347, 0.463, 0.574, 0.739), (0.1, 0.05, 0.025, 0.01)


def adf(y: Floats, most: int) -> float:
    """Return the p value of the augmented Dickey-Fuller test with a constant; small: y (n,) returns to its mean.

    Args:
        y: values, at least `2 * most + 4` of them.
        most: lags of the changes; of 0 to so many lags those with the least AIC are taken, all on the same rows.
    """
    changes = np.diff(y)

    def regression(lags: int, skipped: int) -> tuple[Floats, Floats]:
        n = len(changes) - skipped
        past = [changes[skipped - k : skipped - k + n] for k in range(1, lags + 1)]
        return np.column_stack([y[skipped:-1], np.ones(n), *past]), changes[skipped:]

    # One QR decomposition serves all numbers of lags: its first columns are those of the shorter regressions.
    x, target = regression(most, most)
    q = np.linalg.qr(x)[0]
    explained = np.cumsum((q.T @ target) ** 2)[1:]
    left = np.maximum(float(target @ target) - explained, np.finfo(np.float64).tiny)
    lags = int(np.argmin(len(target) * np.log(left) + 2 * np.arange(most + 1)))
    x, target = regression(lags, lags)
    inverse = np.linalg.pinv(x.T @ x)
    weights = inverse @ (x.T @ target)
    variance = float(np.sum((target - x @ weights) ** 2)) / (len(target) - x.shape[1])
    deviation = math.sqrt(variance * float(inverse[0, 0]))
    return _p_of(float(weights[0]) / deviation) if deviation > 0 else 0.0


def kpss(y: Floats) -> float:
    """Return the p value, from .01 to .1, of the KPSS test around a constant; small: y (n,) does not return.

    The number of lags is that of Hobijn, Franses and Ooms (2004).
    """
    rest, n = y - y.mean(), len(y)
    products = [float(rest[k:] @ rest[: n - k]) for k in range(int(n ** (2 / 9)) + 1)]
    sums = products[0] + 2 * sum(products[1:])
    slope = 2 * sum(k * p for k, p in enumerate(products)) / sums if sums else 0.0
    lags = min(int(1.1447 * (slope**2) ** (1 / 3) * n ** (1 / 3)), n - 1)
    variance = products[0] + 2 * sum(float(rest[k:] @ rest[: n - k]) * (1 - k / (lags + 1)) for k in range(1, lags + 1))
    statistic = float(np.sum(np.cumsum(rest) ** 2)) / n / variance if variance else math.inf
    return float(np.interp(statistic, _KPSS_STATISTICS, _KPSS_P))


def _p_of(statistic: float) -> float:
    if not _LOWEST <= statistic <= _HIGHEST:
        return float(statistic > _HIGHEST)
    value = np.polynomial.polynomial.polyval(statistic, _BELOW if statistic <= _KNEE else _ABOVE)
    return 0.5 * math.erfc(-float(value) / math.sqrt(2))
