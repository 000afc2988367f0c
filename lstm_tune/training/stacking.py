"""Weights of a mean forecast by least squares on forecasts of rows that no member was fitted on.

Stacked regression (Wolpert 1992; Breiman 1996) with weights that are not negative and add up to 1. Few windows that do
not overlap say little about the best weights, so these are drawn towards weights that were fixed beforehand: the fewer
windows, the harder. The pull falls with their square: a few dozen tell hardly more than none. Where there are many, the
blocks themselves say how hard it should be: what changes from one stretch of time to the next is not learned from the
number of windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PENALTY = 0.3  # in units of the least squared error, at `_WINDOWS` independent windows; see benchmarks/LOG.md
_WINDOWS = 40.0
_PULLS = (100.0, 10.0, 1.0, 0.1)  # multiples of the penalty that are tried on blocks left out
_ENOUGH = 60.0  # independent windows at which that is done; on fewer it did harm
_CAUTIOUS = 10.0  # the multiple for fewer: a few windows err alike for reasons that do not return
_MOST_STEPS = 20  # per weight; a weight leaves 0 and returns to it once or twice
_TOLERANCE = 1e-12


def error_products(errors: Sequence[Floats], reference: Sequence[float]) -> list[Floats]:
    """Return, for each block, the mean products of the members' errors, (K, K); their mean counts all blocks alike.

    Args:
        errors: for each block, the scaled errors (K, N) of K members at the same N targets.
        reference: for each block, the scaled MSE that counts as 1.
    """
    return [e @ e.T / e.shape[1] / r for e, r in zip(errors, reference, strict=True)]


def stacked_weights(products: Floats, prior: Floats, independent: float, pull: float = 1.0) -> Floats:
    """Return the weights (K,) of least squared error of the mean, drawn towards `prior`.

    Minimizes w' P w + p |w - prior|² over w >= 0 with sum 1, where p = pull · 0.3 · (40 / n)² · the least squared
    error of a member.

    Args:
        products: mean products of the members' errors, (K, K).
        prior: weights fixed beforehand, (K,), not negative, with sum 1.
        independent: n, windows of all blocks that do not overlap.
        pull: multiple of the penalty; see `best_pull`.
    """
    scale = float(products.diagonal().min())
    if not np.isfinite(products).all() or scale <= 0:
        return prior
    penalty = pull * _PENALTY * (_WINDOWS / independent) ** 2
    return _least_on_simplex(products / scale + penalty * np.eye(len(prior)), penalty * prior, prior)


def best_pull(blocks: Sequence[Floats], prior: Floats, independent: float) -> float:
    """Return the pull whose weights, found without a block, err least on it, over all blocks.

    Args:
        blocks: for each block, the mean products of the members' errors, (K, K).
        prior: weights fixed beforehand, (K,).
        independent: windows of all blocks that do not overlap; below 60, or with one block, the pull is 10.
    """
    if independent < _ENOUGH or len(blocks) == 1:
        return _CAUTIOUS

    def error(pull: float) -> float:
        total = 0.0
        for out, block in enumerate(blocks):
            others = np.mean([other for i, other in enumerate(blocks) if i != out], axis=0)
            weights = stacked_weights(others, prior, independent, pull)
            total += float(weights @ block @ weights)
        return total

    return min(_PULLS, key=error)


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
