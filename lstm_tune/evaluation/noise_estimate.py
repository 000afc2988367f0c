"""An estimate of the noise: the error that no forecast from the past values can avoid.

The delta test (Pi and Peterson 1994): half the mean squared difference between what follows a window and what follows
the most similar window. Windows are compared by their last 1 to 16 values, as they are or minus the last one. Each of
these estimates is too high rather than too low, so the least is taken. The targets of two compared windows never
overlap.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.recorded_forecasts import Floats, scaled_targets
from lstm_tune.evaluation.score import TargetScale

_LEAST_WINDOWS = 100  # of a column
_EMBEDDINGS = (1, 2, 4, 8, 16)  # rows by which windows are compared


def noise_of_windows(windows: Windows, positions: Tensor, context: int, scale: TargetScale) -> float:
    """Estimate the scaled MSE that no forecast from the last values can be below; NaN if there are too few windows.

    Args:
        windows: of all series.
        positions: (n,) of the windows to use.
        context: rows before the first target that may be compared.
        scale: of the train rows.
    """
    longest = max([d for d in _EMBEDDINGS if d <= context], default=0)
    if not longest:
        return math.nan
    batches = list(windows.batches(positions, longest, 4096))
    target, seen = (
        np.concatenate([scaled_targets(b, scale, windows.data.n_series)[i] for b in batches]) for i in range(2)
    )
    group = np.concatenate([b.group.cpu().numpy() for b in batches])
    mean, sd = (x[group, None] for x in scale.groups(windows.data.n_series))
    history = (np.concatenate([b.history.double().cpu().numpy() for b in batches]) - mean) / sd
    channel, row = np.divmod(positions.cpu().numpy(), windows.rows)
    noises = []
    for c in np.unique(channel):
        here = (channel == c) & seen.all(1)
        if here.sum() >= _LEAST_WINDOWS:
            noises.append(noise_estimate(history[here], target[here], row[here]))
    return float(np.mean(noises)) if noises else math.nan


def noise_estimate(history: Floats, target: Floats, row: NDArray[np.int64]) -> float:
    """Return the noise in `target` (n, H) given `history` (n, X); the first targets are at `row` (n,)."""
    apart = np.abs(row[:, None] - row) >= target.shape[1]
    chance = np.random.default_rng(0).random(apart.shape)  # decides between equally similar windows
    last = history[:, -1:]
    least = math.inf
    for d in (d for d in _EMBEDDINGS if d <= history.shape[1]):
        seen = history[:, -d:]
        relative = [(seen - last, target - last)] if d > 1 else []  # the last value minus itself is 0
        for x, y in ((seen, target), *relative):
            squares = np.square(x).sum(1)
            distance = squares[:, None] + squares - 2 * x @ x.T + 1e-9 * squares.mean() * chance
            distance[~apart] = np.inf
            nearest = distance.argmin(1)
            found = np.isfinite(distance[np.arange(len(x)), nearest])
            if found.any():
                least = min(least, float(np.square(y - y[nearest])[found].mean()) / 2)
    return least if math.isfinite(least) else math.nan
