"""The seasons of a series, found from the rows that may be looked at.

A season of m rows is what a centred mean over m rows takes away and the series has again after m rows. So the series
minus this mean is compared with itself m rows on: a trend, a random walk or slow noise leaves nothing of that kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.calendar_periods import calendar_periods
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges

Floats = NDArray[np.float64]

_MAX_ROWS = 100_000  # the newest rows suffice, and bound the cost
_MAX_PIECES = 60  # series that are looked at, evenly spaced
_MAX_PERIOD = 10_000
_MIN_CYCLES = 3
_FAR = 2.0  # interquartile ranges
_SLOW = (24, 100, 400, 2000)  # rows of the means that are taken away in search of candidates
_PEAKS = 8  # highest local peaks of each autocorrelation that become candidates, and as many of the first high ones
_HIGH = 0.7  # of the highest peak: a first high one
_MAX_CANDIDATES = 60
_LEAST = 0.12  # autocorrelation of a season, at least
_MANY, _SHARE = 8, 0.15  # series of a panel, and the share of them that shows a season of the calendar
_SWING = 0.2  # by which it is above the least of the shorter lags
_AS_HIGH = 0.85  # of the highest: as good a season, if it is shorter
_ADDS = 0.05  # autocorrelation by which a longer season is above those beside, …
_LEAST_GAIN = 0.01
_HARMONICS, _MULTIPLES = 3, 12  # times a season, that a longer one may be: of data with time stamps, without
_REPEATS = 0.6  # … or of what is left from cycle to cycle
_BETTER = 0.95  # of the seasonal naive error: a longer season must forecast better by this
_LEAST_BLOCKS = 5
_GROWTH = 1.5  # highest over lowest level, from which logarithms are considered


def best_season(data: SeriesSet, rows: Ranges, seasons: Sequence[int], horizon: int = 1) -> int | None:
    """Return the season with the least seasonal naive error; of seasons within 5% of each other the shortest.

    Args:
        data: the series.
        rows: for each series, the rows that may be looked at.
        seasons: in rows.
        horizon: rows ahead that the repetition is to forecast.
    """
    if len(seasons) < 2:
        return seasons[0] if seasons else None
    pieces = _pieces(data, rows)
    errors = {m: _naive_error(pieces, m, horizon) for m in sorted(seasons)}
    chosen = min(errors)
    for m, error in errors.items():
        if error < _BETTER * errors[chosen]:
            chosen = m
    return chosen


def find_seasons(data: SeriesSet, rows: Ranges) -> tuple[int, ...]:
    """Return the seasons in rows, the shortest first; empty if there is none.

    Candidates are the calendar's periods and the peaks of autocorrelations of the steps and of the values without their
    slow movements. The series minus its centred mean over a candidate is compared with itself a candidate later: the
    correlation must be clear of chance (Bartlett 1946), above that of the neighbouring lags, and above that of a part
    of the season. The season is the shortest of those about as high as the highest. A multiple of it, or a longer
    period of the calendar, is a further season if the series repeats clearly better after it than one season earlier or
    later. If the swing grows with the level, logarithms are looked at. Several channels and series vote with their
    median; among eight or more, a season of the calendar that 15% of them show clearly is one, too.

    Args:
        data: the series.
        rows: for each series, the rows that may be looked at.
    """
    pieces = [_even_swing(piece) for piece in _pieces(data, rows)]
    longest = min(max((len(p) for p in pieces), default=0) // _MIN_CYCLES, _MAX_PERIOD)
    if longest < 3:
        return ()
    calendar = calendar_periods(data.freq)
    tried = {m: _Repetition.of(pieces, m) for m in _candidates(pieces, longest, calendar)}
    seen = {m: found for m, found in tried.items() if found is not None}
    repeating = {
        m: one
        for m, one in seen.items()
        if one.is_clear(longest, by_calendar=m in calendar) or (m in calendar and _shown_by_many(pieces, m, longest))
    }
    if not repeating:
        return ()
    first = _nearby_best(pieces, _shortest(repeating), calendar)
    further = [m for m in sorted(seen) if _may_add(m, first, calendar) and _adds(pieces, m, first, calendar)]
    return (first, *_independent(further))


def _pieces(data: SeriesSet, rows: Ranges) -> list[Floats]:
    """Return the values of each channel and series, `_MAX_PIECES` at most, without the shortest ones."""
    used = [(a, b) for a, b in rows if b - a >= 8]
    every = [(c, a, b) for a, b in used for c in range(data.n_channels)]
    if len(every) > _MAX_PIECES:
        every = [every[i] for i in np.linspace(0, len(every) - 1, _MAX_PIECES).round().astype(int)]
    return [data.values[c, max(a, b - _MAX_ROWS) : b].double().numpy() + data.origin[c] for c, a, b in every]


def _candidates(pieces: Sequence[Floats], longest: int, calendar: Sequence[int]) -> list[int]:
    """Return lags that may be a season, in order: those that most series suggest, and the calendar's."""
    votes = Counter(m for piece in pieces for m in _suggested(piece, longest))
    return sorted({*(m for m in calendar if 2 <= m <= longest), *(m for m, _ in votes.most_common(_MAX_CANDIDATES))})


