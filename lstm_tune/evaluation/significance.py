"""How sure a score is: its interval, and whether two forecasts differ beyond chance.

Neighbouring windows share targets, and columns and series err together at the same time. So every judgement is made on
blocks of time: the errors of all columns and series in the same stretch of time are one observation.

The intervals are Student's, on the logarithm, by the delta method for ratios of sums. Blocks are few and long (the
method of batch means; Schmeiser 1982): each more would cost coverage. `benchmarks/quality/coverage.py` measures how
often the intervals hold; a percentile interval of a block bootstrap held less often.

Letters: n windows, B blocks of time, G groups (target columns times series), H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.evaluation.score import Score, TargetScale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEVEL = 0.95
_HORIZONS = 4  # in a block, so that little of it depends on the next one
_MOST_BLOCKS = 8
_FEWEST_BLOCKS = 3  # that tell whether two forecasts differ; an interval of one takes 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TimeBlocks:
    """The block of time and the group of each window."""

    block: Ints  # (n,)
    group: Ints  # (n,)
    count: int  # B
    groups: int  # G

    @classmethod
    def of(cls, windows: Windows, positions: Positions | Tensor, ranges: Ranges, period: int = 1) -> TimeBlocks:
        """Cut the time that scored windows cover into blocks of equal length, each four horizons long, or longer.

        Series are aligned by their time stamps; without stamps, by the number of rows since the scored ones began.

        Args:
            windows: of all series.
            positions: the scored windows (n,).
            ranges: the scored rows of each series.
            period: rows of a season; a block is as long, at least.
        """
        channel, row = np.divmod(positions[:].cpu().numpy(), windows.rows)
        series = np.searchsorted(windows.data.offsets, row, side="right") - 1
        at, rows = _places(windows, row, series, ranges)
        group = channel * windows.data.n_series + series
        return cls.cut(at, max(_HORIZONS * windows.horizon, period) * rows, group, windows.groups)

    @classmethod
    def cut(cls, at: Ints, length: int, group: Ints | None = None, groups: int = 1) -> TimeBlocks:
        """Cut places in time (n,), counted from 0, into at most 8 blocks of at least `length`.

        There are three blocks, shorter ones, if the places cover one length at least, and two if they do not.
        """
        reach = int(at.max(initial=0)) + 1
        count = min(reach, 2 if reach < length else max(3, min(_MOST_BLOCKS, reach // length)))
        group = np.zeros(len(at), dtype=np.int64) if group is None else group
        return cls(block=at * count // reach, group=group, count=count, groups=groups)

    @classmethod
    def join(cls, parts: Sequence[TimeBlocks]) -> TimeBlocks:
        """Return the blocks of the windows of several parts, each part's own, one after the other."""
        before = np.cumsum([0, *(part.count for part in parts)])
        blocks = [part.block + first for part, first in zip(parts, before, strict=False)]
        return cls(
            block=np.concatenate(blocks),
            group=np.concatenate([part.group for part in parts]),
            count=int(before[-1]),
            groups=parts[0].groups,
        )

    def pooled(self) -> TimeBlocks:
        """Return the same blocks with all windows in one group."""
        return replace(self, group=np.zeros_like(self.group), groups=1)

    def sums(self, values: Floats) -> Floats:
        """Add up the values of all windows (n,) by block and group: (B, G)."""
        cells = np.zeros(self.count * self.groups)
        cells += np.bincount(self.block * self.groups + self.group, values, minlength=len(cells))
        return cells.reshape(self.count, self.groups)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """An MSE over another one on the same windows, with its 95% interval; NaN if there are too few blocks."""

    ratio: float
    low: float
    high: float


def interval(score: Score, blocks: TimeBlocks, scale: TargetScale | None = None) -> tuple[float, float]:
    """Return the 95% confidence interval of the scaled MSE; NaN if all windows lie in one block.

    The estimate in its middle, on a logarithmic scale, is the mean over the groups of their MSE.

    Args:
        score: with the error of each window.
        blocks: of these windows.
        scale: if given, the interval of one target is that of the MSE of all series together, over its variance.
    """
    error = score.window_error
    if scale is not None and scale.own_sd and len(scale.sd) == 1:
        error = error * np.square(np.array(scale.own_sd)[blocks.group] / scale.sd[0])
        blocks = blocks.pooled()
    mse, deviation, shares = _deviations(blocks.sums(error), blocks.sums(score.window_count))
    if not mse:
        return 0.0, 0.0
    reach = _reach(deviation / mse, shares)
    return mse * math.exp(-reach), mse * math.exp(reach)


