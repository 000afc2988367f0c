"""What is looked at after the test rows were read: forecasts kept while they are scored, and the fit to trained rows.

Costs no second forecast of a test window, and a bounded number of forecasts of rows that were trained on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.seasonality import calendar_periods
from lstm_tune.data.split import Ranges
from lstm_tune.data.time_labels import time_labels, whole_days
from lstm_tune.data.windows import Batch, Positions, Windows
from lstm_tune.evaluation.score import Forecaster, TargetScale, score

Floats = NDArray[np.float64]

_MOST_KEPT = 8_192  # windows; more are kept as a few stretches, evenly spaced
_MOST_ELEMENTS = 2_000_000
_STRETCHES = 8
_MOST_FITTED = 768
_LEAST_FITTED = 100  # windows of a column, for an estimate of the noise
_EMBEDDINGS = (1, 2, 4, 8, 16)  # rows by which windows are called alike


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Forecasts:
    """Test forecasts in scaled units; n windows in stretches of consecutive rows, H horizon.

    The windows of a channel are in the order of time. Two windows follow each other where `row` grows by 1 and the
    channel stays the same; elsewhere a stretch ends.
    """

    actual: Floats  # (n, H) scaled; anything where not observed
    forecast: Floats  # (n, H) scaled
    observed: NDArray[np.bool_]  # (n, H)
    last: Floats  # (n,) the last value before the first target, scaled
    row: NDArray[np.int64]  # (n,) of the first target, absolute
    channel: NDArray[np.int64]  # (n,)
    periods: tuple[int, ...] = ()  # seasonal periods in rows to look for
    of: int = 0  # test windows that these were taken from
    label: Callable[[int], str] = str  # names a row, by its time stamp

    @property
    def error(self) -> Floats:
        """Forecast minus actual, (n, H); NaN where the target was not observed."""
        error: Floats = np.where(self.observed, self.forecast - self.actual, np.nan)
        return error

    @property
    def horizon(self) -> int:
        """Rows that are forecast at once."""
        return int(self.actual.shape[1])

    def stretches(self) -> list[slice]:
        """Return the stretches of windows that follow each other."""
        breaks = np.flatnonzero((np.diff(self.row) != 1) | (np.diff(self.channel) != 0)) + 1
        edges = [0, *breaks.tolist(), len(self.row)]
        return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


class Recorder:
    """A forecaster that keeps some of its forecasts, for `score` over windows in order.

    Args:
        inner: that forecasts.
        kept: (K, 2) first and end of each stretch of windows to keep, ascending.
    """

    def __init__(self, inner: Forecaster, kept: NDArray[np.int64]) -> None:
        self._inner = inner
        self._kept = kept
        self._seen = 0
        self._forecasts: list[Tensor] = []

    @property
    def context(self) -> int:
        """Rows before the first target that it looks at."""
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
        """Return what was kept, in order."""
        return torch.cat(self._forecasts)


def stretches(windows: int, horizon: int, groups: int = 1) -> NDArray[np.int64]:
    """Return which windows to keep: (K, 2) first and end; all, or stretches evenly spaced.

    Args:
        windows: that there are.
        horizon: numbers in each.
        groups: columns times series, each of which should have a stretch.
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
    period: int | None,
) -> Forecasts:
    """Put the kept forecasts beside the actual values, in scaled units."""
    chosen = torch.cat([positions[int(a) : int(b)] for a, b in kept]).cpu()
    parts = [_scaled(batch, scale) for batch in windows.batches(chosen.to(windows.device), 1, 4096)]
    actual, observed, last = (np.concatenate([part[i] for part in parts]) for i in range(3))
    channel, row = np.divmod(chosen.numpy(), windows.rows)
    forecast = recorder.forecasts().double().numpy()
    mean, sd = (np.array(x)[channel, None] for x in (scale.mean, scale.sd))
    times = windows.data.times
    daily = whole_days(times)
    calendar = [p for p in calendar_periods(windows.data.freq) if p <= len(row) // 3]
    return Forecasts(
        actual=actual,
        forecast=(forecast - mean) / sd,
        observed=observed.astype(bool),
        last=last,
        row=row,
        channel=channel,
        periods=tuple(dict.fromkeys([*([period] if period else []), *calendar])),
        of=len(positions),
        label=lambda r: str(time_labels(times[r : r + 1], daily)[0]),
    )


def _scaled(batch: Batch, scale: TargetScale) -> tuple[Floats, Floats, Floats]:
    """Return scaled targets (B, H), whether they were observed (B, H), and the scaled last values (B,)."""
    channel = batch.channel.cpu().numpy()
    mean, sd = np.array(scale.mean)[channel, None], np.array(scale.sd)[channel, None]
    target = (batch.target.double().cpu().numpy() - mean) / sd
    seen = np.ones_like(target) if batch.observed is None else batch.observed.double().cpu().numpy()
    return target, seen, ((batch.history[:, -1:].double().cpu().numpy() - mean) / sd)[:, 0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Scaled MSEs on rows that were fitted on, over the same windows; NaN where there are none."""

    model: float
    baselines: Mapping[str, float]
    noise: float
    windows: int


def fit_to_training(
    network: Forecaster, baselines: Mapping[str, Forecaster], windows: Windows, rows: Ranges, scale: TargetScale
) -> Fit:
    """Score the model and the baselines on some evenly spaced windows of the rows that they were fitted on.

    Args:
        network: the model.
        baselines: {name: forecaster}.
        windows: of the series.
        rows: that were fitted on.
        scale: of the train rows.
    """
    context = max(network.context, *(f.context for f in baselines.values()))
    every = windows.positions(rows, context, reach_back=False)
    if not len(every):
        return Fit(model=math.nan, baselines={}, noise=math.nan, windows=0)
    positions = windows.sample(every, _MOST_FITTED)
    mses = {
        name: score(f, windows, positions, scale, each=False).mse_scaled
        for name, f in {"model": network, **baselines}.items()
    }
    model = mses.pop("model")
    return Fit(model=model, baselines=mses, noise=_noise(windows, positions, context, scale), windows=len(positions))


def _noise(windows: Windows, positions: Tensor, context: int, scale: TargetScale) -> float:
    """Estimate the scaled MSE that no forecast from the last values goes below; NaN of too few windows.

    The delta test (Pi and Peterson 1994): half the mean squared difference between what follows a window and what
    follows the window most like it. Windows are alike by their last 1 to 16 values, as they are or minus the last one;
    of these estimates, each too high rather than too low, the least counts. Targets of the two never overlap.
    """
    longest = max([d for d in _EMBEDDINGS if d <= context], default=0)
    if not longest:
        return math.nan
    batches = list(windows.batches(positions, longest, 4096))
    target, seen = (np.concatenate([_scaled(b, scale)[i] for b in batches]) for i in range(2))
    history = np.concatenate([b.history.double().cpu().numpy() for b in batches])
    channel, row = np.divmod(positions.cpu().numpy(), windows.rows)
    sd = np.array(scale.sd)
    noises = []
    for c in np.unique(channel):
        here = (channel == c) & seen.all(1)
        if here.sum() >= _LEAST_FITTED:
            noises.append(noise_estimate(history[here] / sd[c], target[here], row[here]))
    return float(np.mean(noises)) if noises else math.nan


def noise_estimate(history: Floats, target: Floats, row: NDArray[np.int64]) -> float:
    """Return the delta test's noise in `target` (n, H) given `history` (n, X), where first targets stand at `row`."""
    apart = np.abs(row[:, None] - row) >= target.shape[1]
    chance = np.random.default_rng(0).random(apart.shape)  # decides between windows that are equally alike
    last = history[:, -1:]
    least = math.inf
    for d in (d for d in _EMBEDDINGS if d <= history.shape[1]):
        seen = history[:, -d:]
        relative = [(seen - last, target - last)] if d > 1 else []  # the last value minus itself tells nothing
        for x, y in ((seen, target), *relative):
            squares = np.square(x).sum(1)
            distance = squares[:, None] + squares - 2 * x @ x.T + 1e-9 * squares.mean() * chance
            distance[~apart] = np.inf
            nearest = distance.argmin(1)
            found = np.isfinite(distance[np.arange(len(x)), nearest])
            if found.any():
                least = min(least, float(np.square(y - y[nearest])[found].mean()) / 2)
    return least if math.isfinite(least) else math.nan
