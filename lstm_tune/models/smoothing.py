"""Exponential smoothing with additive errors: level, trend and season, each updated by a share of the last error.

The model is ETS(A, N|A|Ad, N|A) in the notation of Hyndman et al., "Forecasting with Exponential Smoothing" (2008):

    error   e[t] = y[t] - (l[t-1] + phi b[t-1] + s[t-m])
    level   l[t] = l[t-1] + phi b[t-1] + alpha e[t]
    trend   b[t] = phi b[t-1] + beta e[t]
    season  s[t] = s[t-m] + gamma e[t]

Parameters are found once, on the rows to fit on. With parameters fixed and the initial states found by least squares
within a window, the forecast is a linear map of the window (`forecast_weights`). So it is saved, exported and run as
any other linear layer, and any stretch of history will do.

Letters: n values of a series, K candidates that run at the same time, D dimensions of the search, m seasonal period,
L rows of a window, H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.split import Ranges
from lstm_tune.evaluation.baseline_labels import LONGEST_SMOOTHED

Floats = NDArray[np.float64]
Trend = Literal["none", "additive", "damped"]

_TRENDS: tuple[Trend, ...] = ("none", "additive", "damped")
_MOST_VALUES = 4_000  # to fit on, of all series together: more change the parameters little
_LEAST_EACH = 200  # of them from one series, before series are left out
_LEAST_VALUES = 8  # that a series must have
_MOST_SERIES = 200  # to choose those from
_WIDTH = 96  # candidates of each kind in a round of the search
_ROUNDS = 7
_SHRINK = 0.6  # of the region that is searched, from round to round
_POLISH = 3  # the round before which the first guess of the states is replaced
_LEAST_SHARE = 0.02  # of the best model's weight: below that a model does not count
_EDGE = 1e-4  # distance from the bounds of the unit cube
_WINDOW_ROWS, _WINDOW_SEASONS = 336, 4
_HEAD_SEASONS, _HEAD_ROWS = 3, 10  # that the states are first guessed from


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoothing:
    """The parameters of an exponential smoothing model."""

    alpha: float  # share of the error that the level takes, 0 to 1
    beta: float = 0.0  # that the trend takes, 0 to alpha
    gamma: float = 0.0  # that the season takes, 0 to 1 - alpha
    phi: float = 0.0  # what is left of the trend after a row: 0 no trend, 1 not damped
    period: int = 1  # rows in a season; 1: none
    weight: float = 1.0  # in a mean of models


@dataclass(frozen=True, slots=True)
class _States:
    """Level and trend (K,), season (m, K) of K candidates; row j of the season serves the rows t with t % m = j."""

    level: Floats
    trend: Floats
    season: Floats

    @classmethod
    def join(cls, states: Sequence[_States], repeat: int = 1) -> Self:
        """Put states side by side, each `repeat` times; a shorter season (m = 1: none) is padded with zeros."""
        m = max(len(s.season) for s in states)
        seasons = [np.zeros((m, s.season.shape[1])) if len(s.season) < m else s.season for s in states]
        return cls(
            np.repeat(np.concatenate([s.level for s in states]), repeat),
            np.repeat(np.concatenate([s.trend for s in states]), repeat),
            np.repeat(np.concatenate(seasons, axis=1), repeat, axis=1),
        )


@dataclass(frozen=True, slots=True)
class _Parameters:
    """alpha, beta, gamma, phi (K,) of K candidates."""

    alpha: Floats
    beta: Floats
    gamma: Floats
    phi: Floats

    @classmethod
    def join(cls, parameters: Sequence[_Parameters]) -> Self:
        """Put candidates side by side."""
        return cls(*(np.concatenate([getattr(p, name) for p in parameters]) for name in cls.__slots__))

    def repeat(self, times: int) -> _Parameters:
        """Return each candidate so many times."""
        return _Parameters(*(np.repeat(getattr(self, name), times) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of model: whether there is a trend, and a season."""

    trend: Trend
    season: int  # rows; 1: none

    @property
    def dimensions(self) -> int:
        """Parameters to search."""
        return 1 + (self.trend != "none") + (self.trend == "damped") + (self.season > 1)

    @property
    def free_states(self) -> int:
        """Numbers that the initial states are made of; the season adds up to 0."""
        return 1 + (self.trend != "none") + (self.season - 1)

    def parameters(self, points: Floats) -> _Parameters:
        """Map points (K, D) of the unit cube to parameters; small shares are told apart better than large ones."""
        columns, zero = iter(points.T), np.zeros(len(points))
        alpha = next(columns)
        beta = alpha * next(columns) ** 2 if self.trend != "none" else zero
        phi = 0.8 + 0.18 * next(columns) if self.trend == "damped" else zero + (self.trend == "additive")
        gamma = (1 - alpha) * next(columns) ** 1.5 if self.season > 1 else zero
        return _Parameters(alpha, beta, gamma, phi)

    def states(self, free: Floats) -> _States:
        """Return the states (K) that free numbers (free_states, K) stand for."""
        first = self.free_states - (self.season - 1)
        season = free[first:]
        return _States(
            free[0],
            free[1] if first == 2 else np.zeros(free.shape[1]),
            np.concatenate([season, -season.sum(axis=0, keepdims=True)]),
        )


