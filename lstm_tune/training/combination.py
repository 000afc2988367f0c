"""The weighted mean of all forecasts that need no network: what an LSTM has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lstm_tune.evaluation.error_sample import Floats
from lstm_tune.training.stacking import error_products, stacked_weights

_LEAST = 1e-12  # squared error, in units of the least one's reference: no forecast is better than that


def combination_weights(
    errors: Sequence[Mapping[str, Floats]], reference: Sequence[float], independent: float
) -> dict[str, float]:
    """Return {name: weight} of the forecasts: least squares on the blocks, drawn to inverse squared errors.

    Args:
        errors: for each block, the scaled errors (n,) of each forecast at the same targets.
        reference: for each block, the scaled MSE that counts as 1.
        independent: windows of all blocks that do not overlap.
    """
    names = list(errors[0])
    blocks = error_products([np.stack([block[name] for name in names]) for block in errors], reference)
    products = np.mean(blocks, axis=0)
    prior = 1 / products.diagonal().clip(min=_LEAST) ** 2
    weights = stacked_weights(products, prior / prior.sum(), independent)
    return dict(zip(names, weights.tolist(), strict=True))
