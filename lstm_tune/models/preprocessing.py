"""What stands before and after the network: raw values ↔ level ↔ window, each step with its inverse.

Letters: B windows in a batch, X context, L lookback, H horizon, C channels, S series, G = C · S groups (or C, if all
series share one scale), P past and F future covariates, m seasonal period.

    raw history (B, X)
      → log, if asked                     ┐ "level": what is scaled, what the loss is taken on
      → scaled by the fit rows' mean, sd  ┘ of the series, or of all series (scale)
      → differenced (first | seasonal)
      → minus the window's location, over its spread (window_norm)
      → clipped → the network             → times the spread
                                            + a skip forecast (skip)
                                            → undifferenced → unscaled → exp → raw forecast (B, H)

What is fitted (scale, clip bounds, the map of a linear or smoothing skip) is kept in buffers, so a saved or exported
model cannot be served with the wrong scaler. Nothing depends on the unit of the data: no constant here is compared
with a raw value. Logarithms are explained in `logarithms`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lstm_tune.config import Config
from lstm_tune.data.own_scale import Floats, SeriesStatistics, own_scale
from lstm_tune.data.series import SeriesSet, mean_and_sd
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Windows, evenly
from lstm_tune.errors import DataError
from lstm_tune.models.located import Located, extremes, seasonal_repeat, spread_of
from lstm_tune.models.logarithms import LOG_REACH, LogTerms, log_of, log_terms
from lstm_tune.models.pretrained import PretrainedNetwork, window_rows
from lstm_tune.models.ridge import MAX_WINDOWS, fit_ridge, stretch_moments
from lstm_tune.models.smoothing import fit_smoothing, forecast_weights, some_ranges

LOG_FLOOR = "log_floor"  # the buffer that models of before lack
NO_LOG_FLOOR = 0.0  # of a model that was saved without one: two standard deviations below the mean replace it
_CHUNK = 4096
_FLAT = 1e-8  # standard deviation over mean, below which rows are taken as constant
_CLIP_WINDOWS, _CLIP_VALUES = 10_000, 2_000_000  # that the clip bounds are measured on


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What the data fix: sizes that no trial changes."""

    horizon: int
    channels: int = 1
    past: int = 0
    future: int = 0
    period: int = 1  # rows in a season; 1: none
    smoothing: int = 1  # rows that exponential smoothing looks at
    series: int = 1  # S, if each of several series has a scale of its own
    categories: tuple[int, ...] = ()  # (P + F,) codes of each covariate; 0: a number; (): all are numbers


