"""Windows, gathered by index from the resident tensor when a batch needs them and never kept.

Letters: B windows in a batch, X context (rows that a forecast may look at), L lookback, H horizon, C channels, N rows,
S series, P past and F future covariates. A window is named by one number, its *position* c·N + r: channel c and the
absolute row r of its first target.

Among several series some are short. A window that would begin before its series is continued into the past: by the
oldest season again and again, or, if the rows before the first target hold no whole season, by the oldest row.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What a forecaster sees (`history`, `past`, `future`, `channel`) and what it is scored on (`target`)."""

    history: Tensor  # (B, X) the rows before the first target, working units
    target: Tensor  # (B, H)
    observed: Tensor | None  # (B, H) bool; None: every target was observed
    past: Tensor  # (B, X, P)
    future: Tensor  # (B, X + H, F)
    channel: Tensor  # (B,) int64
    group: Tensor  # (B,) int64: channel · S + series; that of a single series is the channel

    def newest(self, context: int) -> Batch:
        """Return the same windows with the newest `context` rows of their history alone."""
        older = self.history.shape[1] - context
        if not older:
            return self
        return replace(self, history=self.history[:, older:], past=self.past[:, older:], future=self.future[:, older:])


class Positions:
    """The positions of n windows, kept as stretches of consecutive numbers: rows cost no memory, only holes do.

    Takes `len`, and a slice or a tensor of int64 as index, as a tensor (n,) would; what comes out is a tensor.

    Args:
        stretches: (K, 2) int64 [first, end) of each, in the order of the windows.
        device: that the positions are wanted on.
    """

    def __init__(self, stretches: Tensor, device: torch.device | str = "cpu") -> None:
        self._first = stretches[:, 0].contiguous()
        self._ends = (stretches[:, 1] - self._first).cumsum(0)  # windows up to and with each stretch
        self._count = int(self._ends[-1]) if len(self._ends) else 0
        self._device = torch.device(device)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        if isinstance(which, slice):
            start, stop, _ = which.indices(self._count)
            index = torch.arange(start, max(start, stop))
        else:
            index = which.cpu()
        stretch = torch.searchsorted(self._ends, index, right=True)
        before = torch.nn.functional.pad(self._ends, (1, 0))[stretch]
        return (self._first[stretch] + (index - before)).to(self._device)

    def below(self, limit: int) -> int:
        """Return how many positions of ascending stretches are below `limit`."""
        return int(self.below_each(torch.tensor([limit])))

    def below_each(self, limits: Tensor) -> Tensor:
        """Return how many positions of ascending stretches are below each of some limits (n,)."""
        if not self._count:
            return torch.zeros_like(limits)
        stretch = torch.searchsorted(self._first, limits)  # the first that begins at the limit or above
        last = (stretch - 1).clamp_min(0)  # that begins below it
        before = torch.nn.functional.pad(self._ends, (1, 0))[last]
        return torch.where(stretch > 0, torch.minimum(self._ends[last], before + limits - self._first[last]), 0)

    def tolist(self) -> list[int]:
        """Return all positions."""
        positions: list[int] = self[:].tolist()
        return positions


