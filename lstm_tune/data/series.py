"""The container of all data: one or many series on regular grids, end to end in one tensor.

`C` target columns, `N` rows, `P` and `F` covariates known up to now and into the future, `S` series.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from lstm_tune.data.columns import Floats
from lstm_tune.data.even_times import EvenTimes, Ints, Times
from lstm_tune.data.number_format import NumberFormat
from lstm_tune.data.split_rule import Cut
from lstm_tune.data.time_grid import following
from lstm_tune.errors import UsageError

_FEW = 16  # ranges that are sliced one by one
STRETCH = 2**20  # values that are looked at together: bounds memory


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeriesSet:
    """Series on regular grids, without gaps; what was filled in is marked.

    Working units are the source's minus `origin`, or `covariate_origin`.
    """

    values: torch.Tensor  # (C, N) float32, contiguous, working units, filled
    observed: torch.Tensor  # (C, N) bool; False where the value was filled in; see `marks`
    past: torch.Tensor  # (N, P) float32 covariates known up to now, filled
    future: torch.Tensor  # (N, F) float32 known into the future, filled; then static ones, holidays, the calendar
    offsets: tuple[int, ...]  # (S+1,) the row at which each series begins; the last is N
    times: Times | EvenTimes  # (N,) datetime64[ns], or numbers: row numbers within each series, or counted time
    freq: str | None  # pandas offset alias, see `parse_freq`; None: rows without stamps, or irregular ones
    series: tuple[str, ...]  # (S,) names; "" for a single series without id
    targets: tuple[str, ...]  # (C,)
    past_names: tuple[str, ...]  # (P,)
    future_names: tuple[str, ...]  # (F,)
    origin: tuple[float, ...]  # (C,) 0.0, unless float32 would lose the variation
    path: str  # what the user named
    time_name: str | None  # None: rows without time, or a time put together from several columns
    id_names: tuple[str, ...]  # columns that name the series
    missing: dict[str, int]  # per target: values missing in the source
    repaired: dict[str, int]  # counted repairs, those above 0
    notes: tuple[str, ...]  # one sentence for each repair or decision
    calendar: bool  # whether `future` ends with calendar features
    holidays: str | None = None  # country of the holidays before these; None: there are none
    covariate_origin: tuple[float, ...] = ()  # as `origin`, without holidays and calendar; (): all 0
    step: float | None = None  # from row to row, if numbers count the time
    zone: str | None = None  # that times in UTC are written in; None: they are written as they are
    formats: Mapping[str, NumberFormat] = field(default_factory=dict)  # of columns of text with marks
    future_seen: torch.Tensor | None = None  # (N, own columns) bool, if rows to forecast were kept: False: filled
    cut: Cut | None = None  # how the rows were to be cut when they were loaded
    static_names: tuple[str, ...] = ()  # among `future_names`: that do not change within a series
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {covariate: its words}; codes from 1
    placed: tuple[Ints, ...] | None = None  # per series, the row of each row of the source; None: each its own
    starts: tuple[tuple[int, Floats], ...] = ()  # of a saved model: columns filled before a first value; see `refill`

    @property
    def n_rows(self) -> int:
        """Number of rows N of all series."""
        return self.offsets[-1]

    @property
    def n_series(self) -> int:
        """Number of series S."""
        return len(self.series)

    @property
    def category_sizes(self) -> tuple[int, ...]:
        """The codes of each covariate (P + F,), that of the unknown included; 0: a number; (): no category."""
        if not self.categories:
            return ()
        words = (self.categories.get(name) for name in (*self.past_names, *self.future_names))
        return tuple(0 if one is None else len(one) + 1 for one in words)

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
        ranges = [(start, end) for start, _, end in bounds]
        return replace(
            self,
            values=torch.cat([self.values[:, a:b] for a, b in ranges], dim=1),
            observed=marks(torch.cat([self.observed[:, a:b] for a, b in ranges], dim=1)),
            past=torch.cat([self.past[a:b] for a, b in ranges]),
            future=torch.cat([self.future[a:b] for a, b in ranges]),
            offsets=(0, *np.cumsum([b - a for a, b in ranges]).tolist()),
            times=_times_head(self.times, ranges),
            missing={},  # as repairs and notes, these count later rows, too
            repaired={},
            notes=(),
            future_seen=None,
            cut=None,
            placed=None,
            starts=(),
        )

    def only(self, chosen: Sequence[int]) -> SeriesSet:
        """Return some of the series, in the order of their numbers."""
        if len(chosen) == self.n_series:
            return self
        bounds = [(self.offsets[s], self.offsets[s + 1]) for s in chosen]
        rows = torch.cat([torch.arange(a, b) for a, b in bounds])
        return replace(
            self,
            values=self.values[:, rows],
            observed=marks(self.observed[:, rows]),
            past=self.past[rows],
            future=self.future[rows],
            offsets=(0, *np.cumsum([b - a for a, b in bounds]).tolist()),
            times=np.concatenate([np.asarray(self.times[a:b]) for a, b in bounds]),
            series=tuple(self.series[s] for s in chosen),
            future_seen=None,
            cut=None,
            placed=None,
            starts=(),
        )

    def with_origin(self, targets: tuple[float, ...], covariates: tuple[float, ...]) -> SeriesSet:
        """Return the same series with other origins of targets (C,) and covariates (P + F,); (): all 0."""
        n_past, own = len(self.past_names), max(len(covariates), len(self.covariate_origin))
        shift = _shift(self.origin, targets, self.n_channels)
        moved = _shift(self.covariate_origin, covariates, own)
        if not bool(shift.any() or moved.any()):
            return self
        moved = torch.nn.functional.pad(moved, (0, n_past + len(self.future_names) - own))  # holidays and calendar stay
        return replace(
            self,
            values=(self.values.double() + shift[:, None]).float() if bool(shift.any()) else self.values,
            past=(self.past.double() + moved[:n_past]).float(),
            future=(self.future.double() + moved[n_past:]).float(),
            origin=targets,
            covariate_origin=covariates,
        )

    def seen(self, channel: int, ranges: Iterable[tuple[int, int]]) -> Iterator[torch.Tensor]:
        """Yield the observed values (n,) of a channel in some rows, in order; those of `STRETCH` rows at most at once.

        There is one tensor at least, empty if nothing was observed.
        """
        for stretch in _stretches(ranges):
            if len(stretch) > _FEW:
                rows = _rows_in(stretch)
                values, there = self.values[channel, rows], self.observed[channel, rows]
                yield values if bool(there.all()) else values[there]
                continue
            kept = [self.values[channel, :0]]
            for a, b in stretch:
                values, there = self.values[channel, a:b], self.observed[channel, a:b]
                kept.append(values if bool(there.all()) else values[there])
            yield torch.cat(kept)

    def covariates(self, ranges: Iterable[tuple[int, int]]) -> Iterator[torch.Tensor]:
        """Yield past and future covariates (n, P + F) of some rows, in order, at most `STRETCH` rows at once."""
        for stretch in _stretches(ranges):
            yield torch.cat([torch.cat([self.past[a:b], self.future[a:b]], dim=1) for a, b in stretch])

    def extend_times(self, steps: int) -> Times:
        """Return the (S, steps) time stamps, or row numbers, that follow each series.

        Raises:
            UsageError: less than one step.
            DataError: they lie beyond the year 2261.
        """
        if steps < 1:
            raise UsageError(f"steps must be at least 1, but is {steps}")
        if isinstance(self.times, EvenTimes) and self.times.dtype.kind != "M":
            return self.times.following(steps)
        bounds = itertools.pairwise(self.offsets)
        least = 2 if isinstance(self.times, EvenTimes) else self.n_rows  # two even times tell as much as all
        return np.stack([following(self.times[max(a, b - least) : b], self.freq, steps) for a, b in bounds])

    def fingerprint(self, *, times: bool = True) -> str:
        """Return a SHA-256 in hexadecimal over the values, marks, covariates, borders, names and time stamps.

        Args:
            times: whether the time stamps count; in fingerprints of old versions they do not.
        """
        digest = hashlib.sha256()
        if times:
            for start in range(0, self.n_rows, STRETCH):
                digest.update(np.ascontiguousarray(self.times[start : start + STRETCH]).view(np.int64).data)
        for tensor in (self.values, self.observed, self.past, self.future):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        names = (self.series, self.targets, self.past_names, self.future_names)
        digest.update(repr((self.offsets, self.origin, names)).encode())
        if any(self.covariate_origin):  # absent in fingerprints of old versions, which subtracted nothing
            digest.update(repr(self.covariate_origin).encode())
        if self.categories:
            digest.update(repr(sorted(self.categories.items())).encode())
        return digest.hexdigest()

    def has_fingerprint(self, kept: str) -> bool:
        """Return whether a fingerprint, possibly of an old version, is that of these series."""
        return kept in (self.fingerprint(), self.fingerprint(times=False))


def _shift(old: Sequence[float], new: Sequence[float], count: int) -> torch.Tensor:
    """Return by how much values grow (count,) if `new` is subtracted in place of `old`; either may be (): all 0."""
    before, after = (torch.tensor(origin or (0.0,) * count, dtype=torch.float64) for origin in (old, new))
    return before - after


def _rows_in(stretch: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Return the rows (n,) of many ranges, in order."""
    start, end = np.asarray(stretch, dtype=np.int64).T
    lengths = end - start
    before = np.cumsum(lengths) - lengths
    return torch.from_numpy(np.repeat(start - before, lengths) + np.arange(int(lengths.sum())))