def window_rows(max_lookback: int, period: int | None) -> int:
    """Return how many rows of history a smoothing forecast is given: what the data allow, up to four seasons or 336."""
    season = period if period and period <= LONGEST_SMOOTHED else 1
    return min(max_lookback, max(_WINDOW_ROWS, _WINDOW_SEASONS * season))


def fit_smoothing(series: Sequence[Floats], period: int | None, length: int) -> tuple[Smoothing, ...]:
    """Find the models that describe the series, their parameters shared by all series.

    Tried are no trend, a trend and a damped one, each with and without a season if the series have two of it. The
    parameters are found by a random search that narrows itself around the best of each kind. All kinds run in one pass
    over the rows. Where several kinds describe the series about equally well, no one is picked: each weighs by its AICc
    (Burnham and Anderson 2002).

    Args:
        series: values (n,) of each, on one scale; NaN where a value is missing. Of long ones the last rows are used.
        period: rows in a season; None: there is none.
        length: rows of the windows to forecast from. If they cannot hold the season, models without one are fitted:
            what is left of a seasonal model without its season forecasts badly.

    Returns:
        The models with weights that add up to 1; alpha = 1, which is persistence, if no series has eight values.
    """
    kept = _recent(series)
    if not kept:
        return (Smoothing(alpha=1.0),)
    season = period if period and period <= LONGEST_SMOOTHED and _holds(length, period) else 1
    season = season if all(len(y) >= 2 * season + 3 for y in kept) else 1
    kinds = [_Kind(trend, m) for m in sorted({1, season}) for trend in _TRENDS]
    starts = [[kind.states(_guess(y, kind)[:, None]) for kind in kinds] for y in kept]
    centers = [np.full(kind.dimensions, 0.5) for kind in kinds]
    rng = np.random.default_rng(0)
    for round_ in range(_ROUNDS):
        chosen = [kind.parameters(center[None]) for kind, center in zip(kinds, centers, strict=True)]
        if round_ == _POLISH:  # with better states other parameters are the best ones
            starts = [_polished(y, kinds, chosen) for y in kept]
        clouds = [_cloud(center, _SHRINK**round_, rng) for center in centers]
        tried = _Parameters.join([kind.parameters(cloud) for kind, cloud in zip(kinds, clouds, strict=True)])
        squares = _squared_errors(kept, tried, [_States.join(start, repeat=_WIDTH) for start in starts])
        best = squares.reshape(len(kinds), _WIDTH).argmin(axis=1)
        centers = [cloud[k] for cloud, k in zip(clouds, best, strict=True)]
    chosen = [kind.parameters(center[None]) for kind, center in zip(kinds, centers, strict=True)]
    starts = [_polished(y, kinds, chosen) for y in kept]
    squares = _squared_errors(kept, _Parameters.join(chosen), [_States.join(start) for start in starts])
    n = sum(int(np.isfinite(y).sum()) for y in kept)
    criteria = np.array([_aicc(s, n, kind, len(kept)) for s, kind in zip(squares.tolist(), kinds, strict=True)])
    if not np.isfinite(criteria).any():
        return (Smoothing(alpha=1.0),)
    share = np.exp((criteria.min() - criteria) / 2)
    share[share < _LEAST_SHARE * share.max()] = 0
    share /= share.sum()
    return tuple(
        Smoothing(
            alpha=float(p.alpha[0]),
            beta=float(p.beta[0]),
            gamma=float(p.gamma[0]),
            phi=float(p.phi[0]),
            period=kind.season,
            weight=float(weight),
        )
        for p, kind, weight in zip(chosen, kinds, share, strict=True)
        if weight
    )


