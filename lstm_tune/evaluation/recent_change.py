"""How much a series changed shortly before a window: what the width of its prediction interval follows.

Letters: n windows, C target columns, N rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_tune.data.series import SeriesSet

_CHANGES = 24  # that are looked at; two seasons, if these are more


class RecentChange:
    """Mean absolute change over a season in the rows before a window; from row to row before two seasons are there.

    Args:
        data: the series.
        period: rows of a season; 1: none.
    """

    def __init__(self, data: SeriesSet, period: int) -> None:
        self._period = period
        self._lags = (period, 1) if period > 1 else (1,)
        self._most = max(_CHANGES, 2 * period)
        self._sums = [_sums(data, lag) for lag in self._lags]

    def before(self, channel: Tensor, row: Tensor, start: Tensor) -> Tensor:
        """Return the change (n,); NaN: no two such rows were observed.

        Args:
            channel: (n,) columns of the targets.
            row: (n,) absolute rows of the first targets; nothing from there on is looked at.
            start: (n,) rows at which their series begin.
        """
        found = torch.full(row.shape, torch.nan, dtype=torch.float64)
        for lag, (change, count) in zip(self._lags, self._sums, strict=True):
            low = torch.maximum(start + lag, row - self._most).minimum(row)
            n = count[channel, row] - count[channel, low]
            mean = (change[channel, row] - change[channel, low]) / n
            enough = (n > 0) & ((lag == 1) | (row - start > 2 * self._period))
            found = torch.where(found.isnan() & enough, mean, found)
        return found


def _sums(data: SeriesSet, lag: int) -> tuple[Tensor, Tensor]:
    """Return the sum of the changes over `lag` rows before each row, and how many there are: (C, N + 1)."""
    values, seen = data.values.double(), data.observed
    both = seen[:, lag:] & seen[:, :-lag]
    change = torch.where(both, (values[:, lag:] - values[:, :-lag]).abs(), 0.0)
    ahead = (min(lag, values.shape[1]) + 1, 0)
    return tuple(torch.nn.functional.pad(x.double().cumsum(1), ahead) for x in (change, both))  # type: ignore[return-value]
