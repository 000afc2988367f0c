"""The forecaster: raw units in, raw units out, everything in between part of one module.

Letters: B windows in a batch, X context, L lookback, H horizon, C channels, U hidden units, P past and F future
covariates, m seasonal period.

    raw history (B, X)
      → log, if asked                     ┐ "level": what is scaled, what the loss is taken on
      → scaled by the fit rows' mean, sd  ┘
      → differenced (first | seasonal)
      → minus the window's location, over its spread (window_norm)
      → clipped, patched → LSTM → head    → times the spread
                                            + a skip forecast (last | linear | seasonal)
                                            → undifferenced → unscaled → exp → raw forecast (B, H)

What was fitted (scale, clip bounds, linear skip) stands in buffers, so a saved or exported model cannot be served with
the wrong scaler.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lstm_tune.config import Config
from lstm_tune.data.series import mean_and_sd
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Windows, evenly
from lstm_tune.errors import DataError
from lstm_tune.models.lstm import LSTM, Dropout
from lstm_tune.models.ridge import Moments, block_sizes, fit_ridge, moments

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
_FUTURE_UNITS = 16  # width of what the horizon's known covariates are mixed with
_MAX_SKIP_WINDOWS = 100_000  # for the closed-form skip: evenly spaced windows suffice, and bound the cost
_CHUNK = 4096
_SPREAD_FLOOR = 1e-2  # of a window, in units of the fit rows' sd: a flat window is not blown up without limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What the data fix: sizes that no trial changes."""

    horizon: int
    channels: int = 1
    past: int = 0
    future: int = 0
    period: int = 1  # rows in a season; 1: none


def embedding_width(shape: Shape) -> int:
    """Return the numbers that tell the LSTM which channel it sees; 0 where there is one alone."""
    return min(8, shape.channels) if shape.channels > 1 else 0


