"""One target column of one series, with what the tests of its level, values and signal have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lstm_tune.diagnosis import stationarity
from lstm_tune.diagnosis.predictability import Signal, estimate_signal

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEWEST = 20_000  # rows that costly tests look at


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One target column of one series, with what the tests need to know."""

    target: str
    series: str  # "" where there is one alone
    values: Floats  # (n,) raw units, filled: train, validation and test rows
    observed: Bools  # (n,) False where the value was filled in
    train: int  # rows; the validation rows follow
    val: int  # rows; the rest are test rows
    horizon: int
    period: int | None = None
    dated: bool = False  # whether there are regular time stamps
    year: float | None = None  # rows a year, where the time stamps tell and there are years enough
    tracks: int = 1  # that are looked at: the more, the less one of them may be due to chance

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
        """The values (n,) without their season, and without that of a year."""
        x = stationarity.without_season(self.values, self.period)
        return stationarity.without_year(x, self.year) if self.year else x

    @cached_property
    def level(self) -> stationarity.Level | None:
        """Whether the level of train and validation rows moves."""
        x = stationarity.without_year(self.values, self.year) if self.year else self.values
        return stationarity.examine_level(x[self.development][-NEWEST:], self.period)

    @property
    def moves(self) -> bool:
        """Whether the level wanders or trends."""
        return self.level is not None and (self.level.wanders or self.level.trends)

    @property
    def may_move(self) -> bool:
        """Whether the level moves, or cannot be told from one that does."""
        return self.moves or (self.level is not None and self.level.may_wander)

    @cached_property
    def signal(self) -> Signal | None:
        """How much of train and validation rows their past explains."""
        rows = self.development
        return estimate_signal(without_outliers(self.values[rows]), self.observed[rows], self.horizon, self.period)

    @property
    def varies(self) -> bool:
        """Whether the season leaves anything that a test could look at."""
        return float(np.var(self.seen(self.seasonless, "train"))) > 1e-6 * float(
            np.var(self.seen(self.values, "train"))
        )

    def seen(self, x: Floats, part: str) -> Floats:
        """Return the rows of x (n,) in a part in which a value was observed."""
        rows = self.parts[part]
        return x[rows][self.observed[rows]]


def without_outliers(x: Floats) -> Floats:
    """Return x (n,) with what lies more than six interquartile ranges outside the quartiles cut off."""
    if len(x) < 8:
        return x
    low, high = np.quantile(x, [0.25, 0.75])
    reach = 6 * (high - low)
    return np.clip(x, low - reach, high + reach) if reach > 0 else x
