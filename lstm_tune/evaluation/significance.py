"""How sure a score is: its interval, and whether two forecasts differ beyond chance.

Neighbouring windows share targets, so their errors depend on each other: every judgement is made on blocks of
consecutive windows. Letters: n windows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from lstm_tune.evaluation.score import Score

Floats = NDArray[np.float64]
_DRAWS = 1000
_LEVEL = 0.95
_FEWEST_BLOCKS = 4  # fewer can tell nothing


_BLOCKS = 5000  # of the bootstrap, at most


def bootstrap_interval(score: Score, block: int, seed: int) -> tuple[float, float]:
    """Return the 95% confidence interval of the scaled MSE, by circular moving-block bootstrap over the windows.

    Neighbouring windows share targets and their errors depend on each other, so whole blocks of consecutive windows
    are drawn (Künsch 1989; Politis and Romano 1992).

    Args:
        score: of the test windows, in the order of time.
        block: windows in a block; at least the horizon. Longer where there would be more than 5,000 blocks.
        seed: of the draws.
    """
    error, count = score.window_error, score.window_count
    n = len(error)
    # Longer blocks keep all dependence that shorter ones keep; of 5,000, more would only take more time.
    block = max(1, min(max(block, n // _BLOCKS), n // 2 or 1))
    rng = np.random.default_rng(seed)
    # Sums over every circular block, then a bootstrap sample is a sum of a few of those.
    error_sums = _circular_block_sums(error, block)
    alike = count.strides == (0,)  # no window has a hole
    count_sums = np.broadcast_to(block * count[0], n) if alike else _circular_block_sums(count, block)
    blocks = max(1, round(n / block))
    means = []
    for _ in range(_DRAWS):  # one by one: all starts at once would be thousands for each window
        starts = rng.integers(0, n, size=blocks)
        means.append(error_sums[starts].sum() / max(count_sums[starts].sum(), 1))
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _circular_block_sums(x: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    running = np.concatenate([[0.0], x, x[: block - 1]])
    np.cumsum(running, out=running)
    sums: NDArray[np.float64] = running[block:] - running[:-block]
    return sums


_MOST_BLOCKS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """An MSE over another one on the same windows, with its 95% interval; NaN where there are too few blocks."""

    ratio: float
    low: float
    high: float


def compare(own: Floats, other: Floats, block: int) -> Comparison:
    """Compare two forecasts by the errors (n,) that they make in the same windows.

    The interval is Student's, of the mean over blocks of `own - ratio * other` (the delta method for a ratio of means,
    on the logarithm of the ratio), a test in the manner of Diebold and Mariano (1995) with batch means in place of
    their kernel.

    Args:
        own: sum of squared errors of each window.
        other: of the other forecast.
        block: windows in a block, at least.
    """
    total = float(other.sum())
    ratio = float(own.sum()) / total if total > 0 else math.nan
    blocks = block_means(np.stack([own, other], axis=1), block)
    if len(blocks) < _FEWEST_BLOCKS or not ratio > 0:
        return Comparison(ratio=ratio, low=math.nan, high=math.nan)
    off = blocks[:, 0] - ratio * blocks[:, 1]
    spread = float(off.std(ddof=1)) / math.sqrt(len(blocks)) / float(blocks[:, 0].mean())
    reach = float(stdtrit(len(blocks) - 1, 0.975)) * spread
    return Comparison(ratio=ratio, low=ratio * math.exp(-reach), high=ratio * math.exp(min(reach, 700.0)))


def block_means(values: Floats, block: int) -> Floats:
    """Return the means (B, …) over blocks of `block` consecutive values (n, …), fewer and longer where n is large."""
    block = max(1, block, -(-len(values) // _MOST_BLOCKS))
    count = len(values) // block
    cut = values[: count * block].reshape(count, block, *values.shape[1:])
    means: Floats = cut.mean(axis=1)
    return means
