"""Tests of whether the level of a series moves, once its season is removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_tune.diagnosis import autocorrelated_tests, unit_root_tests
from lstm_tune.diagnosis.stl import stl

Floats = NDArray[np.float64]

_MOST = 1_000  # rows that are tested; if there are more, their means over blocks
_CYCLES = 100  # seasons from which on the means over whole seasons are tested
_FEWEST = 20
_MAX_LAG = 24
_HARMONICS = 4
_SEASON_CYCLES = 35  # over which a season that changes slowly is averaged
YEARS = 2.5  # with fewer years a season of one year cannot be distinguished from drift
_YEAR_HARMONICS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """The results of two tests with opposite null hypotheses, and the fit of a straight line."""

    adf_p: float  # small: the level returns to a mean (Dickey and Fuller 1979; Said and Dickey 1984)
    kpss_p: float  # small: it does not (Kwiatkowski et al. 1992); tabulated from .01 to .1
    slow_share: float  # share of the variance that the means of ten equal stretches have
    trend_share: float  # share of the variance that a straight line explains
    trend_p: float
    slope: float  # change per row
    rows: int  # tested rows, or means over blocks of rows

    @property
    def wanders(self) -> bool:
        """Whether both tests say that the level does not return; the slower it is, the less certain they must be."""
        certain = self.adf_p > 0.1 and self.kpss_p <= 0.05
        likely = self.adf_p > 0.05 and self.kpss_p < 0.1
        return (certain and self.slow_share > 0.3) or (likely and self.slow_share > 0.5)

    @property
    def may_wander(self) -> bool:
        """Whether it may be a random walk: most of the variance is slow, and the ADF test does not rule one out."""
        return self.wanders or (self.adf_p > 0.05 and self.slow_share > 0.5)

    @property
    def clear(self) -> bool:
        """Whether the drift is distinguishable from slow mean reversion, for which few rows do not suffice.

        An AR(1) of .95 has an ADF p value above .5 in one of twenty stretches of 150 rows, and a slow share of .84.
        """
        few = float(np.interp(self.rows, [200, 1_000], [0.7, 0.1]))
        slow = (self.slow_share > 0.5 and self.adf_p > few) or (self.slow_share > 0.9 and self.adf_p > 0.1)
        wanders = self.wanders and self.kpss_p <= 0.02 and slow
        trends = self.trends and self.trend_share > 0.5 and (self.trend_p < 1e-5 or self.adf_p > few)
        return wanders or trends

    @property
    def trends(self) -> bool:
        """Whether a straight line explains more than chance does."""
        return (self.trend_p < 0.001 and self.trend_share > 0.25) or (self.wanders and self.trend_share > 0.8)


def without_season(x: Floats, period: int | None) -> Floats:
    """Return x (n,) minus its mean season: the mean of each place in the cycle, around the level of each cycle.

    If there are fewer than three cycles, nothing is removed; of fewer than eight long ones, a smooth season is.
    """
    n = len(x)
    if not period or period < 2 or n < 3 * period:
        return x
    place = np.arange(n) % period
    detrended = x - _moving_mean(x, period)
    if n < 8 * period and period > 4 * _HARMONICS:  # too few cycles for a mean of each place in the cycle
        return x - _harmonics(detrended, period)
    sums = np.bincount(place, detrended, period) / np.bincount(place, minlength=period)
    season: Floats = (sums - sums.mean())[place]
    return x - season


def without_year(x: Floats, year: float) -> Floats:
    """Return x (n,) minus a smooth season of one year (`year` rows), if x spans at least `YEARS` years."""
    if len(x) < YEARS * year:
        return x
    return x - _harmonics(_around_line(x), year, _YEAR_HARMONICS)


def year_share(x: Floats, year: float) -> float:
    """Return the share of the variance of x (n,) around a straight line that a smooth season of one year explains."""
    around = _around_line(x)
    total = float(np.var(around))
    if len(x) < YEARS * year or total == 0:
        return 0.0
    return max(0.0, 1 - float(np.var(around - _harmonics(around, year, _YEAR_HARMONICS))) / total)


def season_strength(x: Floats, period: int) -> float:
    """Return how strong the season of x (n,) is, 0 to 1: 1 - var(rest) / var(season + rest) of an STL decomposition.

    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 4.3. The season may change slowly.
    """
    if len(x) < 3 * period or np.var(x) == 0:
        return 0.0
    spread = float(np.std(x))
    season, rest = stl((x - x.mean()) / spread, period, _SEASON_CYCLES)
    both = float(np.var(season + rest))
    return max(0.0, 1 - float(np.var(rest)) / both) if both > 0 else 0.0


def level_of(x: Floats, period: int | None) -> Floats:
    """Return x (n,) without its season, as at most 1,000 means over blocks of rows: what tests of its level read."""
    n = len(x)
    block = 1
    if period and n >= _CYCLES * period:
        block = period
    else:
        x = without_season(x, period)
    block *= -(-n // (_MOST * block))
    whole = n // block * block
    means: Floats = x[n - whole :].reshape(-1, block).mean(axis=1)
    return means


def examine_level(x: Floats, period: int | None) -> Level | None:
    """Test whether the level of x (n,) returns to a mean; None if there are too few rows to tell."""
    y = level_of(x, period)
    spread = float(np.std(y))
    if len(y) < _FEWEST or spread <= 1e-9 * float(np.abs(x).max() or 1):
        return None
    y = (y - y.mean()) / spread
    slope, share, p = autocorrelated_tests.trend(y)
    steps = np.array([s.mean() for s in np.array_split(y, 10)])
    if share > 1 - 1e-9:  # around the line nothing is left to test
        rise = slope * spread * len(y) / len(x)
        return Level(adf_p=1.0, kpss_p=0.01, slow_share=1.0, trend_share=share, trend_p=p, slope=rise, rows=len(y))
    lags = min(_MAX_LAG, int(12 * (len(y) / 100) ** 0.25), len(y) // 4)
    return Level(
        adf_p=unit_root_tests.adf(y, lags),
        kpss_p=unit_root_tests.kpss(y),
        slow_share=float(np.var(steps)),
        trend_share=share,
        trend_p=p,
        slope=slope * spread * len(y) / len(x),
        rows=len(y),
    )


def _moving_mean(x: Floats, width: int) -> Floats:
    """Return the mean of x (n,) over the `width` rows around each row, and over the nearest ones at the ends."""
    n = len(x)
    running = np.concatenate([[0.0], np.cumsum(x)])
    low = np.maximum(0, np.arange(n) - width // 2)
    high = np.minimum(n, low + width)
    low = np.maximum(0, high - width)
    mean: Floats = (running[high] - running[low]) / (high - low)
    return mean


def _around_line(x: Floats) -> Floats:
    t = np.linspace(-1, 1, len(x))
    centred = x - x.mean()
    rest: Floats = centred - t * float(t @ centred) / float(t @ t)
    return rest


def _harmonics(x: Floats, period: float, count: int = _HARMONICS) -> Floats:
    """Return the smooth season of x (n,): its first `count` harmonics."""
    angle = 2 * np.pi * np.arange(len(x))[:, None] / period * np.arange(1, count + 1)
    waves = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    fit: Floats = waves @ np.linalg.lstsq(waves, x - x.mean(), rcond=None)[0]
    return fit
