"""The one place where a forecast becomes a score: model and baselines, validation and test, all go through `score`.

Letters: n windows, H horizon, C channels (target columns).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.own_scale import SeriesStatistics, own_scale, usual_spread
from lstm_tune.data.series import SeriesSet, mean_and_sd
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Positions, Windows
from lstm_tune.evaluation.metrics import GroupSums, NaiveErrors, judged

_ROUNDING = 1e-12  # variance over mean square, below which targets are constant but for rounding
_ELEMENTS = 4_000_000  # history and forecast elements of one evaluation batch: bounds memory, keeps kernels busy

Number = float | dict[str, float]  # of the one target, or by the names of several


class Forecaster(Protocol):
    """Anything that forecasts raw values: the LSTM, an ensemble, each baseline."""

    @property
    def context(self) -> int:
        """Rows before the first target that it looks at."""
        ...

    def __call__(self, batch: Batch) -> Tensor:
        """Map a batch to its forecast, (B, H) in raw units."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetScale:
    """Mean and standard deviation of the observed train rows: what makes an MSE `scaled`. No trial changes it.

    Among several series the errors of each are divided by its own spread, so that each counts alike. See `own_scale`.
    """

    mean: tuple[float, ...]  # (C,) of all series together
    sd: tuple[float, ...]
    own_mean: tuple[float, ...] = ()  # (C · S,) of each group, see `Batch`; (): there is one series
    own_sd: tuple[float, ...] = ()

    @classmethod
    def of(cls, windows: Windows, rows: Ranges) -> TargetScale:
        """Measure each target column over the given rows of all series."""
        data = windows.data
        means, sds = [], []
        for c in range(data.n_channels):
            mean, sd = mean_and_sd(values.double() for values in data.seen(c, rows))
            means.append(float(mean))
            sds.append(float(sd))
        if data.n_series == 1:
            return cls(mean=tuple(means), sd=tuple(sds))
        own = own_scale(SeriesStatistics.of(data, rows))
        return cls(
            mean=tuple(means),
            sd=tuple(sds),
            own_mean=tuple(own.center.reshape(-1).tolist()),
            own_sd=tuple(own.spread.reshape(-1).tolist()),
        )

    def for_series(self, known: Sequence[str], data: SeriesSet) -> TargetScale:
        """Return the scale with the series of other data; one that is not known is measured in all of its rows."""
        if not self.own_sd or tuple(known) == data.series:
            return self
        places = {name: i for i, name in enumerate(known) if name}
        index = np.array([places.get(name, -1) for name in data.series])
        known_mean, known_sd = (np.reshape(kept, (len(self.sd), -1)) for kept in (self.own_mean, self.own_sd))
        measured = SeriesStatistics.of(data, tuple(itertools.pairwise(data.offsets)))
        own = own_scale(measured, usual=usual_spread(known_mean, known_sd))
        mean, sd = (
            tuple(np.where(index >= 0, kept[:, index], new).reshape(-1).tolist())
            for kept, new in ((known_mean, own.center), (known_sd, own.spread))
        )
        return TargetScale(mean=mean, sd=sd) if data.n_series == 1 else replace(self, own_mean=mean, own_sd=sd)

    def groups(self, series: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of each column and series, (C · S,), see `Batch`.

        Args:
            series: S; if no series has a scale of its own, all have that of the column.
        """
        if self.own_sd:
            return np.array(self.own_mean), np.array(self.own_sd)
        return np.repeat(self.mean, series), np.repeat(self.sd, series)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Score:
    """Errors over all windows of some rows; every average is over observed targets alone, in raw units."""

    mse: tuple[float, ...]  # (C,)
    mae: tuple[float, ...]  # (C,)
    r2: tuple[float, ...]  # (C,) against the scored targets' own mean; NaN of constant targets
    mse_scaled: float  # mean over columns of the mean over series of mse / train variance
    per_step_mse: tuple[tuple[float, ...], ...]  # (C, H)
    window_error: NDArray[np.float64] = field(repr=False)  # (n,) sum of squared scaled errors of a window; or none
    window_count: NDArray[np.float64] = field(repr=False)  # (n,) observed targets behind it; or none
    series_mse: NDArray[np.float64] = field(repr=False)  # (C, S) in raw units; NaN where nothing was scored
    windows: int
    metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)  # {metric: (C, S)}; or none


def score(
    forecaster: Forecaster,
    windows: Windows,
    positions: Positions | Tensor,
    scale: TargetScale,
    *,
    each: bool = True,
    naive: NaiveErrors | None = None,
) -> Score:
    """Score a forecaster on the windows at `positions` (n,), in inference mode.

    Args:
        forecaster: maps a batch to raw forecasts.
        windows: where the windows come from; targets that were filled in do not count.
        positions: the windows, see `Windows`.
        scale: of the train rows.
        each: whether to keep the error of each window, for `significance.interval`.
        naive: of the train rows of all series; None: no metrics are wanted.
    """
    channels, horizon = windows.channels, windows.horizon
    device = windows.device
    totals = torch.zeros(5, channels, horizon, dtype=torch.float64, device=device)  # count, e², |e|, y, y²
    sd = torch.tensor(scale.groups(windows.data.n_series)[1], device=device)
    mean = torch.tensor(scale.mean, dtype=torch.float64, device=device)
    sums = GroupSums(windows.groups, windows.data.origin, device)
    own = torch.zeros(2, windows.groups, dtype=torch.float64, device=device)  # e², count; if there are several series
    errors = np.empty(len(positions) if each else 0)
    counts = np.empty(len(errors) if windows.holes else 0)
    at = 0
    with torch.inference_mode():
        for batch, forecast in _forecasts(forecaster, windows, positions):
            channel = batch.channel
            target = batch.target.double()
            seen = torch.ones_like(target) if batch.observed is None else batch.observed.double()
            error = (forecast.double() - target) * seen
            squared = error * error
            z = (target - mean[channel, None]) * seen  # centred, so that sums of squares keep their digits
            for i, part in enumerate((seen, squared, error.abs(), z, z * z)):
                totals[i].index_add_(0, channel, part)
            if naive is not None:
                sums.add(batch.group, channel, target, forecast.double(), seen)
            if windows.data.n_series > 1:
                for i, part in enumerate((squared, seen)):
                    own[i].index_add_(0, batch.group, part.sum(1))
            if each:
                errors[at : at + len(target)] = (squared.sum(1) / sd[batch.group] ** 2).cpu()
                if windows.holes:
                    counts[at : at + len(target)] = seen.sum(1).cpu()
            at += len(target)
    count, squares, absolute, z_sum, z_squares = totals.cpu()
    n = count.sum(1)
    mse = squares.sum(1) / n
    power = z_squares.sum(1) / n
    variance = power - (z_sum.sum(1) / n) ** 2
    varies = variance > _ROUNDING * power
    of_series = (own[0] / own[1]).cpu().reshape(channels, -1) if windows.data.n_series > 1 else mse[:, None]
    return Score(
        mse=tuple(mse.tolist()),
        mae=tuple((absolute.sum(1) / n).tolist()),
        r2=tuple(torch.where(varies, 1 - mse / variance, torch.nan).tolist()),
        mse_scaled=_each_alike(of_series / sd.cpu().reshape(channels, -1) ** 2),
        per_step_mse=tuple(tuple(row) for row in (squares / count).tolist()),
        window_error=errors,
        window_count=counts if windows.holes else np.broadcast_to(np.float64(horizon), len(errors)),
        series_mse=of_series.numpy(),
        windows=len(positions),
        metrics={} if naive is None else sums.metrics(naive),
    )


def _each_alike(scaled: Tensor) -> float:
    """Return the mean over columns of the mean over series of scaled MSEs (C, S), without series that are NaN."""
    return float(scaled.nanmean(dim=1).mean())


def quick_mse_scaled(
    forecaster: Forecaster, windows: Windows, positions: Positions | Tensor, scale: TargetScale
) -> float:
    """Return `score(…).mse_scaled` and nothing else: what a trial is judged by after each epoch."""
    sums = torch.zeros(2, windows.groups, dtype=torch.float64, device=windows.device)
    sd = torch.tensor(scale.groups(windows.data.n_series)[1])
    power = torch.where(sd > 0, sd, 1.0).log2().floor().exp2()  # to divide by it is exact; the squares fit any unit
    unit = power.to(windows.device, torch.float32)
    with torch.inference_mode():
        for batch, forecast in _forecasts(forecaster, windows, positions):
            squared = ((forecast - batch.target) / unit[batch.group, None]).square()
            if batch.observed is None:
                count = torch.full((len(squared),), squared.shape[1], dtype=torch.float64, device=windows.device)
            else:
                squared = squared * batch.observed
                count = batch.observed.sum(1, dtype=torch.float64)
            sums[0].index_add_(0, batch.group, squared.sum(1, dtype=torch.float64))
            sums[1].index_add_(0, batch.group, count)
    squares, counts = sums.cpu()
    return _each_alike((squares / counts / (sd / power) ** 2).reshape(windows.channels, -1))


def value_of(found: Score, scale: TargetScale, metric: str) -> float:
    """Return what a study of `metric` minimizes: of "mse" the scaled MSE, of others see `metrics.judged`."""
    if metric == "mse":
        return found.mse_scaled
    return judged(found.metrics, metric, scale.groups(found.series_mse.shape[1])[1].reshape(found.series_mse.shape))


def quick_value(
    forecaster: Forecaster,
    windows: Windows,
    positions: Positions | Tensor,
    scale: TargetScale,
    naive: NaiveErrors,
    metric: str,
) -> float:
    """Return `value_of(score(…))` and nothing else: what a trial is judged by after each epoch."""
    if metric == "mse":
        return quick_mse_scaled(forecaster, windows, positions, scale)
    sums = GroupSums(windows.groups, windows.data.origin, windows.device)
    with torch.inference_mode():
        for batch, forecast in _forecasts(forecaster, windows, positions):
            target = batch.target.double()
            seen = torch.ones_like(target) if batch.observed is None else batch.observed.double()
            sums.add(batch.group, batch.channel, target, forecast.double(), seen)
    sd = scale.groups(windows.data.n_series)[1].reshape(windows.channels, -1)
    return judged(sums.metrics(naive), metric, sd)


def forecast_all(forecaster: Forecaster, windows: Windows, positions: Positions | Tensor) -> Tensor:
    """Return the raw forecasts of the windows at `positions` (n,) as one tensor (n, H) on the CPU."""
    with torch.inference_mode():
        return torch.cat([forecast.cpu() for _, forecast in _forecasts(forecaster, windows, positions)])


def _forecasts(
    forecaster: Forecaster, windows: Windows, positions: Positions | Tensor
) -> Iterator[tuple[Batch, Tensor]]:
    size = max(64, min(4096, _ELEMENTS // (forecaster.context * 8 + windows.horizon)))
    training = getattr(forecaster, "training", False)
    if isinstance(forecaster, torch.nn.Module):
        forecaster.eval()
    try:
        for batch in windows.batches(positions, forecaster.context, size):
            yield batch, forecaster(batch)
    finally:
        if isinstance(forecaster, torch.nn.Module):
            forecaster.train(training)


def per_target(values: Sequence[float], targets: Sequence[str]) -> Number:
    """Return the one number of a single target, or {target: number}."""
    return values[0] if len(values) == 1 else dict(zip(targets, values, strict=True))
