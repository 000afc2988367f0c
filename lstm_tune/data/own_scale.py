"""The centre and the spread of each series, so that among many series of different sizes each counts alike.

No constant here is compared with a value of the data: multiplying one series by c multiplies its own centre and spread
by c, and changes no other series. Letters: C target columns, S series, N rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges

Floats = NDArray[np.float64]

LEAST_VALUES = 8  # observed values that tell the spread of a series
_FLAT = 1e-8  # spread over size, below which values are constant
_LEAST_SHARE = 0.01  # of the usual spread, in units of the size, that a series is taken to have at least


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeriesStatistics:
    """Of the observed values of each column and series in some rows, each (C, S); NaN if there are none."""

    count: Floats
    mean: Floats
    sd: Floats
    low: Floats  # inf if there are none
    high: Floats  # -inf

    @classmethod
    def of(cls, data: SeriesSet, rows: Ranges, *, log: bool = False) -> SeriesStatistics:
        """Measure each series in its rows; `log`: the logarithms of its values, of those above 0."""
        columns = [_measure(data, c, np.array(rows), log) for c in range(data.n_channels)]
        count, mean, sd, low, high = (np.stack(part) for part in zip(*columns, strict=True))
        return cls(count=count, mean=mean, sd=sd, low=low, high=high)


def _measure(data: SeriesSet, channel: int, bounds: NDArray[np.int64], log: bool) -> tuple[Floats, ...]:
    """Return count, mean, sd, low and high (S,) of a column; sums of a series depend on its own values alone."""
    filled = bounds[:, 1] > bounds[:, 0]
    edges = bounds[filled].reshape(-1)
    lengths = np.diff(bounds[filled]).reshape(-1)
    inside = _inside(data.n_rows, edges)
    seen = data.observed[channel].numpy()[inside]
    values = data.values[channel].numpy()[inside].astype(np.float64)
    if log:
        seen = seen & (values > 0)
        values = np.log(values, where=seen, out=np.zeros_like(values))
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    every = bool(seen.all())

    def reduce(how: np.ufunc, x: Floats, blank: float) -> Floats:
        found = np.full(len(bounds), blank)
        if len(x):
            found[filled] = how.reduceat(x if every else np.where(seen, x, blank), starts)
        return found

    low, high = reduce(np.minimum, values, np.inf), reduce(np.maximum, values, -np.inf)
    count = reduce(np.add, np.ones_like(values), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = reduce(np.add, values, 0.0) / count
        values -= np.repeat(mean[filled], lengths)
        sd = np.sqrt(reduce(np.add, np.square(values, out=values), 0.0) / count)
    return count, mean, sd, low, high


def _inside(rows: int, edges: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of N rows lie between pairs of ascending edges."""
    turns = np.zeros(rows + 1, dtype=np.int64)
    np.add.at(turns, edges[::2], 1)
    np.add.at(turns, edges[1::2], -1)
    inside: NDArray[np.bool_] = np.cumsum(turns[:-1]) > 0
    return inside


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OwnScale:
    """Centre and spread of each column and series, both (C, S), and what is usual among them.

    Attributes:
        usual: (C, 2) the median spread in units of the size of the series, and the least spread.
    """

    center: Floats
    spread: Floats
    usual: Floats


def own_scale(measured: SeriesStatistics, *, log: bool = False, usual: Floats | None = None) -> OwnScale:
    """Return mean and standard deviation of each series, the latter with a floor.

    A spread that rests on less than `LEAST_VALUES` values, or is none, is replaced by what is usual: the median over
    the series of the spread in units of the size, which is the root mean square (of logarithms: 1). If the size is 0,
    too, the least spread is taken: what a model adds to zeros stays small beside the changes of every other series. A
    spread below a hundredth of the usual one is raised to it: a series that hardly varies does not decide the scores by
    the one step that it takes.

    Args:
        measured: of the rows to fit on.
        log: whether logarithms were measured.
        usual: of other series, if these are new ones; None: it is found.
    """
    count, sd = measured.count, measured.sd
    with np.errstate(invalid="ignore"):
        size = np.ones_like(sd) if log else np.sqrt(np.square(measured.mean) + np.square(sd))
        reliable = (count >= LEAST_VALUES) & (sd > _FLAT * size)
    size = np.where(count > 0, size, 0.0)
    if usual is None:
        usual = np.stack([_usual(*column) for column in zip(sd, size, reliable, count, strict=True)])
    relative, absolute = usual[:, :1], usual[:, 1:]
    common = np.where(size > 0, relative * size, absolute)
    spread = np.where(reliable, np.maximum(sd, _LEAST_SHARE * common), common)
    return OwnScale(center=np.where(count > 0, measured.mean, 0.0), spread=spread, usual=usual)


def usual_spread(center: Floats, spread: Floats) -> Floats:
    """Return `OwnScale.usual`, (C, 2), if centre and spread of each series, both (C, S), are all that was kept.

    A series of no value or of zeros has the centre 0, and has no spread in units of its size.
    """
    share = np.where(center == 0, np.nan, spread / np.hypot(center, spread))
    relative = [np.nanmedian(row) if np.isfinite(row).any() else 1.0 for row in share]
    return np.stack([np.array(relative), spread.min(axis=1)], axis=1)


def _usual(sd: Floats, size: Floats, reliable: NDArray[np.bool_], count: Floats) -> Floats:
    """Return the median spread over size, and the least spread, of the series (S,) that tell them."""
    if not reliable.any():
        reliable = (count > 0) & (sd > 0)
    if not reliable.any():  # series of a single value each
        sized = size[size > 0]
        return np.array([1.0, sized.min() if len(sized) else 1.0])
    relative = np.median(sd[reliable] / size[reliable])
    return np.array([relative, np.maximum(sd, _LEAST_SHARE * relative * size)[reliable].min()])