def lstm_work(config: Config, shape: Shape) -> int:
    """Return the multiplications of the LSTM's matrices over one window, forward."""
    patch = min(config.patch, config.lookback)
    steps, units = -(-config.lookback // patch), config.hidden_units
    inputs = patch * (1 + shape.past + shape.future) + embedding_width(shape)
    return steps * 4 * units * (inputs + units + (config.layers - 1) * 2 * units)


class LSTMForecaster(nn.Module):
    """One LSTM with all that stands before and after it; `forward` maps a batch to (B, H) in raw units.

    Build it, `fit_statistics` on the rows to fit on, then train its parameters on `level` and `scale_level`.
    """

    center: Tensor
    scale: Tensor
    covariate_mean: Tensor
    covariate_scale: Tensor
    clip_low: Tensor
    clip_high: Tensor
    log_ceiling: Tensor
    skip_weight: Tensor
    skip_bias: Tensor

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__()
        self.config = config
        self.shape = shape
        period = shape.period
        self.lag = {"none": 0, "first": 1, "seasonal": period}[config.difference]
        self.history = max(config.lookback, period if config.skip == "seasonal" else 1)
        self.context = self.history + self.lag
        self.patch = min(config.patch, config.lookback)
        self.steps = -(-config.lookback // self.patch)

        covariates = shape.past + shape.future
        embedding = embedding_width(shape)
        self.channel_embedding = nn.Embedding(shape.channels, embedding) if embedding else None
        self.lstm = LSTM(
            self.patch * (1 + covariates) + embedding,
            config.hidden_units,
            layers=config.layers,
            dropout=config.dropout,
            activation=config.cell_activation,
        )
        self.dropout = Dropout(config.dropout)
        width = config.head_units or config.hidden_units
        self.hidden = nn.Linear(config.hidden_units, config.head_units) if config.head_units else nn.Identity()
        self.activation = _ACTIVATIONS[config.activation]()
        self.output = nn.Linear(width, shape.horizon)
        self.future_context = nn.Linear(width, _FUTURE_UNITS) if shape.future else None
        self.future_output = (
            nn.Sequential(nn.Linear(shape.future + _FUTURE_UNITS, 2 * _FUTURE_UNITS), nn.GELU(),
                          nn.Linear(2 * _FUTURE_UNITS, 1))
            if shape.future
            else None
        )  # fmt: skip
        if config.starts_from_simple_forecast:
            # Training starts from the skip itself (persistence, ridge, …) and can only be kept where it betters it.
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)
            if isinstance(self.future_output, nn.Sequential):
                last = self.future_output[-1]
                assert isinstance(last, nn.Linear)
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)

        for name, value in {
            "center": torch.zeros(shape.channels),
            "scale": torch.ones(shape.channels),
            "covariate_mean": torch.zeros(covariates),
            "covariate_scale": torch.ones(covariates),
            "clip_low": torch.full((), -torch.inf),
            "clip_high": torch.full((), torch.inf),
            "log_ceiling": torch.full((shape.channels,), torch.inf),
            "skip_weight": torch.zeros((shape.horizon, config.lookback) if config.skip == "linear" else (0, 0)),
            "skip_bias": torch.zeros(shape.horizon if config.skip == "linear" else 0),
        }.items():
            self.register_buffer(name, value)

    @property
    def is_untrained(self) -> bool:
        """Whether the network adds nothing, as before training, to the forecast that it corrects."""
        return self.config.starts_from_simple_forecast and not bool(self.output.weight.any() or self.output.bias.any())

    # ---- what is fitted, in closed form, on the rows to fit on

    @torch.no_grad()
    def fit_statistics(self, windows: Windows, rows: Ranges) -> None:
        """Fit scale, clip bounds and linear skip on `rows`, and on nothing else.

        Raises:
            DataError: a channel has no observed value in the rows, or log is asked of values that are not positive.
        """
        data = windows.data
        log = self.config.transform == "log"
        for c, name in enumerate(data.targets):
            low, high = _bounds(data.seen(c, rows))
            if low > high:
                raise DataError(f"target {name!r} has no observed value in the rows to fit on; choose another --split")
            if log and low <= 0:
                raise DataError(f"transform 'log' needs positive values, but {name!r} has {low:g}")
            mean, sd = mean_and_sd(x.double().log() if log else x.double() for x in data.seen(c, rows))
            self.center[c] = mean
            self.scale[c] = max(float(sd), 1e-8 * (1 + abs(float(mean))))
            if log:
                # A forecast is let grow beyond what was seen, but not without limit.
                low, high = torch.tensor([low, high], dtype=torch.float64).log().tolist()
                self.log_ceiling[c] = high + max(3.0, high - low)
        if len(self.covariate_mean):
            mean, sd = mean_and_sd(x.double() for x in data.covariates(rows))
            self.covariate_mean.copy_(mean)
            self.covariate_scale.copy_(torch.where(sd > 1e-12, sd, torch.ones_like(sd)))
        positions = evenly(windows.positions(rows, self.context, reach_back=False), _MAX_SKIP_WINDOWS)
        if self.config.outlier_clip and len(positions):
            sample = evenly(positions, 10_000)
            inputs = torch.cat([self._inputs(self._locate(b)).flatten() for b in self._batches(windows, sample)])
            inputs = evenly(inputs, 2_000_000)
            median = inputs.median()
            spread = 1.4826 * (inputs - median).abs().median()
            # Where over half of the values are equal, the median deviation is 0 and says nothing: no clipping.
            width = self.config.outlier_clip * spread if float(spread) > 0 else torch.tensor(torch.inf)
            self.clip_low.copy_(median - width)
            self.clip_high.copy_(median + width)
        if self.config.skip == "linear":
            self.skip_weight.zero_()
            self.skip_bias.zero_()
            if len(positions) >= 4:
                weight, bias = fit_ridge(
                    [self._moments(windows, p) for p in torch.split(positions, block_sizes(len(positions)))]
                )
                self.skip_weight.copy_(weight)
                self.skip_bias.copy_(bias)

    def _batches(self, windows: Windows, positions: Tensor) -> list[Batch]:
        return list(windows.batches(positions, self.context, _CHUNK))

    def _moments(self, windows: Windows, positions: Tensor) -> Moments:
        total: Moments | None = None
        for batch in windows.batches(positions, self.context, _CHUNK):
            if batch.observed is not None:
                keep = batch.observed.all(dim=1)  # a value that was filled in is never a target
                if not bool(keep.all()):
                    batch = Batch(
                        history=batch.history[keep],
                        target=batch.target[keep],
                        observed=None,
                        past=batch.past[keep],
                        future=batch.future[keep],
                        channel=batch.channel[keep],
                    )
            located = self._locate(batch)
            target = self._difference_target(self.scale_level(batch.target, batch.channel), located)
            part = moments(
                located.minus_location(located.window[:, -self.config.lookback :]), located.minus_location(target)
            )
            total = part if total is None else total + part
        assert total is not None
        return total

    # ---- raw → level → window, and back

    def scale_level(self, raw: Tensor, channel: Tensor) -> Tensor:
        """Map raw values (B, n) of the given channels (B,) to the scaled level that the loss is taken on."""
        level = raw.clamp_min(torch.finfo(raw.dtype).tiny).log() if self.config.transform == "log" else raw
        return (level - self._of(channel, self.center)) / self._of(channel, self.scale)

    def _unscale(self, level: Tensor, channel: Tensor) -> Tensor:
        level = level * self._of(channel, self.scale) + self._of(channel, self.center)
        if self.config.transform == "log":
            return torch.minimum(level, self._of(channel, self.log_ceiling)).exp()
        return level

    def _of(self, channel: Tensor, statistic: Tensor) -> Tensor:
        """Return a statistic (C,) of the given channels (B,), (B, 1) or, where there is one channel alone, (1,)."""
        return statistic[channel, None] if self.shape.channels > 1 else statistic

    def _locate(self, batch: Batch) -> _Located:
        level = self.scale_level(batch.history, batch.channel)
        window = level
        if self.config.difference == "first":
            window = level[:, 1:] - level[:, :-1]
        elif self.config.difference == "seasonal":
            window = level[:, self.lag :] - level[:, : -self.lag]
        looked_at = window[:, -self.config.lookback :]
        location = spread = None
        if self.config.window_norm == "last":
            location = window[:, -1:]
        elif self.config.window_norm == "standard":
            location = looked_at.mean(1, keepdim=True)
            spread = (looked_at.var(1, keepdim=True, correction=0) + _SPREAD_FLOOR**2).sqrt()
        return _Located(batch=batch, level=level, window=window, location=location, spread=spread)

    def _inputs(self, at: _Located) -> Tensor:
        """Return what the LSTM sees of the target, (B, L)."""
        inputs = at.minus_location(at.window[:, -self.config.lookback :])
        return inputs if at.spread is None else inputs / at.spread

    def _difference_target(self, target: Tensor, at: _Located) -> Tensor:
        """Difference scaled targets (B, H) as the window is differenced."""
        if not self.lag:
            return target
        both = torch.cat([at.level[:, -self.lag :], target], dim=1)
        return both[:, self.lag :] - both[:, : -self.lag]

    def _undifference(self, forecast: Tensor, at: _Located) -> Tensor:
        """Invert `_difference_target`."""
        if not self.lag:
            return forecast
        horizon, lag = forecast.shape[1], self.lag
        seasons = -(-horizon // lag)
        padded = nn.functional.pad(forecast, (0, seasons * lag - horizon))
        summed = padded.view(-1, seasons, lag).cumsum(1) + at.level[:, None, -lag:]
        return summed.reshape(len(forecast), -1)[:, :horizon]

    def _skip(self, at: _Located) -> Tensor | None:
        """Return the forecast that the network corrects, minus the window's location, (B, H) or (B, 1); None: 0."""
        if self.config.skip == "last":
            return at.minus_location(at.window[:, -1:])
        if self.config.skip == "linear":
            window = at.minus_location(at.window[:, -self.config.lookback :])
            return nn.functional.linear(window, self.skip_weight, self.skip_bias)
        if self.config.skip == "seasonal":
            return at.minus_location(seasonal_repeat(at.window, self.shape.period, self.shape.horizon))
        return None

    def _network(self, inputs: Tensor, batch: Batch) -> Tensor:
        """Run patches, LSTM and head: inputs (B, L) → (B, H)."""
        lookback, horizon = self.config.lookback, self.shape.horizon
        if self.config.outlier_clip:
            inputs = inputs.clamp(self.clip_low, self.clip_high)
        inputs = inputs[:, :, None]
        future = batch.future
        if self.covariate_mean.shape[0]:
            n_past = self.shape.past
            past = (batch.past - self.covariate_mean[:n_past]) / self.covariate_scale[:n_past]
            future = (future - self.covariate_mean[n_past:]) / self.covariate_scale[n_past:]
            known = future[:, : -horizon or None][:, -lookback:]
            inputs = torch.cat([inputs, past[:, -lookback:], known], dim=2)
        missing = self.steps * self.patch - lookback
        if missing:  # the oldest patch is filled up with the oldest row
            inputs = torch.cat([inputs[:, :1].expand(-1, missing, -1), inputs], dim=1)
        inputs = inputs.reshape(len(inputs), self.steps, -1)
        if self.channel_embedding is not None:
            embedded = self.channel_embedding(batch.channel)[:, None].expand(-1, self.steps, -1)
            inputs = torch.cat([inputs, embedded], dim=2)
        head = self.activation(self.hidden(self.dropout(self.lstm(inputs))))
        forecast: Tensor = self.output(head)
        if self.future_context is not None and self.future_output is not None:
            context = self.future_context(head)[:, None].expand(-1, horizon, -1)
            forecast = forecast + self.future_output(torch.cat([future[:, -horizon:], context], dim=2)).squeeze(2)
        return forecast

    def level(self, batch: Batch) -> Tensor:
        """Forecast the scaled level, (B, H): compare with `scale_level(target, channel)`."""
        at = self._locate(batch)
        forecast = self._network(self._inputs(at), batch)
        if at.spread is not None:
            forecast = forecast * at.spread
        for part in (self._skip(at), at.location):
            if part is not None:
                forecast = forecast + part
        return self._undifference(forecast, at)

    def forward(self, batch: Batch) -> Tensor:
        """Forecast in raw units, (B, H)."""
        return self._unscale(self.level(batch), batch.channel)


def _bounds(parts: Iterable[Tensor]) -> tuple[float, float]:
    """Return the least and the largest number in the parts; of no number at all, inf and -inf."""
    bounds = [(float(part.min()), float(part.max())) for part in parts if len(part)]
    return min((low for low, _ in bounds), default=math.inf), max((high for _, high in bounds), default=-math.inf)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Located:
    """A batch on its way through the model."""

    batch: Batch
    level: Tensor  # (B, X)
    window: Tensor  # (B, X - lag)
    location: Tensor | None  # (B, 1); None: 0
    spread: Tensor | None  # (B, 1); None: 1

    def minus_location(self, x: Tensor) -> Tensor:
        return x if self.location is None else x - self.location


class MeanForecaster(nn.Module):
    """The weighted mean forecast of several models of one shape: same batch in, (B, H) out.

    Args:
        members: the models.
        weights: how much each counts; divided by their sum. None: all alike.
    """

    def __init__(self, members: Sequence[LSTMForecaster], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.context = max(m.context for m in members)
        given = [1.0] * len(members) if weights is None else weights
        self.weights = tuple(w / sum(given) for w in given)

    def forward(self, batch: Batch) -> Tensor:
        """Forecast in raw units, (B, H)."""
        total = torch.zeros_like(batch.target)
        for member, weight in zip(self.members, self.weights, strict=True):
            total += weight * member(_shorten(batch, member.context))
        return total


def _shorten(batch: Batch, context: Tensor | nn.Module | int) -> Batch:
    """Cut a batch's context to its last `context` rows."""
    have = batch.history.shape[1]
    assert isinstance(context, int)
    if context == have:
        return batch
    return Batch(
        history=batch.history[:, have - context :],
        target=batch.target,
        observed=batch.observed,
        past=batch.past[:, have - context :],
        future=batch.future[:, have - context :],
        channel=batch.channel,
    )


def seasonal_repeat(history: Tensor, period: int, horizon: int) -> Tensor:
    """Repeat the last season of history (B, X >= period) over the horizon: (B, H)."""
    last = history[:, -period:]
    return last.repeat(1, -(-horizon // period))[:, :horizon]