class Preprocessing(nn.Module):
    """The abstract half of a forecaster: everything but the network, fitted in closed form.

    Attributes:
        own_scale: whether each series has a centre and a scale of its own.
        lag: rows between a value and the one that is subtracted from it; 0: no difference.
        context: X, rows before the first target that a forecast looks at.
    """

    center: Tensor
    scale: Tensor
    covariate_mean: Tensor
    covariate_scale: Tensor
    clip_low: Tensor
    clip_high: Tensor
    log_ceiling: Tensor
    log_floor: Tensor
    usual_spread: Tensor
    skip_weight: Tensor
    skip_bias: Tensor

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__()
        self.config = config
        self.shape = shape
        period = shape.period
        self.lag = {"none": 0, "first": 1, "seasonal": period}[config.difference]
        seen = {"seasonal": period, "linear": config.lookback, "ets": shape.smoothing}
        skip_rows = (seen | {"pretrained": window_rows(shape.smoothing, period)}).get(config.skip, 1)
        self.context = max(config.lookback, skip_rows) + self.lag
        # The map (H, rows) of a skip forecast that is linear in the window, and what it adds.
        mapped = (shape.horizon, skip_rows) if config.skip in ("linear", "ets") else (0, 0)
        covariates = shape.past + shape.future
        self.own_scale = config.scale == "series" and shape.series > 1
        groups = shape.channels * (shape.series if self.own_scale else 1)
        for name, value in {
            "center": torch.zeros(groups),
            "scale": torch.ones(groups),
            "covariate_mean": torch.zeros(covariates),
            "covariate_scale": torch.ones(covariates),
            "clip_low": torch.full((), -torch.inf),
            "clip_high": torch.full((), torch.inf),
            "log_ceiling": torch.full((groups,), torch.inf),
            "skip_weight": torch.zeros(mapped),
            "skip_bias": torch.zeros(shape.horizon if config.skip == "linear" else 0),
        }.items():
            self.register_buffer(name, value)
        if config.transform == "log":
            self.register_buffer(LOG_FLOOR, torch.full((groups,), NO_LOG_FLOOR))
        if self.own_scale:
            self.register_buffer("usual_spread", torch.ones(shape.channels, 2))
        self.pretrained = PretrainedNetwork().requires_grad_(False) if config.skip == "pretrained" else None

    # ---- what is fitted, in closed form, on the rows to fit on

    @torch.no_grad()
    def fit_statistics(self, windows: Windows, rows: Ranges) -> None:
        """Fit scale, clip bounds and skip forecast on `rows`, and on nothing else.

        Raises:
            DataError: a channel has no observed value in the rows, or log is asked of values that are not positive.
        """
        self._fit_scale(windows.data, rows)
        if len(self.covariate_mean):
            mean, sd = mean_and_sd(x.double() for x in windows.data.covariates(rows))
            # A covariate that is constant in the rows to fit on teaches nothing: the network always sees 0.
            nothing = torch.full_like(sd, torch.finfo(torch.float32).max)
            self.covariate_mean.copy_(mean)
            self.covariate_scale.copy_(torch.where(sd > _FLAT * mean.abs(), sd, nothing))
            coded = [i for i, size in enumerate(self.shape.categories) if size]
            self.covariate_mean[coded], self.covariate_scale[coded] = 0.0, 1.0  # a code stays as it is
        positions = evenly(windows.positions(rows, self.context, reach_back=False), MAX_WINDOWS)
        if self.config.outlier_clip and len(positions):
            self._fit_clip(windows, evenly(positions, _CLIP_WINDOWS))
        if self.config.skip == "linear":
            self._fit_skip(windows, positions)
        elif self.config.skip == "ets":
            self._fit_smoothing(windows.data, rows)
        if self.pretrained is not None:
            self.pretrained.load_shipped()

    def _fit_scale(self, data: SeriesSet, rows: Ranges) -> None:
        log = self.config.transform == "log"
        if self.own_scale:
            measured = SeriesStatistics.of(data, rows)
            for name, count, low in zip(data.targets, measured.count, measured.low, strict=True):
                self._check_fit_rows(name, bool(count.any()), float(low.min()))
            self.take_own_scale(SeriesStatistics.of(data, rows, log=True) if log else measured, None)
            return
        for c, name in enumerate(data.targets):
            low, high = extremes(data.seen(c, rows))
            self._check_fit_rows(name, low <= high, low)
            mean, sd = mean_and_sd(x.double().log() if log else x.double() for x in data.seen(c, rows))
            self.center[c] = mean
            self.scale[c] = max(float(sd), _FLAT) if log else max(float(sd), _FLAT * abs(float(mean))) or 1.0
            if log:
                # A forecast may grow beyond what was seen, but not without limit.
                self.log_floor[c] = low
                low, high = math.log(low), math.log(high)
                self.log_ceiling[c] = high + max(LOG_REACH, high - low)

    def _check_fit_rows(self, name: str, seen: bool, low: float) -> None:
        if not seen:
            raise DataError(f"target {name!r} has no observed value in the rows to fit on; choose another split")
        if self.config.transform == "log" and low <= 0:
            raise DataError(f"transform 'log' needs positive values, but {name!r} has {low:g}; use transform = none")

    def take_own_scale(self, measured: SeriesStatistics, usual: Tensor | None) -> None:
        """Set centre, scale and the bounds of logarithms of each series from what was measured of it."""
        log = self.config.transform == "log"
        own = own_scale(measured, log=log, usual=None if usual is None else usual.double().cpu().numpy())

        def buffer(x: Floats) -> Tensor:
            return torch.from_numpy(x.reshape(-1)).to(self.center)

        self.center, self.scale = buffer(own.center), buffer(own.spread)
        if usual is None:
            self.usual_spread.copy_(torch.from_numpy(own.usual))
        if log:
            seen = measured.count > 0
            low, high = np.where(seen, measured.low, own.center), np.where(seen, measured.high, own.center)
            self.log_floor = buffer(np.where(seen, np.exp(low), NO_LOG_FLOOR))
            self.log_ceiling = buffer(high + np.maximum(LOG_REACH, high - low))
        else:
            self.log_ceiling = torch.full_like(self.center, torch.inf)

    def _fit_clip(self, windows: Windows, positions: Tensor) -> None:
        batches = windows.batches(positions, self.context, _CHUNK)
        inputs = evenly(torch.cat([self.inputs(self.locate(b)).flatten() for b in batches]), _CLIP_VALUES)
        median = inputs.median()
        spread = 1.4826 * (inputs - median).abs().median()
        # If over half of the values are equal, the median deviation is 0 and tells nothing: no clipping.
        width = self.config.outlier_clip * spread if float(spread) > 0 else torch.tensor(torch.inf)
        self.clip_low.copy_(median - width)
        self.clip_high.copy_(median + width)

    def _fit_skip(self, windows: Windows, positions: Tensor) -> None:
        self.skip_weight.zero_()
        self.skip_bias.zero_()
        if len(positions) >= 4:
            fitted = fit_ridge(stretch_moments(windows, positions, self.context, self._regression))
            if fitted is not None:
                self.skip_weight.copy_(fitted[0])
                self.skip_bias.copy_(fitted[1])

    def _regression(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what the linear skip regresses on, (B, L), and the targets, (B, H)."""
        at = self.locate(batch)
        target = self.difference_target(self.scale_level(batch.target, self.group(batch)), at)
        x, y = at.minus_location(at.window[:, -self.config.lookback :]), at.minus_location(target)
        return (x, y) if at.unit is None else (x / at.unit, y / at.unit)

    def _fit_smoothing(self, data: SeriesSet, rows: Ranges) -> None:
        """Fit exponential smoothing to the scaled and differenced level of every channel and series, of 200 at most."""
        series = []
        for (s, start, end), c in itertools.product(some_ranges(rows), range(self.shape.channels)):
            raw = data.values[None, c, start:end].to(self.center.device)
            group = c * self.shape.series + s if self.own_scale else c
            level = self.scale_level(raw, torch.tensor([group], device=raw.device))[0].double().cpu()
            level[~data.observed[c, start:end]] = torch.nan
            series.append((level[self.lag :] - level[: -self.lag] if self.lag else level).numpy())
        length = self.shape.smoothing
        weights = forecast_weights(fit_smoothing(series, self.shape.period, length), length, self.shape.horizon)
        self.skip_weight.copy_(torch.from_numpy(weights))

    # ---- raw → level → window, and back

    def group(self, batch: Batch) -> Tensor:
        """Return the place (B,) of each window's statistics among those of all groups."""
        return batch.group if self.own_scale else batch.channel

    def scale_level(self, raw: Tensor, group: Tensor) -> Tensor:
        """Map raw values (B, n) of the given groups (B,) to the scaled level that the loss is taken on."""
        center, scale = self._of(group, self.center), self._of(group, self.scale)
        if self.config.transform != "log":
            return (raw - center) / scale
        terms = self._log_terms(group)
        return (log_of(raw, terms) - (center - terms.shift)) / scale

    def _history_level(self, batch: Batch) -> Tensor:
        """Return the scaled level (B, X) of a batch's history."""
        group = self.group(batch)
        if self.config.transform == "log":
            terms = self._log_terms(group)
            unseen = terms.unseen(batch.history)
            if _any(unseen):
                center, scale = self._of(group, self.center), self._of(group, self.scale)
                log = torch.where(unseen, terms.with_tangent(batch.history), log_of(batch.history, terms))
                return (log - (center - terms.shift)) / scale
        return self.scale_level(batch.history, group)

    def unscale(self, level: Tensor, batch: Batch) -> Tensor:
        """Map forecasts (B, H) of the scaled level back to raw values; a log forecast stops at the fitted ceiling."""
        group = self.group(batch)
        center, scale = self._of(group, self.center), self._of(group, self.scale)
        if self.config.transform != "log":
            return level * scale + center
        terms = self._log_terms(group)
        log = torch.minimum(level * scale + (center - terms.shift), terms.ceiling)
        raw = log.exp() * terms.unit
        unseen = terms.unseen(batch.history)
        return torch.where(unseen, terms.limited(log, batch.history), raw) if _any(unseen) else raw

    def _log_terms(self, group: Tensor) -> LogTerms:
        statistics = (self.center, self.scale, self.log_floor, self.log_ceiling)
        return log_terms(*(self._of(group, statistic) for statistic in statistics))

    def _of(self, group: Tensor, statistic: Tensor) -> Tensor:
        """Return a statistic (G,) of the given groups (B,): (B, 1), or (1,) if there is one group alone."""
        return statistic[group, None] if self.own_scale or self.shape.channels > 1 else statistic

    def locate(self, batch: Batch) -> Located:
        """Return the scaled and differenced history of a batch, with each window's location and spread."""
        level = self._history_level(batch)
        window = level[:, self.lag :] - level[:, : -self.lag] if self.lag else level
        looked_at = window[:, -self.config.lookback :]
        location = spread = unit = None
        if self.config.window_norm == "last":
            location = window[:, -1:]
        elif self.config.window_norm == "standard":
            location, spread = looked_at.mean(1, keepdim=True), spread_of(looked_at)
        if self.config.loss_scale == "window":
            unit = spread_of(level[:, -self.config.lookback :])
        return Located(level=level, window=window, location=location, spread=spread, unit=unit)

    def inputs(self, at: Located) -> Tensor:
        """Return what the network sees of the target, (B, L)."""
        inputs = at.minus_location(at.window[:, -self.config.lookback :])
        return inputs if at.spread is None else inputs / at.spread

    def difference_target(self, target: Tensor, at: Located) -> Tensor:
        """Difference scaled targets (B, H) as the window is differenced."""
        if not self.lag:
            return target
        both = torch.cat([at.level[:, -self.lag :], target], dim=1)
        return both[:, self.lag :] - both[:, : -self.lag]

    def undifference(self, forecast: Tensor, at: Located) -> Tensor:
        """Invert `difference_target`."""
        if not self.lag:
            return forecast
        horizon, lag = forecast.shape[1], self.lag
        seasons = -(-horizon // lag)
        padded = nn.functional.pad(forecast, (0, seasons * lag - horizon))
        summed = padded.view(-1, seasons, lag).cumsum(1) + at.level[:, None, -lag:]
        return summed.reshape(forecast.shape[0], -1)[:, :horizon]

    def skip_forecast(self, at: Located) -> Tensor | None:
        """Return the forecast that the network corrects, minus the window's location, (B, H) or (B, 1); None: 0."""
        if self.config.skip == "last":
            return at.minus_location(at.window[:, -1:])
        if self.config.skip == "linear":
            window = at.minus_location(at.window[:, -self.config.lookback :])
            if at.unit is None:
                return nn.functional.linear(window, self.skip_weight, self.skip_bias)
            return nn.functional.linear(window, self.skip_weight) + self.skip_bias * at.unit
        if self.config.skip == "ets":
            window = at.minus_location(at.window[:, -self.shape.smoothing :])
            last = window[:, -1:]  # the map's rows add up to 1: around the last value it loses no digits
            return last + nn.functional.linear(window - last, self.skip_weight)
        if self.pretrained is not None:
            rows = window_rows(self.shape.smoothing, self.shape.period)
            window = at.minus_location(at.window[:, -rows:])
            forecast: Tensor = self.pretrained(window, self.shape.period, self.shape.horizon)
            return forecast
        if self.config.skip == "seasonal":
            return at.minus_location(seasonal_repeat(at.window, self.shape.period, self.shape.horizon))
        return None


def _any(which: Tensor) -> bool:
    """Return whether any is true; in an exported graph, which is to serve all values, always."""
    return torch.compiler.is_compiling() or bool(which.any())
