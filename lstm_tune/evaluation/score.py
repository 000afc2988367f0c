"""The one place where a forecast becomes a score: model and baselines, validation and test, all go through `score`.

Letters: n windows, H horizon, C channels (target columns).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.series import mean_and_sd
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Positions, Windows
from lstm_tune.evaluation.metrics import GroupSums, NaiveErrors

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
    """Mean and standard deviation (C,) of the observed train rows: what makes an MSE `scaled`. No trial changes it."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @classmethod
    def of(cls, windows: Windows, rows: Ranges) -> TargetScale:
        """Measure each target column over the given rows of all series."""
        data = windows.data
        means, sds = [], []
        for c in range(data.n_channels):
            mean, sd = mean_and_sd(values.double() for values in data.seen(c, rows))
            means.append(float(mean))
            sds.append(float(sd))
        return cls(mean=tuple(means), sd=tuple(sds))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Score:
    """Errors over all windows of some rows; every average is over observed targets alone, in raw units."""

    mse: tuple[float, ...]  # (C,)
    mae: tuple[float, ...]  # (C,)
    r2: tuple[float, ...]  # (C,) against the scored targets' own mean; NaN of constant targets
    mse_scaled: float  # mean over columns of mse / train variance
    per_step_mse: tuple[tuple[float, ...], ...]  # (C, H)
    window_error: NDArray[np.float64] = field(repr=False)  # (n,) sum of squared scaled errors of a window; or none
    window_count: NDArray[np.float64] = field(repr=False)  # (n,) observed targets behind it; or none
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
    sd = torch.tensor(scale.sd, dtype=torch.float64, device=device)
    mean = torch.tensor(scale.mean, dtype=torch.float64, device=device)
    sums = GroupSums(channels * windows.data.n_series, windows.data.origin, device)
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
                group = _groups(windows, positions[at : at + len(target)])
                sums.add(group, channel, target, forecast.double(), seen)
            if each:
                errors[at : at + len(target)] = (squared.sum(1) / sd[channel] ** 2).cpu()
                if windows.holes:
                    counts[at : at + len(target)] = seen.sum(1).cpu()
            at += len(target)
    count, squares, absolute, z_sum, z_squares = totals.cpu()
    n = count.sum(1)
    mse = squares.sum(1) / n
    power = z_squares.sum(1) / n
    variance = power - (z_sum.sum(1) / n) ** 2
    varies = variance > _ROUNDING * power
    return Score(
        mse=tuple(mse.tolist()),
        mae=tuple((absolute.sum(1) / n).tolist()),
        r2=tuple(torch.where(varies, 1 - mse / variance, torch.nan).tolist()),
        mse_scaled=float((mse / sd.cpu() ** 2).mean()),
        per_step_mse=tuple(tuple(row) for row in (squares / count).tolist()),
        window_error=errors,
        window_count=counts if windows.holes else np.broadcast_to(np.float64(horizon), len(errors)),
        windows=len(positions),
        metrics={} if naive is None else sums.metrics(naive),
    )


def _groups(windows: Windows, positions: Tensor) -> Tensor:
    """Return channel · S + series of the windows at `positions` (B,)."""
    channel, row = positions // windows.rows, positions % windows.rows
    edges = torch.tensor(windows.data.offsets[1:], device=positions.device)
    return channel * windows.data.n_series + torch.searchsorted(edges, row, right=True)


def quick_mse_scaled(
    forecaster: Forecaster, windows: Windows, positions: Positions | Tensor, scale: TargetScale
) -> float:
    """Return `score(…).mse_scaled` and nothing else: what a trial is judged by after each epoch."""
    sums = torch.zeros(2, windows.channels, dtype=torch.float64, device=windows.device)
    sd = torch.tensor(scale.sd, dtype=torch.float64)
    power = torch.where(sd > 0, sd, 1.0).log2().floor().exp2()  # to divide by it is exact; the squares fit any unit
    unit = power.to(windows.device, torch.float32)
    with torch.inference_mode():
        for batch, forecast in _forecasts(forecaster, windows, positions):
            squared = ((forecast - batch.target) / unit[batch.channel, None]).square()
            if batch.observed is None:
                count = torch.full((len(squared),), squared.shape[1], dtype=torch.float64, device=windows.device)
            else:
                squared = squared * batch.observed
                count = batch.observed.sum(1, dtype=torch.float64)
            sums[0].index_add_(0, batch.channel, squared.sum(1, dtype=torch.float64))
            sums[1].index_add_(0, batch.channel, count)
    squares, counts = sums.cpu()
    return float((squares / counts / (sd / power) ** 2).mean())


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
