"""What all trials of a study share: the rows they may see, the windows they are scored on, what counts as 1.

A `Task` holds no test row: its series end where the validation rows do, so no trial can read further, whatever it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from lstm_tune.config import Config
from lstm_tune.data.folds import rolling_folds
from lstm_tune.data.seasonality import best_season, find_seasons
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges, Segment, Split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.error_sample import SAMPLED_WINDOWS, Floats, sampled_errors
from lstm_tune.evaluation.metrics import NaiveErrors
from lstm_tune.evaluation.score import Forecaster, Score, TargetScale, quick_value, score, value_of
from lstm_tune.models.baselines import combine, fit_baselines
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.smoothing import window_rows
from lstm_tune.training.combination import combination_weights
from lstm_tune.training.data_limits import data_limits, is_positive, usable_folds
from lstm_tune.training.limits import Limits
from lstm_tune.training.trainer import Diverged, Trainer, samples_per_epoch, seeded
from lstm_tune.utils.text import counted

# Evaluation takes a tenth of a trial's time, however long the validation rows are: a forecast costs a quarter of what
# training on the window does, or half of it in bfloat16.
_TRAINED_PER_VALIDATED = 6  # windows that an epoch trains on for each window that is validated after it, …
_LEAST_VALIDATED = 256  # … but for the shortest epochs
_LEAST_REFERENCE = 1e-9  # a series without noise can be forecast to the last digit; the floor keeps ratios finite


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """One segment with the windows that it is scored on."""

    segment: Segment
    report_windows: Tensor  # positions of what results are reported on: all windows, or evenly spaced if there are many
    epoch_windows: Tensor  # fewer of them: what every trial is validated on after each epoch
    sampled_windows: Tensor  # fewer again: those whose errors are kept with every trial
    samples: int  # training windows in an epoch
    reference_mse: float  # scaled MSE that counts as 1 when squared errors of folds are averaged: the best baseline's
    reference: float  # the same of the study's metric


BaselineScores = dict[str, tuple[tuple[float, ...], float]]  # {name: (MSE per column (C,), scaled MSE)}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """The problem that a study solves; see `build_task`."""

    windows: Windows
    shape: Shape
    scale: TargetScale
    seasons: tuple[int, ...]  # in rows, that were found or given
    period: int | None  # the one of them whose repetition forecasts best
    naive: NaiveErrors  # of the train rows
    limits: Limits
    folds: tuple[Fold, ...]  # the validation rows first, then earlier blocks
    baselines: BaselineScores  # on the validation rows
    metric: str  # that trials are judged by
    baseline_values: Mapping[str, float]  # {name: its value on the validation rows}
    combination: Mapping[str, float]  # weights of the baselines in their mean
    positive: bool  # every train and validation value of the targets is above 0
    notes: tuple[str, ...]

    def can_retrain(self, config: Config) -> bool:
        """Return whether a configuration can be fitted on validation rows, too: a logarithm needs positive values."""
        return config.transform != "log" or self.positive

    def on(self, device: str) -> Task:
        """Return the same task with its windows on a device."""
        held = self.windows
        folds = (
            replace(
                fold,
                report_windows=fold.report_windows.to(device),
                epoch_windows=fold.epoch_windows.to(device),
                sampled_windows=fold.sampled_windows.to(device),
            )
            for fold in self.folds
        )
        return replace(self, windows=Windows(held.data, held.horizon, device, held.period), folds=tuple(folds))

    @property
    def development_rows(self) -> Ranges:
        """Train and validation rows of each series: what the retrain fits on, and every row that a task holds."""
        newest = self.folds[0].segment
        return tuple((start, end) for (start, _), (_, end) in zip(newest.fit, newest.score, strict=True))

    @property
    def retrain_samples(self) -> int:
        """Training windows in an epoch of the retrain: the trials' times the growth of the rows."""
        segment, positions = self.folds[0].segment, self.windows.positions
        before, after = (len(positions(rows, 0, reach_back=False)) for rows in (segment.fit, self.development_rows))
        return round(self.folds[0].samples * after / before)

    @property
    def independent_windows(self) -> float:
        """Validation windows that do not overlap: rows over horizon."""
        return sum(b - a for a, b in self.folds[0].segment.score) / self.shape.horizon

    def sampled_errors(self, forecasters: Sequence[Forecaster]) -> list[Floats]:
        """Return a sample of scaled errors on every fold, each of its own forecaster."""
        return [
            sampled_errors(forecaster, self.windows, fold.sampled_windows, self.scale)
            for forecaster, fold in zip(forecasters, self.folds, strict=True)
        ]

    def score(self, fold: int, forecaster: Forecaster) -> Score:
        """Score a forecaster on all windows that results of a fold are reported on."""
        naive = None if self.metric == "mse" else self.naive
        return score(forecaster, self.windows, self.folds[fold].report_windows, self.scale, each=False, naive=naive)

    def value_of(self, found: Score) -> float:
        """Return what the study's metric makes of a score."""
        return value_of(found, self.scale, self.metric)

    def normalised(self, fold: int, value: float) -> float:
        """Return a fold's part of the objective: its value, in units in which all folds weigh alike.

        With one fold that is the value itself (of the metric "mse": the scaled MSE). With several it is divided by the
        best baseline's value on the fold and multiplied by that on the validation rows, two constants that no trial
        changes.
        """
        return value / self.folds[fold].reference * self.folds[0].reference

    def validate(self, fold: int, forecaster: Forecaster) -> float:
        """Return a fold's part of the objective, from the windows of every epoch."""
        chosen = self.folds[fold].epoch_windows
        value = quick_value(forecaster, self.windows, chosen, self.scale, self.naive, self.metric)
        return self.normalised(fold, value)


