"""What all trials of a study share: the rows they may see, the windows they are scored on, what counts as 1.

A `Task` holds no test row: its series end where the validation rows do, so no trial can read further, whatever it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lstm_tune.config import Config
from lstm_tune.data.seasonality import find_period
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Segment, Split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, UsageError
from lstm_tune.evaluation.score import TargetScale, score
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.limits import Limits
from lstm_tune.training.trainer import Diverged, Trainer, samples_per_epoch, seeded

# Evaluation keeps to a tenth of a trial's time however long the validation rows are. A forecast costs a quarter of what
# training on the window does, or half where that runs in bfloat16.
_TRAINED_PER_JUDGED = 6  # windows of an epoch's training for each that is judged after it, …
_LEAST_JUDGED = 256  # … but for the shortest epochs


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """One segment with the windows that it is scored on."""

    segment: Segment
    scored: Tensor  # positions of the windows that results are reported on: all, or evenly spaced where there are many
    judged: Tensor  # fewer of them: what every trial is judged by after each epoch; neighbours tell the same
    samples: int  # training windows in an epoch
    unit: float  # scaled MSE that counts as 1 when folds are averaged: the best baseline's


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """The problem that a study solves; see `build_task`."""

    windows: Windows
    shape: Shape
    scale: TargetScale
    period: int | None
    limits: Limits
    folds: tuple[Fold, ...]  # the validation rows first, then earlier blocks
    baselines: dict[str, tuple[tuple[float, ...], float]]  # validation MSE per column, and scaled
    notes: tuple[str, ...]

    @property
    def independent_windows(self) -> float:
        """Validation windows that do not overlap: rows over horizon."""
        return sum(b - a for a, b in self.folds[0].segment.score) / self.shape.horizon

    def value(self, fold: int, mse_scaled: float) -> float:
        """Return a fold's part of the objective: its scaled MSE, in units in which all folds weigh alike.

        With one fold that is the scaled MSE itself. With several it is divided by the best baseline's MSE on the fold
        and multiplied by that on the validation rows, two constants that no trial changes.
        """
        return mse_scaled / self.folds[fold].unit * self.folds[0].unit


def build_task(
    data: SeriesSet,
    split: Split,
    horizon: int,
    *,
    folds: int = 1,
    device: str = "cpu",
    epoch_samples: int | None = None,
) -> Task:
    """Prepare what all trials share, from train and validation rows alone.

    Args:
        data: all rows; test rows are cut off before anything else happens.
        split: of the rows.
        horizon: rows to forecast.
        folds: validation blocks, at most; see `Split.folds`.
        device: that holds the series.
        epoch_samples: training windows in an epoch, at most; see `samples_per_epoch`.

    Raises:
        DataError: too few rows for a single window.
    """
    if folds < 1:
        raise UsageError(f"folds must be at least 1, but is {folds}")
    val_ends, _ = split.ends()
    # A series that is left out keeps its first row: a set holds no empty series.
    visible = data.head([max(end, start + 1) for start, end in zip(data.offsets, val_ends, strict=False)])
    shift = _row_shift(data, visible)
    split = _shifted(split, shift)
    windows = Windows(visible, horizon, device)
    scale = TargetScale.of(windows, split.train)
    period = find_period(visible, split.train)
    shape = Shape(
        horizon=horizon,
        channels=data.n_channels,
        past=data.past.shape[1],
        future=data.future.shape[1],
        period=period or 1,
    )
    segments = split.folds(folds, horizon)
    notes = []
    if len(segments) < folds:
        notes.append(f"folds: {folds} cut to {len(segments)}: the training rows allow no more")
    limits = data_limits(visible, segments, horizon, period)
    built: list[Fold] = []
    baselines: dict[str, tuple[tuple[float, ...], float]] = {}
    for segment in segments:
        positions = windows.positions(segment.score, 0, reach_back=True)
        if not len(positions):
            raise DataError(
                f"the rows to validate on hold no window of {horizon} observed targets; "
                f"use more rows, a shorter --horizon or another --split",
                code="too_little_data",
            )
        trainable = windows.positions(segment.fit, 0, reach_back=False)
        samples = samples_per_epoch(len(trainable), epoch_samples)
        scored = windows.sample(positions, samples)
        fitted = fit_baselines(windows, segment.fit, period=period, max_lookback=limits.max_lookback, sd=scale.sd)
        scores = {name: score(f, windows, scored, scale, each=False) for name, f in fitted.items()}
        if not built:
            baselines = {name: (s.mse, s.mse_scaled) for name, s in scores.items()}
        built.append(
            Fold(
                segment=segment,
                scored=scored,
                judged=windows.sample(positions, max(_LEAST_JUDGED, samples // _TRAINED_PER_JUDGED)),
                samples=samples,
                # A series without noise can be forecast to the last digit; the floor keeps the ratio finite.
                unit=max(min(s.mse_scaled for s in scores.values()), 1e-9),
            )
        )
    return Task(
        windows=windows,
        shape=shape,
        scale=scale,
        period=period,
        limits=limits,
        folds=tuple(built),
        baselines=baselines,
        notes=tuple(notes),
    )


def data_limits(data: SeriesSet, segments: Sequence[Segment], horizon: int, period: int | None) -> Limits:
    """Return what the data allow a configuration to be.

    The longest lookback leaves, in the shortest stretch that a fold fits on, at least half of the rows (and a season)
    as targets, so that every trial has windows to train on and the same windows to be scored on.
    """
    shortest = min(b - a for segment in segments for a, b in segment.fit if b > a)
    # A seasonal difference and a seasonal skip together look two seasons back, and a third is there to learn from.
    usable_period = period if period and shortest >= 3 * period + horizon else None
    reserve = horizon + (usable_period or 1)
    if shortest < reserve + 2:
        raise DataError(
            f"{shortest} rows to train on are too few for a horizon of {horizon}; "
            f"use more rows, a shorter --horizon or another --split",
            code="too_little_data",
        )
    max_lookback = max(1, (shortest - reserve) // 2)
    positive = not any(data.origin) and all(
        bool((x > 0).all()) for c in range(data.n_channels) for x in data.seen(c, segments[0].fit)
    )
    return Limits(
        max_lookback=max_lookback,
        positive=positive,
        period=usable_period,
        max_batch_size=max(1, (shortest - max_lookback - reserve + 1) * data.n_channels),
    )


def _row_shift(data: SeriesSet, visible: SeriesSet) -> list[int]:
    """Return, for each series, by how much its rows moved when the rows after validation were cut off."""
    return [a - b for a, b in zip(data.offsets, visible.offsets, strict=True)]


def _shifted(split: Split, shift: Sequence[int]) -> Split:
    def move(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((a - d, b - d) for (a, b), d in zip(ranges, shift, strict=False))

    return Split(train=move(split.train), val=move(split.val), test=move(split.test), notes=split.notes)


def make_trainer(task: Task, fold: int, config: Config, seed: int, precision: str = "fp32") -> Trainer:
    """Build the model of one fold, with its statistics fitted on the fold's rows, ready to train."""
    windows, segment = task.windows, task.folds[fold].segment
    with seeded(seed, windows.device):
        model = LSTMForecaster(config, task.shape)
    model.to(windows.device)
    model.fit_statistics(windows, segment.fit)
    positions = windows.positions(segment.fit, model.context, reach_back=False)
    if not len(positions):
        raise Diverged(f"no training window: the configuration looks {model.context} rows back")
    return Trainer(model, windows, positions, config, task.folds[fold].samples, seed, precision)