def share_interval(inside: Floats, count: Floats, blocks: TimeBlocks) -> tuple[float, float]:
    """Return the 95% confidence interval of a share, within 0 and 1; NaN if all windows lie in one block.

    Args:
        inside: targets of each window (n,) that count.
        count: observed targets in each window.
        blocks: of these windows.
    """
    share, deviation, shares = _deviations(blocks.sums(inside), blocks.sums(count))
    reach = _reach(deviation, shares)
    return max(0.0, share - reach), min(1.0, share + reach)


def compare(own: Floats, other: Floats, count: Floats, blocks: TimeBlocks) -> Comparison:
    """Compare the MSE of two forecasts on the same windows.

    Args:
        own: sum of squared errors of each window (n,).
        other: of the other forecast.
        count: observed targets in each window.
        blocks: of these windows.
    """
    counts = blocks.sums(count)
    mse, deviation, shares = _deviations(blocks.sums(own), counts)
    against, other_deviation, _ = _deviations(blocks.sums(other), counts)
    ratio = mse / against if against > 0 else math.nan
    if blocks.count < _FEWEST_BLOCKS or not 0 < ratio < math.inf:
        return Comparison(ratio=ratio, low=math.nan, high=math.nan)
    reach = _reach(deviation / mse - other_deviation / against, shares)
    return Comparison(ratio=ratio, low=ratio * math.exp(-reach), high=ratio * math.exp(reach))


def relative_change(new: Floats, old: Floats, count: Floats, blocks: TimeBlocks) -> tuple[float, float, int]:
    """Return by what share an MSE grows, the standard error of that, and the blocks with windows behind it.

    Args:
        new: sum of squared errors of each window (n,).
        old: what it was.
        count: observed targets in each window.
        blocks: of these windows.
    """
    counts = blocks.sums(count)
    mse, deviation, _ = _deviations(blocks.sums(new), counts)
    before, old_deviation, _ = _deviations(blocks.sums(old), counts)
    n = int((counts.sum(1) > 0).sum())
    if not before > 0:
        return math.nan, math.nan, n
    of_ratio = (deviation - old_deviation * mse / before) / before
    variance = float(np.square(of_ratio).sum()) * n / max(n - 1, 1)
    return mse / before - 1, math.sqrt(variance), n


def _deviations(error: Floats, count: Floats) -> tuple[float, Floats, Floats]:
    """Return the mean over the groups of Σ error / Σ count, and of each block (B,) what it adds to its error.

    Args:
        error: sums (B, G) of squared errors.
        count: the targets (B, G) behind them; groups without any are left out.

    Returns:
        The mean; how much each block moves it, to first order; the share of the weight that lies in each block.
    """
    total = count.sum(0)
    scored = total > 0
    error, count, total = error[:, scored], count[:, scored], total[scored]
    mse = error.sum(0) / total
    if not np.isfinite(mse).all():
        return math.inf, np.full(len(error), math.nan), (count / total).mean(1)
    return float(mse.mean()), ((error - mse * count) / total).mean(1), (count / total).mean(1)


def _reach(deviation: Floats, shares: Floats) -> float:
    """Return half the width of a 95% interval from the independent deviations (B,) that add up to the error."""
    effective = 1 / float(np.square(shares).sum())  # blocks; fewer than B if some hold little
    if effective < 1.5:
        return math.nan
    variance = float(np.square(deviation).sum()) * effective / (effective - 1)
    return float(stdtrit(effective - 1, (1 + _LEVEL) / 2)) * math.sqrt(variance)


def _places(windows: Windows, row: Ints, series: Ints, ranges: Ranges) -> tuple[Ints, int]:
    """Return the place in time (n,) of windows, and how many places lie between neighbouring rows of a series."""
    data = windows.data
    if data.n_series == 1 or (data.times.dtype.kind != "M" and data.step is None):
        return row - np.array([first for first, _ in ranges])[series], 1
    at: Ints = np.unique(np.asarray(data.times[row]), return_inverse=True)[1]
    steps = np.diff(at)[(np.diff(row) == 1) & (np.diff(series) == 0)]  # of neighbours, within one channel
    return at, max(1, round(float(np.median(steps)))) if len(steps) else 1


_MOST_MEANS = 200


def block_means(values: Floats, block: int) -> Floats:
    """Return the means (B, …) over blocks of `block` consecutive values (n, …), fewer and longer where n is large."""
    block = max(1, block, -(-len(values) // _MOST_MEANS))
    count = len(values) // block
    cut = values[: count * block].reshape(count, block, *values.shape[1:])
    means: Floats = cut.mean(axis=1)
    return means
