"""One target column of one series, with what the checks of its level, values and signal have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.diagnosis import stationarity
from lstm_tune.diagnosis.predictability import Signal, estimate_signal
from lstm_tune.training.task import Task

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
T = TypeVar("T")

NEWEST = 20_000  # rows that expensive tests look at
MOST_CHANNELS = 200  # that are looked at one by one, evenly spaced
_DAYS_A_YEAR = 365.25
_WILD = 1000  # interquartile ranges from the median beyond which a value is no measurement
_IQR_REACH = 6  # interquartile ranges outside the quartiles beyond which a value is cut off


@dataclass(frozen=True, kw_only=True, eq=False)
class Channel:
    """One target column of one series; n rows in time order."""

    target: str
    series: str  # "" if there is only one
    values: Floats  # (n,) raw units, filled: train, validation and test rows
    observed: Bools  # (n,) False if the value was filled in
    train: int  # rows; the validation rows follow
    val: int  # rows; the rest are test rows
    horizon: int
    period: int | None = None
    year: float | None = None  # rows a year, if the time stamps span enough years
    channels: int = 1  # that are looked at: the more, the more often one of them is unusual by chance

    @classmethod
    def cut(
        cls,
        data: SeriesSet,
        target: int,
        series: int,
        borders: tuple[int, int, int, int],
        *,
        horizon: int,
        period: int | None,
        year: float | None = None,
        channels: int,
    ) -> Self:
        """Return a target of a series between absolute rows: where its parts begin, and where the last one ends.

        Args:
            data: the series.
            target: its number.
            series: its number.
            borders: first train row, first validation row, first test row, and the row after the last one.
            horizon: rows that a forecast covers.
            period: rows in a season; None: there is none.
            year: rows a year, if the time stamps span enough years.
            channels: that are looked at.
        """
        start, val, test, end = borders
        return cls(
            target=data.targets[target],
            series=data.series[series],
            values=data.values[target, start:end].double().numpy() + data.origin[target],
            observed=data.observed[target, start:end].numpy(),
            train=val - start,
            val=test - val,
            horizon=horizon,
            period=period,
            year=year,
            channels=channels,
        )

    @property
    def development(self) -> slice:
        """Train and validation rows."""
        return slice(0, self.train + self.val)

    @property
    def parts(self) -> dict[str, slice]:
        """The rows of each part."""
        border = self.train + self.val
        return {"train": slice(0, self.train), "validation": slice(self.train, border), "test": slice(border, None)}

    @cached_property
    def seasonless(self) -> Floats:
        """The values (n,) without their season, and without that of a year; a wild value has no say in these."""
        tame = _without_wild(self.values)
        x = stationarity.without_season(tame, self.period)
        return (stationarity.without_year(x, self.year) if self.year else x) + (self.values - tame)

    @cached_property
    def level(self) -> stationarity.Level | None:
        """Whether the level of train and validation rows moves."""
        x = stationarity.without_year(self.values, self.year) if self.year else self.values
        return stationarity.examine_level(x[self.development][-NEWEST:], self.period)

    @property
    def moves(self) -> bool:
        """Whether the level wanders or follows a trend."""
        return self.level is not None and (self.level.wanders or self.level.trends)

    @property
    def may_move(self) -> bool:
        """Whether the level moves, or cannot be distinguished from one that does."""
        return self.moves or (self.level is not None and self.level.may_wander)

    @cached_property
    def signal(self) -> Signal | None:
        """How much of train and validation rows their past explains."""
        rows = self.development
        return estimate_signal(without_outliers(self.values[rows]), self.observed[rows], self.horizon, self.period)

    @property
    def varies(self) -> bool:
        """Whether the season leaves anything that a test could look at."""
        left, whole = (float(np.var(self.seen(x, "train"))) for x in (self.seasonless, self.values))
        return left > 1e-6 * whole

    def seen(self, x: Floats, part: str) -> Floats:
        """Return the rows of x (n,) in a part in which a value was observed."""
        rows = self.parts[part]
        return x[rows][self.observed[rows]]


def evenly_chosen(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of the items, evenly spaced."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)]


def channels_of(series: SeriesSet, parts: Split, task: Task) -> list[Channel]:
    """Return at most `MOST_CHANNELS` target columns of series, evenly spaced, each with its rows.

    Series that are too short to be trained and validated on show nothing to a check.
    """
    horizon, both = task.shape.horizon, zip(parts.train, parts.val, strict=True)
    whole = [s for s, ((a, b), (c, d)) in enumerate(both) if b - a >= horizon + 2 and d - c >= horizon]
    every = [(c, s) for s in whole for c in range(series.n_channels)]
    chosen = evenly_chosen(every, MOST_CHANNELS)
    year = _rows_a_year(series)
    channels = []
    for c, s in chosen:
        (a, b), (_, d), (_, e) = parts.train[s], parts.val[s], parts.test[s]
        channels.append(
            Channel.cut(
                series,
                c,
                s,
                (a, b, d, e),
                horizon=task.shape.horizon,
                period=task.period,
                year=year if year and e - a >= stationarity.YEARS * year else None,
                channels=len(chosen),
            )
        )
    return channels


def _rows_a_year(series: SeriesSet) -> float | None:
    """Return the rows a year, if there is a frequency and more than 50 of them."""
    if series.freq is None or series.n_rows < 2 or not isinstance(series.times[0], np.datetime64):
        return None
    end = series.offsets[1]
    days = float((series.times[end - 1] - series.times[0]) / np.timedelta64(1, "D"))
    rows = (end - 1) / days * _DAYS_A_YEAR if days > 0 else 0.0
    return rows if rows > 50 else None


def without_outliers(x: Floats) -> Floats:
    """Return x (n,) with everything cut off that lies more than six interquartile ranges outside the quartiles."""
    if len(x) < 8:
        return x
    low, high = np.quantile(x, [0.25, 0.75])
    reach = _IQR_REACH * (high - low)
    return np.clip(x, low - reach, high + reach) if reach > 0 else x


def _without_wild(x: Floats) -> Floats:
    """Return x (n,) with the median in place of values such as 1e20 among others near 5."""
    if len(x) < 8:
        return x
    low, median, high = np.quantile(x, [0.25, 0.5, 0.75])
    wild = np.abs(x - median) > _WILD * (high - low)
    return np.where(wild, median, x) if high > low else x
