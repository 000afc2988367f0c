"""The container of all data: one or many series on regular grids, end to end in one tensor.

`C` target columns, `N` rows, `P` and `F` covariates known up to now and into the future, `S` series.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lstm_tune.errors import UsageError
from lstm_tune.timegrid import Times, following


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeriesSet:
    """Series on regular grids, without gaps; what was filled in is marked.

    Working units are the source's minus `origin`.
    """

    values: torch.Tensor  # (C, N) float32, contiguous, working units, filled
    observed: torch.Tensor  # (C, N) bool; False where the value was filled in
    past: torch.Tensor  # (N, P) float32 covariates known up to now, filled
    future: torch.Tensor  # (N, F) float32 covariates known into the future, filled; the calendar stands last
    offsets: tuple[int, ...]  # (S+1,) the row at which each series begins; the last is N
    times: Times  # (N,) datetime64[ns], or int64 row numbers within each series
    freq: str | None  # pandas offset alias; None: rows without time, or irregular time
    series: tuple[str, ...]  # (S,) names; "" for a single series without id
    targets: tuple[str, ...]  # (C,)
    past_names: tuple[str, ...]  # (P,)
    future_names: tuple[str, ...]  # (F,)
    origin: tuple[float, ...]  # (C,) 0.0, unless float32 would lose the variation
    path: str  # what the user named
    time_name: str | None  # None: rows without time, or a time put together from several columns
    id_name: str | None
    missing: dict[str, int]  # per target: values missing in the source
    repaired: dict[str, int]  # counted repairs, those above 0
    notes: tuple[str, ...]  # one sentence for each repair or decision
    calendar: bool  # whether `future` ends with calendar features

    @property
    def n_rows(self) -> int:
        """Number of rows N of all series."""
        return self.offsets[-1]

    @property
    def n_series(self) -> int:
        """Number of series S."""
        return len(self.series)

    @property
    def n_channels(self) -> int:
        """Number of target columns C."""
        return len(self.targets)

    def head(self, ends: Sequence[int]) -> SeriesSet:
        """Return a copy of the rows before the absolute row `ends[s]` of each series `s`; no later row is reachable.

        Raises:
            UsageError: an end that leaves its series no row, or lies beyond it.
        """
        if len(ends) != self.n_series:
            raise UsageError(f"head takes one end a series, {self.n_series}, but got {len(ends)}")
        bounds = list(zip(self.offsets[:-1], self.offsets[1:], ends, strict=True))
        for name, (start, stop, end) in zip(self.series, bounds, strict=True):
            if not start < end <= stop:
                raise UsageError(f"the end of series {name!r} must be in {start + 1}..{stop}, but is {end}")
        rows = np.concatenate([np.arange(start, end) for start, _, end in bounds])
        chosen = torch.from_numpy(rows)
        return replace(
            self,
            values=self.values[:, chosen].contiguous(),
            observed=self.observed[:, chosen].contiguous(),
            past=self.past[chosen],
            future=self.future[chosen],
            offsets=(0, *np.cumsum([end - start for start, _, end in bounds]).tolist()),
            times=self.times[rows],
        )

    def extend_times(self, steps: int) -> Times:
        """Return the (S, steps) time stamps, or row numbers, that follow each series.

        Raises:
            UsageError: less than one step.
            DataError: they lie beyond the year 2261.
        """
        if steps < 1:
            raise UsageError(f"steps must be at least 1, but is {steps}")
        bounds = itertools.pairwise(self.offsets)
        return np.stack([following(self.times[start:end], self.freq, steps) for start, end in bounds])

    def fingerprint(self) -> str:
        """Return a SHA-256 in hexadecimal over the values, marks, covariates, borders and names."""
        digest = hashlib.sha256()
        for tensor in (self.values, self.observed, self.past, self.future):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        names = (self.series, self.targets, self.past_names, self.future_names)
        digest.update(repr((self.offsets, self.origin, names)).encode())
        return digest.hexdigest()