def forecast_weights(models: Sequence[Smoothing], length: int, horizon: int) -> Floats:
    """Return the linear map (H, L) from a window of `length` rows to the forecast of the `horizon` rows after it.

    Of several models it is that of the weighted mean of their forecasts.

    The initial states are those of least squared errors within the window. A constant that is added to the window is
    added to the forecast: each row of the map adds up to 1.

    Args:
        models: fitted.
        length: rows of the window, at least 1. A season that the window does not hold once, with two rows more, is
            left out; so is a trend if there are fewer than three rows.
        horizon: rows to forecast.
    """
    weights: Floats = np.sum([model.weight * _forecast_weights(model, length, horizon) for model in models], axis=0)
    return weights


def _forecast_weights(model: Smoothing, length: int, horizon: int) -> Floats:
    trend: Trend = "none" if not model.phi or length < 3 else "additive" if model.phi == 1 else "damped"
    kind = _Kind(trend, model.period if _holds(length, model.period) else 1)
    free = kind.free_states
    # The first columns are windows of zeros with one initial state of 1, the others windows with one value of 1.
    columns = free + length
    states = kind.states(np.eye(free, columns))
    windows = np.eye(length, columns, k=free)
    one = np.ones(columns)
    parameters = _Parameters(
        model.alpha * one,
        model.beta * one * (trend != "none"),
        model.gamma * one * (kind.season > 1),
        model.phi * one * (trend != "none"),
    )
    errors, end = _run(windows, parameters, states)
    steps = np.arange(1, horizon + 1)
    growth = np.cumsum(float(parameters.phi[0]) ** steps)[:, None]
    ahead = end.level + growth * end.trend + end.season[(length + steps - 1) % kind.season]
    # The errors are linear in the initial states, and the best states therefore linear in the window.
    best = -np.linalg.pinv(errors[:, :free]) @ errors[:, free:]
    weights: Floats = ahead[:, free:] + ahead[:, :free] @ best
    return weights


def _holds(length: int, season: int) -> bool:
    """Return whether a window has rows enough to find the states of a season."""
    return length >= season + 2


def some_ranges(rows: Ranges) -> list[tuple[int, int, int]]:
    """Return (series, start, end) of the rows to fit on; of many series 200, evenly spaced among those long enough."""
    every = [(s, a, b) for s, (a, b) in enumerate(rows)]
    if len(every) <= _MOST_SERIES:
        return every
    long = [part for part in every if part[2] - part[1] >= _LEAST_VALUES]
    return (
        [long[i] for i in np.linspace(0, len(long) - 1, _MOST_SERIES).astype(int)] if len(long) > _MOST_SERIES else long
    )


