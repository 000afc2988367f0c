"""Forecasts that are kept while they are scored, for the diagnosis of the test rows: no window is forecast twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.calendar_periods import calendar_periods
from lstm_tune.data.time_labels import TimeStyle
from lstm_tune.data.windows import Batch, Positions, Windows
from lstm_tune.evaluation.score import Forecaster, TargetScale

Floats = NDArray[np.float64]

_MOST_KEPT = 8_192  # windows; of more windows a few stretches are kept, evenly spaced
_MOST_ELEMENTS = 2_000_000
_STRETCHES = 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Forecasts:
    """Test forecasts in scaled units; n windows in stretches of consecutive rows, H horizon.

    The windows of a channel are in time order. A stretch goes on while `row` grows by 1 and the channel stays the same.
    """

    actual: Floats  # (n, H) scaled; meaningless if not observed
    forecast: Floats  # (n, H) scaled
    observed: NDArray[np.bool_]  # (n, H)
    last: Floats  # (n,) the last value before the first target, scaled
    row: NDArray[np.int64]  # (n,) of the first target, absolute
    channel: NDArray[np.int64]  # (n,)
    series: NDArray[np.int64] | None = None  # (n,) its number; None: there is one
    periods: tuple[int, ...] = ()  # seasonal periods, in rows, to look for
    of: int = 0  # number of test windows that these were taken from
    label: Callable[[int], str] = str  # returns the time stamp of a row

    @property
    def error(self) -> Floats:
        """Forecast minus actual, (n, H); NaN where the target was not observed."""
        error: Floats = np.where(self.observed, self.forecast - self.actual, np.nan)
        return error

    @property
    def horizon(self) -> int:
        """Rows in each forecast."""
        return int(self.actual.shape[1])

    def stretches(self) -> list[slice]:
        """Return the stretches of consecutive windows."""
        breaks = np.flatnonzero((np.diff(self.row) != 1) | (np.diff(self.channel) != 0)) + 1
        edges = [0, *breaks.tolist(), len(self.row)]
        return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


class Recorder:
    """A forecaster that keeps some of its forecasts, while `score` passes windows to it in order.

    Args:
        inner: makes the forecasts.
        kept: (K, 2) first and end of each stretch of windows to keep, ascending.
    """

    def __init__(self, inner: Forecaster, kept: NDArray[np.int64]) -> None:
        self._inner = inner
        self._kept = kept
        self._seen = 0
        self._forecasts: list[Tensor] = []

    @property
    def context(self) -> int:
        """Rows before the first target that the forecaster reads."""
        return self._inner.context

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to (B, H)."""
        forecast = self._inner(batch)
        for first, end in self._kept - self._seen:
            if first < len(forecast) and end > 0:
                self._forecasts.append(forecast[max(0, first) : end].cpu())
        self._seen += len(forecast)
        return forecast

    def forecasts(self) -> Tensor:
        """Return the kept forecasts, in order."""
        return torch.cat(self._forecasts)


def stretches(windows: int, horizon: int, groups: int = 1) -> NDArray[np.int64]:
    """Return the windows to keep as (K, 2) first and end: all of them, or evenly spaced stretches.

    Args:
        windows: number of test windows.
        horizon: rows in each forecast.
        groups: columns times series; each should have a stretch.
    """
    most = max(1, min(_MOST_KEPT, _MOST_ELEMENTS // horizon))
    if windows <= most:
        return np.array([[0, windows]])
    count = min(max(_STRETCHES, groups), most)
    first = np.linspace(0, windows - most // count, count).astype(np.int64)
    return np.stack([first, first + most // count], axis=1)


def read_forecasts(
    recorder: Recorder,
    kept: NDArray[np.int64],
    windows: Windows,
    positions: Positions,
    scale: TargetScale,
    seasons: Sequence[int],
) -> Forecasts:
    """Put the kept forecasts beside the actual values, in scaled units; `seasons` and the calendar's are looked for."""
    chosen = torch.cat([positions[int(a) : int(b)] for a, b in kept]).cpu()
    batches = list(windows.batches(chosen.to(windows.device), 1, 4096))
    series = windows.data.n_series
    parts = [scaled_targets(batch, scale, series) for batch in batches]
    actual, observed, last = (np.concatenate([part[i] for part in parts]) for i in range(3))
    channel, row = np.divmod(chosen.numpy(), windows.rows)
    forecast = recorder.forecasts().double().numpy()
    group = torch.cat([batch.group for batch in batches]).cpu().numpy()
    mean, sd = (x[group, None] for x in scale.groups(series))
    times = windows.data.times
    style = TimeStyle.of(times, windows.data.zone)
    calendar = [p for p in calendar_periods(windows.data.freq) if p <= len(row) // 3]
    return Forecasts(
        actual=actual,
        forecast=(forecast - mean) / sd,
        observed=observed.astype(bool),
        last=last,
        row=row,
        channel=channel,
        series=group % series if series > 1 else None,
        periods=tuple(dict.fromkeys([*seasons, *calendar])),
        of=len(positions),
        label=lambda r: str(style.labels(times[r : r + 1])[0]),
    )


def scaled_targets(batch: Batch, scale: TargetScale, series: int) -> tuple[Floats, Floats, Floats]:
    """Return the scaled targets (B, H), whether they were observed (B, H), and the scaled last values (B,)."""
    group = batch.group.cpu().numpy()
    mean, sd = (x[group, None] for x in scale.groups(series))
    target = (batch.target.double().cpu().numpy() - mean) / sd
    seen = np.ones_like(target) if batch.observed is None else batch.observed.double().cpu().numpy()
    return target, seen, ((batch.history[:, -1:].double().cpu().numpy() - mean) / sd)[:, 0]
