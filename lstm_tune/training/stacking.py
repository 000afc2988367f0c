"""Weights of a mean forecast by least squares on forecasts of rows that no member was fitted on.

Stacked regression (Wolpert 1992; Breiman 1996) with weights that are not negative and add up to 1. Few windows that do
not overlap say little about the best weights, so these are drawn towards weights that were fixed beforehand: the fewer
windows, the harder. The pull falls with their square: a few dozen tell hardly more than none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]

_PENALTY = 0.3  # in units of the least squared error, at `_WINDOWS` independent windows; see benchmarks/LOG.md
_WINDOWS = 40.0
_SUM = 1e4  # weight of the equation that the weights add up to 1


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
    values, vectors = np.linalg.eigh(products / scale)
    root = vectors * np.sqrt(values.clip(min=0.0))  # root @ root.T = products / scale
    k = len(prior)
    equations = np.vstack([root.T, np.sqrt(penalty) * np.eye(k), np.full((1, k), _SUM)])
    wanted = np.concatenate([np.zeros(k), np.sqrt(penalty) * prior, [_SUM]])
    weights, _ = nnls(equations, wanted)
    weights = np.asarray(weights / weights.sum(), dtype=np.float64)
    return weights
