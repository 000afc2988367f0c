"""Weights of a mean forecast by least squares on forecasts of rows that no member was fitted on.

Stacked regression (Wolpert 1992; Breiman 1996) with weights that are not negative and add up to 1. Few windows that do
not overlap say little about the best weights, so these are drawn towards weights that were fixed beforehand: the fewer
windows, the harder. The pull falls with their square: a few dozen tell hardly more than none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PENALTY = 0.3  # in units of the least squared error, at `_WINDOWS` independent windows; see benchmarks/LOG.md
_WINDOWS = 40.0
_MOST_STEPS = 20  # per weight; a weight leaves 0 and returns to it once or twice
_TOLERANCE = 1e-12


def error_products(errors: Sequence[Floats], reference: Sequence[float]) -> Floats:
    """Return the mean products of the members' errors, (K, K), all blocks counting alike.

    Args:
        errors: for each block, the scaled errors (K, N) of K members at the same N targets.
        reference: for each block, the scaled MSE that counts as 1.
    """
    blocks = [e @ e.T / e.shape[1] / r for e, r in zip(errors, reference, strict=True)]
    products: Floats = np.mean(blocks, axis=0)
    return products


def stacked_weights(products: Floats, prior: Floats, independent: float) -> Floats:
    """Return the weights (K,) of least squared error of the mean, drawn towards `prior`.

    Minimizes w' P w + p |w - prior|² over w >= 0 with sum 1, where p = 0.3 · (40 / n)² · the least squared error of
    a member.

    Args:
        products: mean products of the members' errors, (K, K).
        prior: weights fixed beforehand, (K,), not negative, with sum 1.
        independent: n, windows of all blocks that do not overlap.
    """
    scale = float(products.diagonal().min())
    if not np.isfinite(products).all() or scale <= 0:
        return prior
    penalty = _PENALTY * (_WINDOWS / independent) ** 2
    return _least_on_simplex(products / scale + penalty * np.eye(len(prior)), penalty * prior, prior)


def _least_on_simplex(quadratic: Floats, linear: Floats, start: Floats) -> Floats:
    """Return the w (K,) of least w' Q w / 2 - l' w over w >= 0 with sum 1, by an active-set method.

    Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 16.3. It is here because importing the solvers of
    SciPy takes as long as to diagnose a short series.

    Args:
        quadratic: Q, positive definite, (K, K).
        linear: l, (K,).
        start: not negative, with sum 1, (K,).
    """
    w, free = start / start.sum(), start > 0
    for _ in range(_MOST_STEPS * len(w)):
        ones, wanted = np.linalg.solve(quadratic[np.ix_(free, free)], np.stack([np.ones(free.sum()), linear[free]]).T).T
        level = (1 - wanted.sum()) / ones.sum()
        target = np.zeros(len(w))
        target[free] = wanted + level * ones
        if (target >= 0).all():
            w = target
            gain = quadratic @ w - linear - level  # of a weight that leaves 0
            gain[free] = 0
            if gain.min() >= -_TOLERANCE * (1 + abs(level)):
                break
            free[gain.argmin()] = True
        else:  # as far as the first weight that reaches 0
            falling = target < 0
            steps = np.where(falling, w / np.where(falling, w - target, 1.0), np.inf)
            first = int(steps.argmin())
            w = np.maximum(w + steps[first] * (target - w), 0.0)
            w[first], free[first] = 0.0, False
    weights: Floats = w / w.sum()
    return weights