def build_task(
    data: SeriesSet,
    split: Split,
    horizon: int,
    *,
    folds: int = 1,
    device: str = "cpu",
    epoch_samples: int | None = None,
    seasons: Sequence[int] = (),
    metric: str = "mse",
) -> Task:
    """Prepare what all trials share, from train and validation rows alone.

    Args:
        data: all rows; test rows are cut off before anything else happens.
        split: of the rows.
        horizon: rows to forecast.
        folds: validation blocks, at most; see `rolling_folds`.
        device: that holds the series.
        epoch_samples: training windows in an epoch, at most; see `samples_per_epoch`.
        seasons: in rows; (): those that are found in the train rows.
        metric: that trials are judged by, see `evaluation.metrics`.

    Raises:
        DataError: too few rows for a single window.
        UsageError: the metric has no value on a block.
    """
    if folds < 1:
        raise UsageError(f"folds must be at least 1, but is {folds}")
    visible, split = _without_test_rows(data, split)
    _check_seasons(seasons, split.train)
    seasons = tuple(seasons) or find_seasons(visible, split.train)
    period = best_season(visible, split.train, seasons, horizon)
    windows = Windows(visible, horizon, device, period)
    scale = TargetScale.of(windows, split.train)
    segments, notes = _segments(windows, split, folds)
    limits = data_limits(windows, segments, period)
    naive = NaiveErrors.of(visible, split.train, period)
    built: list[Fold] = []
    scored: list[dict[str, Score]] = []
    fitted: list[dict[str, Forecaster]] = []
    for segment in segments:
        own = fit_baselines(windows, segment.fit, period=period, max_lookback=limits.max_lookback, scale=scale)
        fold, scores = _build_fold(windows, segment, scale, own, epoch_samples, naive, metric)
        built.append(fold)
        fitted.append(own)
        scored.append(scores)
    weights = _combination(windows, scale, built, fitted)
    combined = combine(fitted[0], weights)
    baselines = scored[0]
    baselines["combination"] = score(combined, windows, built[0].report_windows, scale, each=False, naive=naive)
    return Task(
        windows=windows,
        shape=_shape(windows, period, limits),
        scale=scale,
        seasons=seasons,
        naive=naive,
        period=period,
        limits=limits,
        folds=tuple(built),
        baselines={name: (s.mse, s.mse_scaled) for name, s in baselines.items()},
        metric=metric,
        baseline_values={name: value_of(s, scale, metric) for name, s in baselines.items()},
        combination=weights,
        positive=limits.positive and is_positive(visible, split.final.fit),
        notes=notes,
    )


def _check_seasons(seasons: Sequence[int], train: Ranges) -> None:
    longest = max((b - a for a, b in train), default=0)
    if seasons and max(seasons) > longest:
        raise UsageError(
            f"a season of {max(seasons)} rows is longer than the {longest} train rows; leave it out, or use more rows"
        )