class Windows:
    """All windows of a set of series at one horizon, on one device.

    Args:
        data: the series.
        horizon: H.
        device: that holds them.
        period: rows in a season, by which short series are continued into the past; 1: there is none.
    """

    def __init__(
        self, data: SeriesSet, horizon: int, device: torch.device | str = "cpu", period: int | None = None
    ) -> None:
        self.data = data
        self.horizon = horizon
        self.device = torch.device(device)
        self.period = period or 1
        self.channels, self.rows = data.values.shape
        self._values = data.values.to(self.device).reshape(-1)
        self._observed = None if bool(data.observed.all()) else data.observed.to(self.device).reshape(-1)
        self._blind = None if self._observed is None else _blind(self._observed.cpu(), horizon)
        self._past = data.past.to(self.device)
        self._future = data.future.to(self.device)
        self._offsets = torch.tensor(data.offsets, device=self.device)
        self._continues = data.n_series > 1

    def cpu(self) -> Windows:
        """Return the same windows on the CPU: these themselves, if they are there."""
        return self if self.device.type == "cpu" else Windows(self.data, self.horizon, period=self.period)

    def with_period(self, period: int | None) -> Windows:
        """Return the same windows, short series continued by seasons of so many rows; no values are copied."""
        other = copy.copy(self)
        other.period = period or 1
        return other

    def continued(self) -> Windows:
        """Return the same windows, a single series continued into the past, too; no values are copied."""
        other = copy.copy(self)
        other._continues = True
        return other

    @property
    def holes(self) -> bool:
        """Whether any value was filled in."""
        return self._observed is not None

    @property
    def groups(self) -> int:
        """Number of pairs of channel and series, C · S."""
        return self.channels * self.data.n_series

    def positions(self, ranges: Ranges, context: int, *, reach_back: bool) -> Positions:
        """Return the positions (n,) of all windows whose targets lie within `ranges`.

        Args:
            ranges: for each series, the absolute rows that may be targets.
            context: rows before the first target that a window needs.
            reach_back: whether the context may lie before the range (scored rows: yes, within the series; rows that
                are fitted on: no, since the range begins where the series does).

        Windows none of whose targets was observed are left out, and so are those whose context would begin before
        their series. Among several series, a short one needs less context: half of its rows to fit on, or as many rows
        as leave room for one window to score; a row at least. Channel by channel, series by series, in the order of
        time.
        """
        begin, end = torch.tensor(ranges, dtype=torch.int64).reshape(-1, 2).T
        start = torch.tensor(self.data.offsets[: len(begin)]) if reach_back else begin
        needed = torch.full_like(begin, context)
        if self.data.n_series > 1:
            most = end - start - self.horizon
            least = 1 if reach_back or context else 0
            needed = torch.minimum(needed, most if reach_back else most // 2).clamp_min(least)
        first = torch.maximum(begin, start + needed)
        rows = torch.stack([first, end - self.horizon + 1], dim=1)
        rows = rows[rows[:, 1] > rows[:, 0]]
        every = (torch.arange(self.channels)[:, None, None] * self.rows + rows).reshape(-1, 2)
        return Positions(every if self._blind is None else _without(every, self._blind), self.device)

    def counts(self, positions: Positions) -> Tensor:
        """Return how many of the positions, in ascending stretches, belong to each channel and series: (C, S)."""
        channels = torch.arange(self.channels)[:, None] * self.rows
        offsets = torch.tensor(self.data.offsets)
        return positions.below_each((channels + offsets).reshape(-1)).reshape(self.channels, -1).diff(dim=1)

    def sample(self, positions: Positions, most: int) -> Tensor:
        """Return about `most` evenly spaced positions (n,), as many of each channel and series that has any.

        Of each channel there is one at least; if there are more series than that, evenly spaced ones are chosen.
        """
        if self.groups == 1 or len(positions) <= most:
            return evenly(positions, most)
        counts = self.counts(positions)
        ends = counts.reshape(-1).cumsum(0).reshape(counts.shape)
        index = [_sample(n, end - n, max(1, most // self.channels)) for n, end in zip(counts, ends, strict=True)]
        return positions[torch.cat(index)]

    def gather(self, positions: Tensor, context: int) -> Batch:
        """Copy the windows at `positions` (B,) out of the resident tensor."""
        if self.channels > 1:
            channel = torch.div(positions, self.rows, rounding_mode="floor")
            row = positions - channel * self.rows
        else:
            channel, row = torch.zeros_like(positions), positions
        if not self._continues:
            return self._gather(positions, row, context, channel, channel)
        series = torch.searchsorted(self._offsets, row, right=True) - 1
        group, begin = channel * self.data.n_series + series, self._offsets[series]
        if bool((row - begin < context).any()):
            return self._continue(positions, row, begin, context, channel, group)
        return self._gather(positions, row, context, channel, group)

    def _gather(self, positions: Tensor, row: Tensor, context: int, channel: Tensor, group: Tensor) -> Batch:
        horizon = self.horizon
        both = self._values.unfold(0, context + horizon, 1).index_select(0, positions - context)
        observed = None
        if self._observed is not None:
            observed = self._observed.unfold(0, horizon, 1).index_select(0, positions)
        # unfold puts the window last: (n, P, X); the model wants time before features
        if self._past.shape[1]:
            past = self._past.unfold(0, context, 1).index_select(0, row - context).transpose(1, 2)
        else:
            past = self._values.new_empty((len(positions), context, 0))
        if self._future.shape[1]:
            future = self._future.unfold(0, context + horizon, 1).index_select(0, row - context).transpose(1, 2)
        else:
            future = self._values.new_empty((len(positions), context + horizon, 0))
        return Batch(
            history=both[:, :context],
            target=both[:, context:],
            observed=observed,
            past=past,
            future=future,
            channel=channel,
            group=group,
        )

    def _continue(
        self, positions: Tensor, row: Tensor, begin: Tensor, context: int, channel: Tensor, group: Tensor
    ) -> Batch:
        """Gather windows some of which begin before their series, row by row."""
        before = continued_rows(begin, row, context, self.period)
        after = row[:, None] + torch.arange(self.horizon, device=self.device)
        shift = (positions - row)[:, None]
        return Batch(
            history=self._values[before + shift],
            target=self._values[after + shift],
            observed=None if self._observed is None else self._observed[after + shift],
            past=self._past[before],
            future=self._future[torch.cat([before, after], dim=1)],
            channel=channel,
            group=group,
        )

    def observed(self, positions: Tensor) -> Tensor:
        """Return which targets of the windows at `positions` (B,) were observed: (B, H) bool."""
        if self._observed is None:
            return torch.ones((len(positions), self.horizon), dtype=torch.bool, device=self.device)
        return self._observed.unfold(0, self.horizon, 1).index_select(0, positions)

    def batches(self, positions: Positions | Tensor, context: int, size: int) -> Iterator[Batch]:
        """Yield the windows at `positions` in order, at most `size` at a time."""
        for start in range(0, len(positions), size):
            yield self.gather(positions[start : start + size], context)


def continued_rows(begin: Tensor, end: Tensor, context: int, period: int) -> Tensor:
    """Return the rows (B, X) that stand for the `context` rows before row `end` (B,) of series that start at `begin`.

    Before its beginning a series is continued by its first season again and again, or, if it has no whole season
    before `end`, by its first row.
    """
    rows = end[:, None] + torch.arange(-context, 0, device=end.device)
    begin, season = begin[:, None], torch.where(end - begin >= period, period, 1)[:, None]
    return torch.where(rows >= begin, rows, begin + (rows - begin) % season)


def _sample(counts: Tensor, before: Tensor, most: int) -> Tensor:
    """Return the numbers of about `most` windows, as many of each series, given (S,) windows and those before them."""
    having = counts.nonzero()[:, 0]
    if len(having) <= 1:
        return before[having].sum() + evenly(torch.arange(int(counts.sum())), most)
    chosen = evenly(having, most)
    n = counts[chosen]
    each = torch.minimum(n, torch.tensor(max(1, most // max(1, len(chosen)))))
    within = torch.arange(int(each.sum())) - torch.repeat_interleave(each.cumsum(0) - each, each)
    n, each, first = (torch.repeat_interleave(x, each) for x in (n, each, before[chosen]))
    # Of a single window of each series, one here is early and another late.
    place = torch.where(each > 1, within * (n - 1) // (each - 1).clamp_min(1), torch.arange(len(n)) * 7919 % n)
    return first + place


def evenly(x: Positions | Tensor, most: int) -> Tensor:
    """Return at most `most` evenly spaced elements of x (n,)."""
    if len(x) <= most:
        return x[:]
    exact = torch.float32 if len(x) <= 2**24 else torch.float64  # float32 does not tell larger numbers apart
    return x[torch.linspace(0, len(x) - 1, most, dtype=exact).long()]


def _blind(observed: Tensor, horizon: int) -> Tensor:
    """Return the stretches (K, 2) of first targets from which on `horizon` values were not observed."""
    edge = torch.zeros(1, dtype=torch.bool)
    missing = torch.cat([edge, ~observed, edge])
    turns = (missing[1:] != missing[:-1]).nonzero().reshape(-1, 2)  # each run of missing values: [first, end)
    return torch.stack([turns[:, 0], turns[:, 1] - horizon + 1], dim=1)[turns[:, 1] - turns[:, 0] >= horizon]


def _without(stretches: Tensor, holes: Tensor) -> Tensor:
    """Return what is left of stretches (K, 2) when holes (J, 2), in ascending order, are taken out."""
    if not len(holes):
        return stretches
    parts = []
    low = torch.searchsorted(holes[:, 1].contiguous(), stretches[:, 0].contiguous(), right=True).tolist()
    high = torch.searchsorted(holes[:, 0].contiguous(), stretches[:, 1].contiguous()).tolist()
    for (first, end), i, j in zip(stretches.tolist(), low, high, strict=True):
        inner = holes[i:j]  # those that overlap the stretch
        borders = torch.cat([torch.tensor([first]), inner.reshape(-1), torch.tensor([end])]).reshape(-1, 2)
        parts.append(borders[borders[:, 1] > borders[:, 0]])
    return torch.cat(parts) if parts else stretches