def _recent(series: Sequence[Floats]) -> list[Floats]:
    """Return the last rows of each series, without those of too few values; of many series some, evenly spaced."""
    usable = [y for y in series if np.isfinite(y).sum() >= _LEAST_VALUES]
    most = max(1, _MOST_VALUES // _LEAST_EACH)
    if len(usable) > most:
        usable = [usable[i] for i in np.linspace(0, len(usable) - 1, most).astype(int)]
    each = _MOST_VALUES // max(1, len(usable))
    recent = [y[-each:] for y in usable]
    return [y for y in recent if np.isfinite(y).sum() >= _LEAST_VALUES]


def _guess(y: Floats, kind: _Kind) -> Floats:
    """Return free states of a line with a season through the first rows, by least squares."""
    m = kind.season
    head = y[: max(_HEAD_SEASONS * m if m > 1 else 0, _HEAD_ROWS)]
    seen, rows = np.isfinite(head), np.arange(len(head))
    columns = [np.ones(len(head)), *([rows + 1.0] if kind.trend != "none" else [])]
    columns += [1.0 * (rows % m == j) - (rows % m == m - 1) for j in range(m - 1)]
    free = np.linalg.lstsq(np.column_stack(columns)[seen], head[seen], rcond=None)[0]
    return np.asarray(free, dtype=np.float64)


def _polished(y: Floats, kinds: Sequence[_Kind], chosen: Sequence[_Parameters]) -> list[_States]:
    """Return, for each kind with one candidate chosen, the initial states of least squared errors over y (n,)."""
    seen = np.isfinite(y)
    # All kinds run side by side. In the columns of a kind: zeros with one initial state of 1, and last the data itself.
    frees = [kind.free_states for kind in kinds]
    data = np.repeat(np.where(seen, 0.0, np.nan)[:, None], sum(frees) + len(kinds), axis=1)
    ends = np.cumsum([free + 1 for free in frees])
    data[:, ends - 1] = y[:, None]
    by = _Parameters.join([p.repeat(free + 1) for p, free in zip(chosen, frees, strict=True)])
    starts = _States.join([kind.states(np.eye(free, free + 1)) for kind, free in zip(kinds, frees, strict=True)])
    errors = _run(data, by, starts)[0][seen]
    polished = []
    for kind, free, end in zip(kinds, frees, ends.tolist(), strict=True):
        own = errors[:, end - free - 1 : end]
        found = np.linalg.lstsq(own[:, :free], -own[:, free], rcond=None)[0]
        polished.append(kind.states(np.asarray(found[:, None], dtype=np.float64)))
    return polished


def _cloud(center: Floats, scale: float, rng: np.random.Generator) -> Floats:
    """Return points (K, D) around a center, which is the first of them; every second one moves in one direction."""
    dimensions = len(center)
    step = 2 * scale * (rng.random((_WIDTH, dimensions)) - 0.5)
    step[1::2] *= np.eye(dimensions)[np.arange(1, _WIDTH, 2) // 2 % dimensions]
    step[0] = 0
    return np.clip(center + step, _EDGE, 1 - _EDGE)


def _squared_errors(series: Sequence[Floats], by: _Parameters, starts: Sequence[_States]) -> Floats:
    """Return the sum of squared errors (K,) of K candidates over all series, each from its own states."""
    total = np.zeros(len(by.alpha))
    for y, start in zip(series, starts, strict=True):
        total += np.nansum(_run(y[:, None], by, start)[0] ** 2, axis=0)
    return np.nan_to_num(total, nan=np.inf, posinf=np.inf)


def _run(y: Floats, by: _Parameters, start: _States) -> tuple[Floats, _States]:
    """Run K candidates over y (n, K) or (n, 1): errors (n, K), NaN where y is, and the states after the last row."""
    level, trend, season = start.level, start.trend, start.season.copy()
    alpha, beta, gamma, phi = by.alpha, by.beta, by.gamma, by.phi
    m = len(season)
    errors = np.empty((len(y), len(alpha)))
    missing: NDArray[np.bool_] = np.any(np.isnan(y), axis=1)
    for t in range(len(y)):
        own = season[t % m]
        trend = phi * trend
        level = level + trend
        error = np.subtract(y[t] - own, level, out=errors[t])
        if not missing[t]:  # a missing value teaches nothing
            level = level + alpha * error
            trend = trend + beta * error
            own += gamma * error
    return errors, _States(level, trend, season)


def _aicc(squares: float, n: int, kind: _Kind, series: int) -> float:
    """Return the corrected information criterion (Hurvich and Tsai 1989) of a fit to n values; inf if n is small."""
    k = kind.dimensions + 1 + series * kind.free_states  # parameters, the variance, the initial states of each series
    if n - k - 1 <= 0:
        return math.inf
    variance = max(squares / n, float(np.finfo(np.float64).tiny))
    return n * math.log(variance) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
