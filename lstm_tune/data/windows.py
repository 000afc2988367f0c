"""Windows, gathered by index from the resident tensor when a batch needs them and never kept.

Letters: B windows in a batch, X context (rows that a forecast may look at), L lookback, H horizon, C channels,
N rows, P past and F future covariates. A window is named by one number, its *position* c·N + r: channel c and the
absolute row r of its first target.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

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

    def newest(self, context: int) -> Batch:
        """Return the same windows with the newest `context` rows of their history alone."""
        older = self.history.shape[1] - context
        if not older:
            return self
        return Batch(
            history=self.history[:, older:],
            target=self.target,
            observed=self.observed,
            past=self.past[:, older:],
            future=self.future[:, older:],
            channel=self.channel,
        )


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
        stretch = int(torch.searchsorted(self._first, limit))  # the first that begins at the limit or above
        if not stretch:
            return 0
        before = int(self._ends[stretch - 2]) if stretch > 1 else 0
        return min(int(self._ends[stretch - 1]), before + limit - int(self._first[stretch - 1]))

    def tolist(self) -> list[int]:
        """Return all positions."""
        positions: list[int] = self[:].tolist()
        return positions


class Windows:
    """All windows of a set of series at one horizon, on one device."""

    def __init__(self, data: SeriesSet, horizon: int, device: torch.device | str = "cpu") -> None:
        self.data = data
        self.horizon = horizon
        self.device = torch.device(device)
        self.channels, self.rows = data.values.shape
        self._values = data.values.to(self.device).reshape(-1)
        self._observed = None if bool(data.observed.all()) else data.observed.to(self.device).reshape(-1)
        self._blind = None if self._observed is None else _blind(self._observed.cpu(), horizon)
        self._past = data.past.to(self.device)
        self._future = data.future.to(self.device)

    def cpu(self) -> Windows:
        """Return the same windows on the CPU: these themselves, if they are there."""
        return self if self.device.type == "cpu" else Windows(self.data, self.horizon)

    @property
    def holes(self) -> bool:
        """Whether any value was filled in."""
        return self._observed is not None

    def positions(self, ranges: Ranges, context: int, *, reach_back: bool) -> Positions:
        """Return the positions (n,) of all windows whose targets lie within `ranges`.

        Args:
            ranges: for each series, the absolute rows that may be targets.
            context: rows before the first target that a window needs.
            reach_back: whether the context may lie before the range (scored rows: yes, within the series; rows that
                are fitted on: no, since the range begins where the series does).

        Windows none of whose targets was observed are left out, and so are those whose context would begin before
        their series. Channel by channel, series by series, in the order of time.
        """
        stretches = []
        for s, (a, b) in enumerate(ranges):
            first = max(a, self.data.offsets[s] + context) if reach_back else a + context
            last = b - self.horizon
            if last >= first:
                stretches.append((first, last + 1))
        rows = torch.tensor(stretches, dtype=torch.int64).reshape(-1, 2)
        every = (torch.arange(self.channels)[:, None, None] * self.rows + rows).reshape(-1, 2)
        return Positions(every if self._blind is None else _without(every, self._blind), self.device)

    def sample(self, positions: Positions, most: int) -> Tensor:
        """Return about `most` evenly spaced positions (n,), as many of each channel, and one of each at least."""
        if self.channels == 1 or len(positions) <= most:
            return evenly(positions, most)
        edges = [positions.below(c * self.rows) for c in range(self.channels + 1)]
        each = max(1, most // self.channels)
        index = [a + evenly(torch.arange(b - a), each) for a, b in itertools.pairwise(edges)]
        return positions[torch.cat(index)]

    def gather(self, positions: Tensor, context: int) -> Batch:
        """Copy the windows at `positions` (B,) out of the resident tensor."""
        horizon = self.horizon
        both = self._values.unfold(0, context + horizon, 1).index_select(0, positions - context)
        observed = None
        if self._observed is not None:
            observed = self._observed.unfold(0, horizon, 1).index_select(0, positions)
        if self.channels > 1:
            channel = torch.div(positions, self.rows, rounding_mode="floor")
            row = positions - channel * self.rows
        else:
            channel, row = torch.zeros_like(positions), positions
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
