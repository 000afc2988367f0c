"""The seasonal period of a series, found from the rows that may be looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.frequency import DAY, Step, parse_freq
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges

# Periods, in rows, that people's calendars give to a frequency, the shortest first.
_CALENDAR_PERIODS: dict[str, tuple[int, ...]] = {
    "s": (60, 3600),
    "min": (60, 1440),
    "h": (24, 168),
    "D": (7, 365),
    "B": (5, 261),
    "W": (52,),
    "M": (12,),
    "Q": (4,),
}
_MAX_ROWS = 100_000  # the newest rows suffice, and bound the cost
_MIN_CYCLES = 3
_CLEAR = 0.6  # of the clearest peak
_AS_HIGH = 0.9  # of the clearest peak
_FAR = 2.0  # interquartile ranges
_TIE = 1.5  # a longer period must be clearly better than a shorter one
_SHARE_LEFT = 0.5  # of what the steps of a period differ by from cycle to cycle, where a multiple of it is the season


def calendar_periods(freq: str | None) -> tuple[int, ...]:
    """Return the periods, in rows, that the calendar suggests for a frequency of `find_freq` ('30min': 48 and 336)."""
    if freq is None:
        return ()
    step = parse_freq(freq)
    if step.unit == "week":
        return _open_periods(step)
    if step.on_business_days:
        freq = freq.removeprefix("B")
    base = freq.split("-")[0]
    digits = base.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit, count = base[len(digits) :], int(digits or 1)
    if unit == "min":
        day = 1440
        found: tuple[int, ...] = (60, day, 7 * day)
    elif unit == "s":
        found = (60, 3600, 86_400)
    else:
        key = unit if unit in _CALENDAR_PERIODS else unit[:1]
        found = _CALENDAR_PERIODS.get(key, ())
    return tuple(p // count for p in found if p % count == 0 and p // count > 1)


def _open_periods(step: Step) -> tuple[int, ...]:
    """Return the open slots of a day, if all open days have as many, and of a week; of whole days a week and a year."""
    days = Counter(slot // DAY for slot in step.slots)
    week = len(step.slots)
    if step.size == DAY:
        return tuple(p for p in (week, round(week * 365.25 / 7)) if p > 1)
    a_day = set(days.values())
    return tuple(p for p in (*(a_day if len(a_day) == 1 else ()), week) if p > 1)


def find_period(data: SeriesSet, rows: Ranges) -> int | None:
    """Return the seasonal period in rows, or None where there is no season.

    The autocorrelation of the first differences (of which a level, a trend or a random walk leaves nothing) is
    searched for local peaks that stand clear of noise, among them the calendar's periods. Of those at
    least 0.6 times as high as the highest, the winner is the one whose seasonal differences have the least mean square;
    of candidates within 50% of it the shortest. A multiple of that one wins where it costs no more and the steps repeat
    at least twice as well (a level that moves costs every period the same, and so hides which repeats best). Several
    channels and series vote with their median autocorrelation.

    Args:
        data: the series.
        rows: for each series, the rows that may be looked at (the train rows).
    """
    pieces = _pieces(data, rows)
    longest_lag = min(min((len(p) for p in pieces), default=0) // _MIN_CYCLES, 10_000)
    if longest_lag < 3:
        return None
    seen = _Autocorrelations.of(pieces, longest_lag, calendar_periods(data.freq))
    candidates = seen.candidates()
    if not candidates:
        return None
    cost = {m: float(np.median([_seasonal_cost(p, m) for p in pieces])) for m in sorted(candidates)}
    best = min(cost.values())
    winner = next(m for m, value in cost.items() if value <= _TIE * best)
    clearer = [m for m in cost if m % winner == 0 and cost[m] <= cost[winner] and seen.is_clearer(m, winner)]
    highest = max((seen.acf[m] for m in clearer), default=0.0)
    # Of multiples that repeat about as well as the best of them, the shortest.
    return next((m for m in clearer if seen.acf[m] > highest - 0.1), winner)


def _pieces(data: SeriesSet, rows: Ranges) -> list[NDArray[np.float64]]:
    """Return the values of each channel and series, of 200 at most, none shorter than half of the longest."""
    pieces: list[NDArray[np.float64]] = []
    for a, b in rows:
        if b - a >= 8:
            pieces.extend(data.values[:, max(a, b - _MAX_ROWS) : b].double().numpy())
    longest = max((len(p) for p in pieces), default=0)
    return [p for p in pieces if len(p) >= longest / 2][:200]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Autocorrelations:
    """The autocorrelation of the steps from row to row, and what of it may be chance."""

    acf: NDArray[np.float64]  # (L + 1,) at lags 0..L, the median of all series
    scatter: NDArray[np.float64]  # (L + 1,) standard deviation of the autocorrelation of differenced noise
    threshold: NDArray[np.float64]  # (L + 1,) that the highest of many lags passes by chance in few series of noise
    calendar: tuple[int, ...]  # periods that the calendar suggests

    @classmethod
    def of(cls, pieces: list[NDArray[np.float64]], longest_lag: int, calendar: tuple[int, ...]) -> Self:
        acf = np.median([_autocorrelation(_tame(np.diff(_clip(p))), longest_lag) for p in pieces], axis=0)
        scatter = 1.25 / np.sqrt(min(len(p) for p in pieces) - np.arange(longest_lag + 1))
        threshold = np.maximum(0.1, scatter * (1.5 + np.sqrt(2 * np.log(longest_lag))))
        return cls(acf=acf, scatter=scatter, threshold=threshold, calendar=calendar)

    def candidates(self) -> set[int]:
        """Return the lags that may be the period: local peaks clear of noise, and periods of the calendar."""
        acf, longest = self.acf, len(self.acf) - 1
        inner = np.arange(2, longest)
        local = (acf[inner] >= acf[inner - 1]) & (acf[inner] >= acf[inner + 1])
        peaks = inner[local & (acf[inner] > self.threshold[inner])]
        found = {int(p) for p in peaks[np.argsort(-acf[peaks])][:10]}
        if found:  # of many multiples as high as the period itself, the ten highest need not hold the period
            found |= {int(p) for p in peaks[acf[peaks] >= _AS_HIGH * acf[peaks].max()][:10]}
        found |= {p for p in self.calendar if 2 <= p < longest and acf[p] > max(0.1, 3 * self.scatter[p])}
        # A smooth series resembles itself a few rows on: the least clear peak is no season, however small its cost.
        clearest = max((acf[m] for m in found), default=0.0)
        return {m for m in found if acf[m] >= _CLEAR * clearest}

    def is_clearer(self, multiple: int, period: int) -> bool:
        """Return whether steps repeat at least twice as well after a multiple of a period as after the period."""
        # As for the periods themselves: of many multiples one is higher by chance, of the calendar's few hardly.
        chance = 2 * self.scatter[multiple] if multiple in self.calendar else self.threshold[multiple]
        gain = self.acf[multiple] - self.acf[period]
        half = 1 - self.acf[multiple] < _SHARE_LEFT * (1 - self.acf[period])
        return bool(half and gain > max(0.1, chance))


def _clip(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the most extreme thousandth, so that a handful of outliers cannot hide a season."""
    low, high = np.quantile(x, [0.001, 0.999])
    return np.clip(x, low, high)


def _tame(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut steps more than two interquartile ranges outside the quartiles, so that a few spikes cannot hide a season.

    Of normal steps that is beyond 3.4 standard deviations. Spikes that recur stay, if lower.
    """
    low, high = np.quantile(steps, [0.25, 0.75])
    reach = _FAR * (high - low)
    return np.clip(steps, low - reach, high + reach) if reach > 0 else steps


def _autocorrelation(x: NDArray[np.float64], max_lag: int) -> NDArray[np.float64]:
    """Autocorrelation of x (n,) at lags 0..max_lag, by fast Fourier transform."""
    x = x - x.mean()
    size = 1 << int(2 * len(x) - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2
    acov = np.fft.irfft(power, size)[: max_lag + 1]
    if acov[0] <= 0:
        return np.zeros(max_lag + 1)
    # Divided by the number of pairs: long lags are not shrunk towards zero.
    pairs = len(x) - np.arange(max_lag + 1)
    result: NDArray[np.float64] = (acov / pairs) / (acov[0] / len(x))
    return result


def _seasonal_cost(x: NDArray[np.float64], m: int) -> float:
    scale = np.var(np.diff(x)) or 1.0
    return float(np.mean(_tame(x[m:] - x[:-m]) ** 2) / scale)