def _stretches(ranges: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Group row ranges, in order, into stretches of at most `STRETCH` rows, none but the only one empty."""
    stretch, rows = [(0, 0)], 0
    for start, end in ranges:
        for a in range(start, end, STRETCH):
            b = min(a + STRETCH, end)
            if rows + b - a > STRETCH:
                yield stretch
                stretch, rows = [], 0
            stretch.append((a, b))
            rows += b - a
    yield stretch


def _times_head(times: Times | EvenTimes, ranges: Sequence[tuple[int, int]]) -> Times | EvenTimes:
    """Return the times of the first rows of each series."""
    if isinstance(times, EvenTimes):
        return times.head([b - a for a, b in ranges])
    return np.concatenate([times[a:b] for a, b in ranges])


def marks(observed: torch.Tensor) -> torch.Tensor:
    """Return marks (C, N) that take no memory where all are True: one element, seen N times."""
    return torch.ones((), dtype=torch.bool).expand(observed.shape) if bool(observed.all()) else observed


def mean_and_sd(parts: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation along the first axis of float64 parts (n, …), as if they were one tensor.

    Merged as Chan, Golub and LeVeque (1983) do. Parts without rows are passed over; of no rows at all, both are NaN.
    """
    count, mean, variance = 0, torch.tensor(torch.nan), torch.tensor(torch.nan)
    for part in parts:
        if not len(part):
            continue
        own_mean, own_variance = part.mean(0), part.var(0, correction=0)
        if count:
            share = len(part) / (count + len(part))
            gap = own_mean - mean
            mean = mean + share * gap
            variance = variance + share * (own_variance - variance) + share * (1 - share) * gap**2
        else:
            mean, variance = own_mean, own_variance
        count += len(part)
    return mean, variance.sqrt()