def _suggested(piece: Floats, longest: int) -> set[int]:
    found: set[int] = set()
    line = np.linspace(-1, 1, len(piece))
    bent = piece - np.polyval(np.polyfit(line, piece, 2), line)
    for y in (_tame(np.diff(piece)), *(_without_mean(piece, w) for w in _SLOW if 3 * w < len(piece)), bent):
        top = min(longest, len(y) // _MIN_CYCLES)
        if top < 4:
            continue
        acf = autocorrelation(_clip(y), top)
        inner = np.arange(2, top)
        peaks = inner[(acf[inner] >= acf[inner - 1]) & (acf[inner] >= acf[inner + 1]) & (acf[inner] > _LEAST / 2)]
        if len(peaks):
            high = peaks[acf[peaks] >= _HIGH * acf[peaks].max()]
            found |= {int(m) for m in (*peaks[np.argsort(-acf[peaks])][:_PEAKS], *high[:_PEAKS])}
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Repetition:
    """How well series repeat after some rows: the median of all series that are long enough."""

    again: float  # autocorrelation after these rows, of the series minus their centred mean over as many
    beside: float  # the larger one of the lags beside
    least: float  # of the shorter lags
    chance: float  # standard deviation of the first if there is no season

    @classmethod
    def of(cls, pieces: Sequence[Floats], m: int) -> _Repetition | None:
        """Compare series with themselves m rows on; None if those that are long enough hold less than half the rows."""
        fit = [piece for piece in pieces if len(piece) >= _MIN_CYCLES * m + 4]
        if 2 * sum(map(len, fit)) < sum(map(len, pieces)) or not fit:
            return None
        again, beside, least, chance = [], [], [], []
        for piece in fit:
            y = _clip(_without_mean(piece, m))
            acf = autocorrelation(y, m + 1)
            again.append(acf[m] - _own_share(m))
            beside.append(max(acf[m - 1] if m > 2 else -1.0, acf[m + 1]))
            least.append(acf[1:m].min())
            memory = 1 + 2 * float(np.sum(acf[1 : max(2, m // 2)] ** 2))
            chance.append(max(memory / (len(y) - m), _of_a_few(y, m)) ** 0.5)
        medians = (float(np.median(one)) for one in (again, beside, least, chance))
        return cls(**dict(zip(("again", "beside", "least", "chance"), medians, strict=True)))

    def is_clear(self, longest: int, *, by_calendar: bool) -> bool:
        """Return whether it is a season; among many lags one is high by chance, among the calendar's few hardly."""
        reach = 2.6 if by_calendar else 1 + (2 * np.log(longest)) ** 0.5
        clear = self.again > max(_LEAST, reach * self.chance) and self.again - self.least > _SWING
        return bool(clear and self.again >= self.beside - self.chance / 2)


def _shown_by_many(pieces: Sequence[Floats], m: int, longest: int) -> bool:
    """Return whether enough of many series show a period of the calendar clearly, one by one; by chance 1% do."""
    every = [one for piece in pieces if (one := _Repetition.of([piece], m)) is not None]
    clear = sum(one.is_clear(longest, by_calendar=True) for one in every)
    return len(every) >= _MANY and clear >= _SHARE * len(every)


def _adds(pieces: Sequence[Floats], m: int, season: int, calendar: Sequence[int]) -> bool:
    """Return whether m rows are a further season: one season more, or less, leaves clearly more to differ by."""
    gains, chances, shares = [], [], []
    for piece in pieces:
        if len(piece) < _MIN_CYCLES * m + season + 4:
            continue
        y = _clip(_without_mean(piece, m))
        acf = autocorrelation(y, m + season)
        beside = max(acf[m - season], acf[m + season])
        left = 1 - acf[m] ** 2  # the better the series repeats, the less the correlations scatter
        chances.append(left * 1.25 / (len(y) - m) ** 0.5)
        gains.append(acf[m] - beside)
        shares.append((1 - acf[m]) / max(1 - beside, 1e-12))
    if not gains:
        return False
    gain, chance, share = (float(np.median(one)) for one in (gains, chances, shares))
    reach = 2.0 if m in calendar else 3.3 if m // season <= _HARMONICS else 4.5
    return gain > reach * chance and gain > (_LEAST_GAIN if share < _REPEATS else _ADDS)


def _shortest(found: Mapping[int, _Repetition]) -> int:
    """Return the shortest season that repeats about as well as the best one."""
    best = max(found.values(), key=lambda one: one.again)
    least = min(_AS_HIGH * best.again, best.again - best.chance)
    return min(m for m, one in found.items() if one.again >= least)


def _nearby_best(pieces: Sequence[Floats], m: int, calendar: Sequence[int]) -> int:
    """Return the period near to m, or the calendar's within a tenth of it, after which the series repeat best."""
    here = _Repetition.of(pieces, m)
    for period in calendar:
        there = _Repetition.of(pieces, period) if abs(period - m) <= m / 10 else None
        if here is not None and there is not None and there.again >= here.again - here.chance:
            return period
    while here is not None and (longer := _Repetition.of(pieces, m + 1)) is not None and longer.again > here.again:
        m, here = m + 1, longer
    return m


def _may_add(m: int, season: int, calendar: Sequence[int]) -> bool:
    """Return whether a longer period may be a season of its own: twice or three times the season, or the calendar's.

    Without a calendar up to twelve times the season: a week of days.
    """
    if m <= season:
        return False
    most = _HARMONICS if calendar else _MULTIPLES
    return m in calendar or (m % season == 0 and m // season <= most)


def _independent(seasons: Iterable[int]) -> list[int]:
    """Return the seasons without those that repeat a shorter one of them."""
    kept: list[int] = []
    for m in seasons:
        if not any(m % shorter == 0 for shorter in kept):
            kept.append(m)
    return kept


def _even_swing(x: Floats) -> Floats:
    """Return the logarithms of a piece (n,) of positive values if its swing grows with its level, else the piece."""
    size = max(8, len(x) // 12)
    blocks = len(x) // size
    if blocks < _LEAST_BLOCKS or x.min() <= 0:
        return x
    rows = x[len(x) - blocks * size :].reshape(blocks, size)
    level, swing = rows.mean(axis=1), np.abs(np.diff(rows, axis=1)).mean(axis=1)
    if level.max() < _GROWTH * level.min() or swing.min() <= 0:
        return x
    return np.log(x) if np.std(np.log(swing / level)) < np.std(np.log(swing)) else x


def _without_mean(x: Floats, m: int) -> Floats:
    """Return x (n,) minus its centred mean over m rows, (n - m + 1 - m even,): the ends of even seasons weigh half."""
    sums = np.concatenate([[0.0], np.cumsum(x - x.mean())])
    mean = (sums[m:] - sums[:-m]) / m
    if m % 2 == 0:
        mean = (mean[1:] + mean[:-1]) / 2
    half = m // 2
    rest: Floats = x[half : half + len(mean)] - x.mean() - mean
    return rest


def _of_a_few(y: Floats, m: int) -> float:
    """Return the variance of the autocorrelation after m rows if its products alone scatter (Taylor 1984).

    If a handful of spikes that happen to be m rows apart make it, this is as large as the correlation itself.
    """
    centred = y - y.mean()
    power = float(centred @ centred)
    return float(np.sum((centred[m:] * centred[:-m]) ** 2)) / power**2 if power > 0 else 0.0


def _own_share(m: int) -> float:
    """Return the autocorrelation after m rows that white noise minus its centred mean over m rows has.

    The means of rows m apart share their outermost rows if m is even: a sixth of the variance at m = 2, 2% at m = 4.
    """
    if m % 2:
        return 0.0
    shared = 1 / (2 * m)
    return shared**2 / ((1 - 1 / m) ** 2 + (m - 2) / m**2 + 2 * shared**2)


def _naive_error(pieces: Sequence[Floats], m: int, horizon: int) -> float:
    """Return the mean squared error of repeating the last season, over the variance of the steps of each piece."""
    lags = range(m, m + max(0, horizon - m) + 1, m)  # the first season that is known for each step
    share = [min(m, horizon - (lag - m)) / horizon for lag in lags]
    errors = []
    for piece in pieces:
        scale = float(np.var(np.diff(piece))) or 1.0
        known = [(lag, w) for lag, w in zip(lags, share, strict=True) if lag < len(piece)]
        if known:
            errors.append(sum(w * float(np.mean(_tame(piece[lag:] - piece[:-lag]) ** 2)) for lag, w in known) / scale)
    return float(np.median(errors)) if errors else np.inf


def _clip(x: Floats) -> Floats:
    """Cut the most extreme thousandth, so that a handful of outliers cannot hide a season."""
    low, high = np.quantile(x, [0.001, 0.999])
    return _tame(np.clip(x, low, high))


def _tame(steps: Floats) -> Floats:
    """Cut steps more than two interquartile ranges outside the quartiles, so that a few spikes cannot hide a season.

    Of normal steps that is beyond 3.4 standard deviations. Spikes that recur stay, if lower.
    """
    low, high = np.quantile(steps, [0.25, 0.75])
    reach = _FAR * (high - low)
    return np.clip(steps, low - reach, high + reach) if reach > 0 else steps


def autocorrelation(x: Floats, max_lag: int) -> Floats:
    """Return the autocorrelation of x (n,) at lags 0..max_lag, by fast Fourier transform; 0 of a constant."""
    x = x - x.mean()
    size = 1 << int(2 * len(x) - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2
    acov = np.fft.irfft(power, size)[: max_lag + 1]
    if acov[0] <= 0:
        return np.zeros(max_lag + 1)
    # Divided by the number of pairs: long lags are not shrunk towards zero.
    pairs = len(x) - np.arange(max_lag + 1)
    result: Floats = (acov / pairs) / (acov[0] / len(x))
    return result
