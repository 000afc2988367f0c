"""Prediction intervals by split conformal prediction.

The width is the order statistic of the absolute errors that forecasts made on rows which their model was not fitted on
(Vovk, Gammerman and Shafer 2005; Lei et al. 2018): of n errors the one of rank ⌈(n + 1) · level⌉, for each target and
step. Among several series each error counts in units of its series' own scale, and all series that
change are pooled.

Series change their ways. So errors of older blocks weigh less (Barber et al. 2023), each block half of the next newer
one, and each error counts in units of the root of how much the series changed shortly before (Papadopoulos, Gammerman
and Vovk 2008): the root, as recent changes tell the spread to come only in part. See `RecentChange`.

Letters: n windows, H horizon, C target columns, S series, Q levels that are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.own_scale import SeriesStatistics, own_scale
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.recent_change import RecentChange
from lstm_tune.evaluation.score import Forecaster, forecast_all

Floats = NDArray[np.float64]
_KEPT = (*(q / 100 for q in range(1, 100)), 0.995, 0.999)
_DIGITS = 12  # of the ends of an interval: without the noise of an addition
AGEING = 0.5  # weight of a block over that of the next newer one
_POWER = 0.5  # of recent change over the usual one, by which a width grows
_LEAST = 0.1  # of the usual change: a flat stretch makes no interval of no width
_CHUNK = 8_192  # windows that are looked at together


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Intervals:
    """How far forecasts were off, on rows that their model was not fitted on.

    Attributes:
        windows: n, errors behind each width: the fewest of any target and step.
        levels: (Q,) ascending, between 0 and 1.
        widths: (C, H, Q) half the width of an interval of each level, in working units or, with `own_scale`, in units
            of the series' own scale.
        own_scale: whether errors count in units of the series' own scale; see `scales_of`.
        folds: blocks that the errors come from.
        share: of the rows of a series that one block takes.
        usual: (C,) mean `RecentChange` before the windows, in the unit of the widths: what they are the widths at.
            (): of a model of an earlier version; the widths are always the same.
    """

    windows: int
    levels: tuple[float, ...]
    widths: Tensor
    own_scale: bool
    folds: int
    share: float
    usual: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        if self.widths.ndim != 3 or self.widths.shape[2] != len(self.levels) or not self.levels:
            raise ValueError("intervals: there must be a width for each level")
        if list(self.levels) != sorted(set(self.levels)) or not 0 < self.levels[0] <= self.levels[-1] < 1:
            raise ValueError("intervals: levels must ascend, between 0 and 1")
        if self.windows < 1 or self.folds < 1 or not 0 < self.share < 1:
            raise ValueError("intervals: windows and folds must be 1 at least, and share between 0 and 1")
        if self.usual and (len(self.usual) != len(self.widths) or min(self.usual) <= 0):
            raise ValueError("intervals: there must be a usual change above 0 for each target")

    def units(self, at: Placed) -> Tensor:
        """Return what the widths of the intervals of windows are multiplied by (n,)."""
        if not self.usual:
            return at.scale
        usual = torch.tensor(self.usual, dtype=torch.float64)[at.channel]
        return at.scale * _growth(at.change / at.scale / usual)

    def half_width(self, level: float) -> Tensor:
        """Return half the width (C, H) of the intervals of a level in percent.

        Raises:
            UsageError: the windows behind the errors are too few for it.
        """
        check_levels((level,), self.windows)
        kept = next((i for i, q in enumerate(self.levels) if q >= level / 100 - 1e-9), len(self.levels) - 1)
        return self.widths[:, :, kept]


def windows_needed(level: float) -> int:
    """Return how many errors the intervals of a level in percent take: as many as the rank ⌈(n + 1) · level⌉."""
    return math.ceil(level / (100 - level) - 1e-9)


def check_levels(levels: Sequence[float], windows: int) -> None:
    """Refuse levels that so many windows cannot give.

    Raises:
        UsageError: names the level, and how many windows it needs.
    """
    for level in levels:
        if windows_needed(level) > windows:
            raise UsageError(
                f"level {level_name(level)} needs {windows_needed(level)} windows to be calibrated on, "
                f"but there are {windows}; tune on more rows, or ask for less"
            )


def series_scales(data: SeriesSet, rows: Ranges, period: int) -> Tensor:
    """Return the scale (C, S) of each target of each series: its mean change over a season, in some rows.

    NaN: of a series without two observed rows a season apart, or without any change.

    Args:
        data: the series.
        rows: of each series.
        period: rows of a season; 1: there is none.
    """
    scales = torch.full((data.n_channels, data.n_series), torch.nan, dtype=torch.float64)
    for s, (start, end) in enumerate(rows):
        lag = period if end - start > period else 1
        values, seen = data.values[:, start:end].double(), data.observed[:, start:end]
        change = (values[:, lag:] - values[:, :-lag]).abs()
        both = seen[:, lag:] & seen[:, :-lag]
        scales[:, s] = torch.where(both, change, 0.0).sum(1) / both.sum(1)
    return torch.where(scales > 0, scales, torch.nan)


def scales_of(data: SeriesSet, rows: Ranges, period: int, spread: Floats | None = None) -> Tensor:
    """Return what errors are divided by, (C, S): `series_scales` if there are several series, else 1.

    A series without any change counts in units of its own spread: no other series of the data widens its intervals.

    Args:
        data: the series.
        rows: of each series.
        period: rows of a season; 1: there is none.
        spread: (C, S) of each series; None: `own_scale` of these rows.
    """
    if data.n_series == 1 and spread is None:
        return torch.ones(data.n_channels, 1, dtype=torch.float64)
    scales = series_scales(data, rows, period)
    if scales.isnan().any():
        spread = own_scale(SeriesStatistics.of(data, rows)).spread if spread is None else spread
        scales = torch.where(scales.isnan(), torch.from_numpy(spread), scales)
    return scales


def pooled_scales(data: SeriesSet, rows: Ranges, period: int) -> Tensor:
    """Return `scales_of`, but NaN for series without any change if another one has some.

    Their errors are next to nothing and tell nothing of the others: pooled, they would make all intervals narrower.
    """
    scales = scales_of(data, rows, period)
    if data.n_series == 1:
        return scales
    changes = series_scales(data, rows, period)
    return torch.where(changes.isfinite().any(1, keepdim=True), changes, scales)


def _growth(relative: Tensor) -> Tensor:
    """Return what widths grow by (n,), given recent change over the usual one; NaN: it is not known, and taken as 1."""
    return relative.nan_to_num(1.0).clamp_min(_LEAST) ** _POWER


@dataclass(slots=True)
class ErrorPool:
    """Collects absolute errors, block by block, the newest first, and makes intervals of them."""

    own_scale: bool
    folds: int
    share: float
    _errors: list[Tensor] = field(default_factory=list)  # (n, H), NaN: not observed
    _channels: list[Tensor] = field(default_factory=list)  # (n,)
    _changes: list[Tensor] = field(default_factory=list)  # (n,) before the windows, as the errors over the scale
    _weights: list[Tensor] = field(default_factory=list)  # (n,)
    _blocks: int = 0

    def add(
        self, forecaster: Forecaster, windows: Windows, positions: Positions, scales: Tensor, change: RecentChange
    ) -> None:
        """Add the errors of a forecaster on the windows (n,) of a block, in units of `scales` (C, S); NaN: none."""
        for some, forecast, target in forecasts_by_chunk(forecaster, windows, positions):
            at = placed(windows, some, scales, change)
            self._errors.append((forecast - target).abs() / at.scale[:, None])
            self._channels.append(at.channel)
            self._changes.append(at.change / at.scale)
            self._weights.append(torch.full(at.scale.shape, AGEING**self._blocks, dtype=torch.float64))
        self._blocks += 1

    def intervals(self) -> Intervals:
        """Return the intervals that the errors give."""
        errors, channel, change, weight = (
            torch.cat(parts) for parts in (self._errors, self._channels, self._changes, self._weights)
        )
        channels = range(int(channel.max()) + 1)
        fewest = min(int(errors[channel == c].isfinite().sum(0).min()) for c in channels)
        levels = tuple(q for q in _KEPT if windows_needed(100 * q) <= fewest)
        usual, widths = [], []
        for c in channels:
            mine = channel == c
            known = change[mine][change[mine] > 0]
            usual.append(float(known.mean()) if len(known) else 1.0)
            unit = _growth(change[mine] / usual[-1])
            widths.append(weighted_quantiles(errors[mine] / unit[:, None], weight[mine], levels))
        return Intervals(
            windows=fewest,
            levels=levels,
            widths=torch.stack(widths).float(),
            own_scale=self.own_scale,
            folds=self.folds,
            share=self.share,
            usual=tuple(usual),
        )


def weighted_quantiles(errors: Tensor, weights: Tensor, levels: Sequence[float]) -> Tensor:
    """Return the least error (H, Q) up to which lies the share `levels` of all weight, that of a new window included.

    The new window weighs as much as the heaviest one. With equal weights it is the error of rank ⌈(n + 1) · level⌉. If
    the weights do not reach a level, it is the largest error.

    Args:
        errors: (n, H); NaN: not observed.
        weights: (n,) of the windows.
        levels: Q shares, between 0 and 1.
    """
    ordered, order = errors.sort(dim=0)  # NaN comes last
    seen = ordered.isfinite()
    weight = torch.where(seen, weights[order], 0.0)
    reached = weight.cumsum(0) / (weight.sum(0) + weight.max(0).values)
    wanted = (torch.tensor(levels, dtype=torch.float64) - 1e-9).expand(errors.shape[1], -1).contiguous()
    index = torch.searchsorted(reached.T.contiguous(), wanted)
    return ordered.T.gather(1, index.minimum(seen.sum(0)[:, None] - 1))


def level_name(level: float) -> str:
    """Return how a level is written in the names of columns and keys, with all of its digits: 80, 97.5."""
    return f"{level:.15g}"


def bounds(forecast: Floats, half_width: Floats, target: str, level: float) -> Mapping[str, Floats]:
    """Return the two ends of an interval by the names of their columns, as the Nixtla libraries name them."""
    ends = {f"{target}-lo-{level_name(level)}": forecast - half_width}
    ends[f"{target}-hi-{level_name(level)}"] = forecast + half_width
    return {name: np.array([float(f"{x:.{_DIGITS}g}") for x in end]) for name, end in ends.items()}


class Placed(NamedTuple):
    """What the width of the interval of each window depends on."""

    channel: Tensor  # (n,)
    scale: Tensor  # (n,) of the series
    change: Tensor  # (n,) before the windows


def placed(windows: Windows, positions: Tensor, scales: Tensor, change: RecentChange) -> Placed:
    """Return what the widths of the intervals of windows at `positions` (n,) depend on; `scales` is (C, S)."""
    offsets, place = torch.tensor(windows.data.offsets), positions.cpu()
    channel = torch.div(place, windows.rows, rounding_mode="floor")
    row = place - channel * windows.rows
    series = torch.searchsorted(offsets, row, right=True) - 1
    return Placed(channel, scales[channel, series], change.before(channel, row, offsets[series]))


def forecasts_by_chunk(
    forecaster: Forecaster, windows: Windows, positions: Positions
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the positions of some windows (n,) at a time, their forecasts and their targets (n, H); NaN: not seen."""
    for start in range(0, len(positions), _CHUNK):
        some = positions[start : start + _CHUNK]
        forecast = forecast_all(forecaster, windows, some).double()
        target = torch.cat([batch.target.cpu() for batch in windows.batches(some, 1, _CHUNK)]).double()
        yield some, forecast, torch.where(windows.observed(some).cpu(), target, torch.nan)
