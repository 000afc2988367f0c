"""How much a series changed shortly before a window: what the width of its prediction interval follows.

Letters: n windows, C target columns, N rows, S series.
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
        self._sums = [_Changes(data, lag, self._most) for lag in self._lags]

    def before(self, channel: Tensor, row: Tensor, start: Tensor) -> Tensor:
        """Return the change (n,); NaN: no two such rows were observed.

        Args:
            channel: (n,) columns of the targets.
            row: (n,) absolute rows of the first targets; nothing from there on is looked at.
            start: (n,) rows at which their series begin.
        """
        found = torch.full(row.shape, torch.nan, dtype=torch.float64)
        for lag, changes in zip(self._lags, self._sums, strict=True):
            mean = changes.mean(channel, row, start)
            enough = (lag == 1) | (row - start > 2 * self._period)
            found = torch.where(found.isnan() & enough, mean, found)
        return found


class _Changes:
    """The changes over `lag` rows, and their mean over the `most` last ones before a row.

    A sum over rows is the difference of two sums from the first row on, but this would lose all digits of small changes
    behind large ones, of the same series or of one before it in the file. So each series is cut into blocks of `most`
    rows: a sum is one from a block's first row on, after one up to the last row of the block before.
    """

    def __init__(self, data: SeriesSet, lag: int, most: int) -> None:
        self._lag, self._most = lag, most
        self._offsets = torch.tensor(data.offsets[:-1])
        sizes = (torch.tensor(data.offsets).diff() - lag).clamp_min(0)  # changes of each series (S,)
        blocks = (sizes + most - 1) // most
        first = self._offsets + lag
        self._shift = (blocks.cumsum(0) - blocks) * most - first  # from a row to its place among the blocks (S,)
        own = torch.arange(len(sizes)).repeat_interleave(sizes)
        row = torch.arange(len(own)) - (sizes.cumsum(0) - sizes - first)[own]
        both = data.observed[:, row] & data.observed[:, row - lag]
        values = data.values.double()
        change = torch.where(both, (values[:, row] - values[:, row - lag]).abs(), 0.0)
        place, size = row + self._shift[own], max(int(blocks.sum()), 1) * most
        laid = [torch.zeros(len(values), size, dtype=torch.float64) for _ in range(2)]
        for into, what in zip(laid, (change, both.double()), strict=True):
            into[:, place] = what
        cut = [x.view(len(values), -1, most) for x in laid]
        self._upto = [x.cumsum(2).flatten(1) for x in cut]  # from the block's first row to this one
        self._from = [x.flip(2).cumsum(2).flip(2).flatten(1) for x in cut]  # from this row to the block's last one

    def mean(self, channel: Tensor, row: Tensor, start: Tensor) -> Tensor:
        """Return the mean change (n,) before rows (n,); NaN: no change is known; see `RecentChange.before`."""
        shift = self._shift[torch.searchsorted(self._offsets, start, right=True) - 1]
        low = torch.maximum(start + self._lag, row - self._most)
        none = low >= row
        first, last = (torch.where(none, 0, place + shift) for place in (low, row - 1))
        whole = first // self._most == last // self._most
        change, count = (
            upto[channel, last] + torch.where(whole, 0.0, rest[channel, first])
            for upto, rest in zip(self._upto, self._from, strict=True)
        )
        return torch.where(none | (count == 0), torch.nan, change / count)
