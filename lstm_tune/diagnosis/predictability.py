"""How much of a series can be forecast from its own past: an estimate of the least MSE that any model can have."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import chdtrc

from lstm_tune.models.ridge import cross_validate, moments

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

METHOD = (
    "the least cross-validated MSE of ridge regressions on past values, or that of a forecast without an LSTM on "
    "validation rows"
)
METHOD_NEIGHBOURS = METHOD + ", and of what followed the most similar past (nearest neighbours)"

_NEWEST = 6_000  # rows that are fitted to, at most
_LAGS = 32
_BLOCKS = 5
_NEIGHBOUR_LAGS = (1, 2, 4)  # values in a row that are compared (Sugihara and May 1990)
_FEWEST = 30
_LITTLE = 0.3  # explained share below which nearest neighbours are worth their time
_FEWER_LAGS = (1, 3, 8, 16)  # of the nearest values, if more only add noise


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """What the past says about the next rows; all squared errors in the series' own units."""

    floor: float  # MSE of the best forecast that was found, mean over the examined steps
    variance: float  # of the same rows: the MSE of forecasting their mean
    persistence: float  # MSE of the last value, on the same rows
    white: float  # p value of "no correlation with the past at all" (Ljung and Box 1978); small: there is some
    white_changes: float  # the same of the changes from row to row
    neighbours: bool  # whether nearest neighbours were tried, too
    rows: int

    @property
    def explained(self) -> float:
        """Share of the variance that the best forecast explains, 0 to 1."""
        return max(0.0, 1 - self.floor / self.variance) if self.variance > 0 else 0.0

    @property
    def beyond_last(self) -> float:
        """Share of persistence's MSE that the best forecast saves, 0 to 1."""
        return max(0.0, 1 - self.floor / self.persistence) if self.persistence > 0 else 0.0

    @property
    def method(self) -> str:
        """How the floor was estimated."""
        return METHOD_NEIGHBOURS if self.neighbours else METHOD


def estimate_signal(x: Floats, observed: Bools, horizon: int, period: int | None) -> Signal | None:
    """Estimate how much of x (n,) its past explains; None if there are too few rows to tell.

    Args:
        x: filled values.
        observed: which of them were observed; the others are no targets.
        horizon: rows ahead; the first, the middle and the last step are examined.
        period: of the season, in rows; the rows a season ago join the lags.
    """
    x, observed = x[-_NEWEST:], observed[-_NEWEST:]
    n = len(x)
    lags = _lags(n, horizon, period)
    variance = float(np.var(x[observed])) if observed.any() else 0.0
    if not lags or variance <= 0:
        return None
    floors, lasts = [], []
    neighbours = False
    steps = sorted({1, (horizon + 1) // 2, horizon})
    scale = variance**0.5
    z = (x - x.mean()) / scale
    for step in steps:
        past, target, last = _pairs(z, observed, lags, step)
        if len(target) < _FEWEST:
            continue
        power = float(np.var(target))
        error = _cross_validated(past, target, step)
        if step == 1 and power > 0 and 1 - error / power < _LITTLE:
            neighbours = True
            error = min(error, _neighbour_error(past, target, step))
        lasts.append(float(np.mean((target - last) ** 2)))
        floors.append(min(error, power, lasts[-1]))
    if not floors:
        return None
    return Signal(
        floor=float(np.mean(floors)) * variance,
        variance=variance,
        persistence=float(np.mean(lasts)) * variance,
        white=_whiteness(z, observed, period),
        white_changes=_whiteness(np.diff(z), observed[1:] & observed[:-1], period),
        neighbours=neighbours,
        rows=n,
    )


def _lags(n: int, horizon: int, period: int | None) -> list[int]:
    """Return the distances, in rows, of the past values that a forecast is made from; 0 is the last value."""
    room = (n - horizon) // 5
    lags = list(range(min(_LAGS, room)))
    if period:
        far = [k * period - h - d for k in (1, 2) for h in {1, horizon} for d in (-1, 0, 1)]
        lags = sorted({*lags, *(lag for lag in far if 0 <= lag < (n - horizon) // 2)})
    return lags


def _pairs(z: Floats, observed: Bools, lags: list[int], step: int) -> tuple[Floats, Floats, Floats]:
    """Return past values (m, lags), what followed `step` rows after (m,), and the last values (m,)."""
    ends = np.arange(max(lags), len(z) - step)
    ends = ends[observed[ends + step]]
    past = z[ends[:, None] - np.array(lags)]
    return past, z[ends + step], past[:, 0] if lags[0] == 0 else z[ends]


def _folds(n: int, blocks: int, gap: int) -> list[tuple[Bools, slice]]:
    """Cut n consecutive pairs into blocks to score, each with the pairs to fit on: all but those near the block."""
    edges = np.linspace(0, n, blocks + 1).astype(int)
    folds = []
    for a, b in itertools.pairwise(edges):
        fit = np.ones(n, dtype=np.bool_)
        fit[max(0, a - gap) : b + gap] = False
        folds.append((fit, slice(a, b)))
    return folds


def _cross_validated(past: Floats, target: Floats, gap: int) -> float:
    """Return the MSE of ridge regression on blocks that it was not fitted to: the least of some lags and strengths."""
    x = torch.from_numpy(past[:, ::-1].copy())  # the nearest value last, as `Moments.newest` wants it
    y = torch.from_numpy(target[:, None])
    folds = []
    for fit, scored in _folds(len(target), _BLOCKS, gap):
        if fit.sum() < _FEWEST // 2:
            return float(np.var(target))
        near = torch.from_numpy(~fit)
        folds.append((moments(x[scored], y[scored]), moments(x[near], y[near])))
    widths = [*(k for k in _FEWER_LAGS if k < x.shape[1]), x.shape[1]]
    tried = cross_validate(moments(x, y), folds, widths)
    return max(0.0, min(error for error, _, _ in tried)) / len(target)


def _neighbour_error(past: Floats, target: Floats, gap: int) -> float:
    """Return the MSE of the mean of what followed the most similar past values, on blocks that were left out."""
    from scipy.spatial import KDTree

    errors = []
    for k in _NEIGHBOUR_LAGS:
        near, total = past[:, :k], 0.0
        for fit, scored in _folds(len(target), _BLOCKS, gap):
            count = max(5, int(fit.sum() ** 0.5 / 2))
            if fit.sum() <= count:
                return float(np.var(target))
            _, which = KDTree(near[fit]).query(near[scored], k=count)
            total += float(((target[scored] - target[fit][which].mean(axis=1)) ** 2).sum())
        errors.append(total / len(target))
    return min(errors)


def _whiteness(z: Floats, observed: Bools, period: int | None) -> float:
    """Return the p value of no autocorrelation in z (n,): the lags up to 10 and the season, and the first alone."""
    centred = np.where(observed, z - z[observed].mean(), 0.0) if observed.any() else z * 0
    power = float(centred @ centred)
    n = len(z)
    if power <= 0 or n < _FEWEST:
        return 1.0
    lags = list(range(1, min(10, n // 5) + 1)) + ([period] if period and 10 < period < n // 2 else [])
    r = np.array([float(centred[k:] @ centred[:-k]) / power for k in lags])
    q = n * (n + 2) * r**2 / (n - np.array(lags))
    return float(min(1.0, 2 * min(chdtrc(len(lags), q.sum()), chdtrc(1, q[0]))))
