"""Windows, gathered by index from the resident tensor when a batch needs them and never kept.

Letters: B windows in a batch, X context (rows that a forecast may look at), L lookback, H horizon, C channels,
N rows, P past and F future covariates. A window is named by one number, its *position* c·N + r: channel c and the
absolute row r of its first target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.series import SeriesSet
from lstm_tune.split import Ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What a forecaster sees (`history`, `past`, `future`, `channel`) and what it is scored on (`target`)."""

    history: Tensor  # (B, X) the rows before the first target, working units
    target: Tensor  # (B, H)
    observed: Tensor | None  # (B, H) bool; None: every target was observed
    past: Tensor  # (B, X, P)
    future: Tensor  # (B, X + H, F)
    channel: Tensor  # (B,) int64


class Windows:
    """All windows of a set of series at one horizon, on one device."""

    def __init__(self, data: SeriesSet, horizon: int, device: torch.device | str = "cpu") -> None:
        self.data = data
        self.horizon = horizon
        self.device = torch.device(device)
        self.channels, self.rows = data.values.shape
        self._values = data.values.to(self.device).reshape(-1)
        self._observed = None if bool(data.observed.all()) else data.observed.to(self.device).reshape(-1)
        self._past = data.past.to(self.device)
        self._future = data.future.to(self.device)

    def positions(self, ranges: Ranges, context: int, *, reach_back: bool) -> Tensor:
        """Return the positions (n,) of all windows whose targets lie within `ranges`.

        Args:
            ranges: for each series, the absolute rows that may be targets.
            context: rows before the first target that a window needs.
            reach_back: whether the context may lie before the range (scored rows: yes, within the series; rows that
                are fitted on: no, since the range begins where the series does).

        Windows none of whose targets was observed are left out, and so are those whose context would begin before
        their series. Channel by channel, series by series, in the order of time.
        """
        starts = []
        for s, (a, b) in enumerate(ranges):
            first = max(a, self.data.offsets[s] + context) if reach_back else a + context
            last = b - self.horizon
            if last >= first:
                starts.append(torch.arange(first, last + 1))
        rows = torch.cat(starts) if starts else torch.empty(0, dtype=torch.int64)
        every = (torch.arange(self.channels)[:, None] * self.rows + rows).reshape(-1).to(self.device)
        if self._observed is None or not len(every):
            return every
        return every[self._observed.unfold(0, self.horizon, 1).any(dim=1)[every]]

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

    def batches(self, positions: Tensor, context: int, size: int) -> Iterator[Batch]:
        """Yield the windows at `positions` in order, at most `size` at a time."""
        for chunk in torch.split(positions, size):
            yield self.gather(chunk, context)


def evenly(x: Tensor, most: int) -> Tensor:
    """Return at most `most` evenly spaced elements of x (n,)."""
    return x if len(x) <= most else x[torch.linspace(0, len(x) - 1, most).long().to(x.device)]