def _segments(windows: Windows, split: Split, folds: int) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Return the validation blocks that the rows allow, at most `folds`, and a note if they are fewer."""
    data = windows.data
    every = rolling_folds(data, split, folds, windows.horizon)
    possible = [segment for segment in every if data.n_series > 1 or _holds(segment, windows.period)]
    segments, lacking = usable_folds(windows, possible)
    if len(segments) == folds:
        return segments, ()
    reason = "the training rows allow no more"
    if lacking is not None:
        reason = f"too few values of {lacking!r} were observed in the rows of the other validation blocks"
    return segments, (f"folds: {folds} cut to {len(segments)}: {reason}",)


def _shape(windows: Windows, period: int | None, limits: Limits) -> Shape:
    data = windows.data
    return Shape(
        horizon=windows.horizon,
        channels=data.n_channels,
        past=data.past.shape[1],
        future=data.future.shape[1],
        period=period or 1,
        smoothing=window_rows(limits.max_lookback, period),
        series=data.n_series,
        categories=data.category_sizes,
    )


def _holds(segment: Segment, period: int | None) -> bool:
    """Return whether a season lies before the first scored row of a single series."""
    ((start, end),) = segment.fit
    return end - start >= (period or 1)


def _without_test_rows(data: SeriesSet, split: Split) -> tuple[SeriesSet, Split]:
    """Return the rows up to the end of the validation rows, and the split of these rows."""
    val_ends, _ = split.ends()
    # A series that is left out keeps its first row: a set holds no empty series.
    visible = data.head([max(end, start + 1) for start, end in zip(data.offsets, val_ends, strict=False)])
    shift = [a - b for a, b in zip(data.offsets, visible.offsets, strict=True)]

    def move(ranges: Ranges) -> Ranges:
        return tuple((a - d, b - d) for (a, b), d in zip(ranges, shift, strict=False))

    moved = replace(split, train=move(split.train), val=move(split.val), test=move(split.test))
    return visible, moved


def _build_fold(
    windows: Windows,
    segment: Segment,
    scale: TargetScale,
    fitted: Mapping[str, Forecaster],
    epoch_samples: int | None,
    naive: NaiveErrors,
    metric: str,
) -> tuple[Fold, dict[str, Score]]:
    """Return a fold, and the baselines' scores on it."""
    positions = windows.positions(segment.score, 0, reach_back=True)
    trainable = windows.positions(segment.fit, 0, reach_back=False)
    samples = samples_per_epoch(len(trainable), epoch_samples)
    report_windows = windows.sample(positions, samples)
    scores = {name: score(f, windows, report_windows, scale, each=False, naive=naive) for name, f in fitted.items()}
    least = min(value_of(s, scale, metric) for s in scores.values())
    if metric != "mse" and not math.isfinite(least):
        raise UsageError(
            f"metric {metric!r} has no value on a validation block: what it divides by is 0 or unknown for every "
            f"series; choose another metric, such as mae"
        )
    fold = Fold(
        segment=segment,
        report_windows=report_windows,
        epoch_windows=windows.sample(positions, max(_LEAST_VALIDATED, samples // _TRAINED_PER_VALIDATED)),
        sampled_windows=windows.sample(positions, SAMPLED_WINDOWS),
        samples=samples,
        reference_mse=max(min(s.mse_scaled for s in scores.values()), _LEAST_REFERENCE),
        reference=max(least, _LEAST_REFERENCE),
    )
    return fold, scores


def _combination(
    windows: Windows, scale: TargetScale, folds: Sequence[Fold], fitted: Sequence[Mapping[str, Forecaster]]
) -> dict[str, float]:
    """Return the weights of the baselines in their mean, from the blocks of all folds."""
    errors = [
        {name: sampled_errors(f, windows, fold.sampled_windows, scale) for name, f in own.items()}
        for fold, own in zip(folds, fitted, strict=True)
    ]
    rows = sum(b - a for fold in folds for a, b in fold.segment.score)
    return combination_weights(errors, [fold.reference_mse for fold in folds], rows / windows.horizon)


def untrained_models(task: Task, config: Config) -> list[LSTMForecaster]:
    """Return, for each fold, the forecast that a network begins from, fitted on the fold's rows."""
    models = []
    for fold in task.folds:
        model = LSTMForecaster(config, task.shape).to(task.windows.device)
        model.fit_statistics(task.windows, fold.segment.fit)
        models.append(model.eval())
    return models


def make_trainer(task: Task, fold: int, config: Config, seed: int, precision: str = "fp32") -> Trainer:
    """Build the model of one fold, with its statistics fitted on the fold's rows, ready to train."""
    windows, segment = task.windows, task.folds[fold].segment
    with seeded(seed, windows.device):
        model = LSTMForecaster(config, task.shape)
    model.to(windows.device)
    model.fit_statistics(windows, segment.fit)
    positions = windows.positions(segment.fit, model.context, reach_back=False)
    if not len(positions):
        raise Diverged(f"no training window: the configuration looks {counted(model.context, 'row')} back")
    return Trainer(model, windows, positions, config, task.folds[fold].samples, seed, precision)
